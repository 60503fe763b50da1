//go:build unix

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/feeder"
	"indelible/internal/config"
	"indelible/witness"
)

// wayOut is what to do about a log that the witness cannot go on with by itself.
const wayOut = "stop the witness, and let it go on from a checkpoint that extends what the register holds: logwitness accept --log ORIGIN (docs/witness.md)"

// decision is what an operator says about a log.
type decision struct {
	origin, checkpoint, proof, url string
	vkeys                          []string
}

func (p *program) acceptCommand() *cobra.Command {
	var d decision
	cmd := &cobra.Command{
		Use:   "accept --log ORIGIN",
		Short: "Go on with a log whose key changed, or that database and register disagree about",
		Long: "Go on with a log whose key changed, or that database and register disagree about.\n\n" +
			"The checkpoint must be signed by the log, and extend what the witness holds of it, by a consistency proof: the\n" +
			"larger of what database and register have, and the register's where they contradict each other. It is cosigned, and takes the place of what the database has. With --vkey, the log has these keys from then on, and\n" +
			"each of them must have signed. The witness must not be running.\n\n" +
			"A log that started again, or lost entries, cannot be accepted: it must take another origin.",
		Example: "  logwitness accept --log log.example.com --url https://log.example.com\n" +
			"  logwitness accept --log log.example.com --checkpoint checkpoint.txt --proof hashes.txt --vkey log.example.com+…",
	}
	cmd.Flags().StringVar(&d.origin, "log", "", "the log's origin")
	cmd.Flags().StringVar(&d.url, "url", "", "where the log serves its tiles, from which checkpoint and proof are made")
	cmd.Flags().StringVar(&d.checkpoint, "checkpoint", "", "instead of --url, `FILE` with the checkpoint")
	cmd.Flags().StringVar(&d.proof, "proof", "", "`FILE` with the consistency proof to it, a hash in base64 on each line")
	cmd.Flags().StringArrayVar(&d.vkeys, "vkey", nil, "the log's key from now on; may be given more than once")
	cobra.CheckErr(cmd.MarkFlagRequired("log"))
	p.configured(cmd, func(ctx context.Context, v config.Values) error { return p.accept(ctx, v, d) })
	cmd.MarkFlagsOneRequired("url", "checkpoint")
	cmd.MarkFlagsMutuallyExclusive("url", "checkpoint")
	cmd.MarkFlagsMutuallyExclusive("url", "proof")
	return cmd
}

func (p *program) accept(ctx context.Context, v config.Values, d decision) (err error) {
	keys, err := parseKeys(d.vkeys)
	if err != nil {
		return err
	}
	r := p.running()
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx, v); err != nil {
		return err
	}
	was, err := r.logOf(ctx, d.origin)
	if err != nil {
		return err
	}
	counts, err := r.witness.Counts(ctx, d.origin)
	if err != nil {
		return err
	}
	a, err := d.handedIn(ctx, counts, keys, was.Keys)
	if err != nil {
		return err
	}
	r.made.keep()
	head, err := r.witness.Accept(ctx, a)
	if errors.Is(err, witness.ErrInconsistent) {
		return fmt.Errorf("%w\nThe witness holds size %d with the root %s. A log that cannot prove that it extends this has another history: "+
			"it must take another origin, and this one stays as it is", err, counts.Size, base64.StdEncoding.EncodeToString(counts.Root[:]))
	}
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		if err := r.state.SetKeys(ctx, d.origin, was.Keys, keys); err != nil {
			return fmt.Errorf("the checkpoint was accepted, and the keys could not be stored; try it again: %w", err)
		}
	}
	p.accepted(counts, head, was, keys)
	return nil
}

// logOf is a log as the database knows it.
func (r *running) logOf(ctx context.Context, origin string) (witness.Log, error) {
	logs, err := r.state.Logs(ctx)
	if err != nil {
		return witness.Log{}, err
	}
	at := slices.IndexFunc(logs, func(l witness.Log) bool { return l.Origin == origin })
	if at < 0 {
		return witness.Log{}, fmt.Errorf("the witness does not know a log %q; the list that --logs names is where one is added", origin)
	}
	return logs[at], nil
}

func parseKeys(vkeys []string) ([]checkpoint.Verifier, error) {
	var keys []checkpoint.Verifier
	for _, vkey := range vkeys {
		k, err := checkpoint.ParseVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("--vkey: %w", err)
		}
		if slices.ContainsFunc(keys, k.Equal) {
			return nil, fmt.Errorf("--vkey: %s is there twice", vkey)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// handedIn gets the checkpoint and its proof.
func (d decision) handedIn(ctx context.Context, counts witness.Head, keys, had []checkpoint.Verifier) (a witness.Acceptance, err error) {
	a = witness.Acceptance{Origin: d.origin, Keys: keys}
	if d.url != "" {
		if len(keys) == 0 {
			keys = had
		}
		a.Note, a.Proof, err = feeder.Fetch(ctx, feeder.Log{Origin: d.origin, Keys: keys, URL: d.url}, counts.Size)
		return a, err
	}
	if a.Note, err = os.ReadFile(d.checkpoint); err != nil || d.proof == "" {
		return a, err
	}
	data, err := os.ReadFile(d.proof)
	if err == nil {
		a.Proof, err = witness.ParseProof(data)
	}
	return a, err
}

// accepted says what was done.
func (p *program) accepted(counts, head witness.Head, was witness.Log, keys []checkpoint.Verifier) {
	fmt.Fprintf(p.stdout, "Log %s goes on from size %d, which extends the size %d that the witness knew.\n", was.Origin, head.Size, counts.Size)
	for _, k := range keys {
		fmt.Fprintf(p.stdout, "Its key is %s from now on: put it into the list.\n", k)
	}
	fmt.Fprintf(p.stdout, "\n%s", head.Note)
}
