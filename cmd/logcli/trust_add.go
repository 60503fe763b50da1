package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/keys"
	"indelible/mirror/source"
)

// trustAddOptions say which log, and by which keys.
type trustAddOptions struct {
	format, origin string
	fingerprints   []string
}

func (p *program) trustAddCommand() *cobra.Command {
	var o trustAddOptions
	cmd := &cobra.Command{
		Use: "add [URL]…", Short: "Remember a log's key and its newest tree head", Args: args(cobra.ArbitraryArgs),
		Long: "Remember the key of the log at URL (default: --url) and the newest tree head\n" +
			"that it shows, for all commands that ask it. Nothing is added to it.\n\n" +
			"The key is the one that --log-key gives, or the one that the log says it has, if\n" +
			"its fingerprint is that of --fingerprint. Without both, the log is believed, and\n" +
			"its key is announced: compare it with what the operator publishes elsewhere.",
		Example: "  logcli trust add https://log.example.com --fingerprint SHA256:1f3a…\n" +
			"  logcli trust add https://rekor.example.com/api/v2 --log-key rekor.vkey",
		RunE: func(cmd *cobra.Command, a []string) error {
			if len(a) > 0 {
				p.url, p.urls = a[0], a
			}
			return p.trustAdd(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.fingerprints, "fingerprint", nil, "the SHA-256 of the log's public key in DER, `SHA256:HEX`; may be given again for its other keys")
	formatFlag(f.StringVar, &o.format)
	f.StringVar(&o.origin, "origin", "", "the log's `NAME`, the first line of its checkpoints, if its key has another; for Rekor v1 it chooses the shard")
	return cmd
}

// formatFlag is the flag of every command that reads logs of several formats.
func formatFlag(define func(*string, string, string, string), to *string) {
	define(to, "format", "", "the log's `FORMAT`: tlog-tiles, sumdb, static-ct or rekor-v1 (default: found out by asking)")
}

func (p *program) trustAdd(ctx context.Context, o trustAddOptions) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	list, err := p.keysToAdd(ctx, o)
	if err != nil {
		return err
	}
	cfg := p.sourceConfig(ctx, client.Config{Keys: list})
	cfg.Origin = o.origin
	log, err := source.Open(ctx, source.Format(o.format), cfg)
	if err != nil {
		return ofSource(err)
	}
	if _, _, err := p.known(log.Origin(), list); err != nil {
		return err
	}
	head, err := log.Head(ctx)
	if err != nil {
		return ofSource(err)
	}
	home, err := p.home()
	if err != nil {
		return err
	}
	if err := p.extends(ctx, home, log, list, head); err != nil {
		return err
	}
	if err := p.pin(log.Origin(), list); err != nil {
		return err
	}
	return p.trusted(log, list, head)
}

// ofSource gives an error of package source its exit code.
func ofSource(err error) error {
	if errors.Is(err, source.ErrFalse) {
		return unverified(err)
	}
	return err
}

// keysToAdd are the keys that are given, or those that the log says it has and that
// have one of the fingerprints.
func (p *program) keysToAdd(ctx context.Context, o trustAddOptions) ([]checkpoint.Verifier, error) {
	if p.policy != "" {
		return nil, usagef("trust add remembers a log's keys, and no policy: give --log-key")
	}
	list, _, err := p.givenLogs()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		c, err := p.client(ctx, client.Config{})
		if err != nil {
			return nil, usage(err)
		}
		if list, err = c.Keys(ctx); errors.Is(err, client.ErrNotFound) {
			return nil, usagef("the log does not say what its key is: give --log-key VKEY|FILE, as its operator publishes it (%w)", err)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(o.fingerprints) == 0 {
		return list, nil
	}
	return withFingerprints(list, o.fingerprints)
}

// withFingerprints are the keys that have one of the fingerprints.
func withFingerprints(list []checkpoint.Verifier, wanted []string) ([]checkpoint.Verifier, error) {
	for _, w := range wanted {
		if !strings.HasPrefix(w, "SHA256:") || len(w) != len("SHA256:")+64 {
			return nil, usagef("--fingerprint %q: it is SHA256: and 64 hex digits, the SHA-256 of the public key in DER", w)
		}
	}
	var found []checkpoint.Verifier
	for _, k := range list {
		if fp, err := keys.Fingerprint(k.PublicKey()); err == nil && slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, fp) }) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return nil, unverified(fmt.Errorf("none of the log's keys has the fingerprint %s:\n%s", strings.Join(wanted, " or "), fingerprintLines(list)))
	}
	return found, nil
}

func fingerprintLines(list []checkpoint.Verifier) string {
	var b strings.Builder
	for _, k := range list {
		fp, err := keys.Fingerprint(k.PublicKey())
		if err != nil {
			fp = "no fingerprint"
		}
		fmt.Fprintf(&b, "%s (%s)\n", k, fp)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// trusted says what is remembered.
func (p *program) trusted(log source.Log, list []checkpoint.Verifier, head source.Head) error {
	vkeys := make([]string, len(list))
	for i, k := range list {
		vkeys[i] = k.String()
	}
	return p.print(map[string]any{"origin": log.Origin(), "format": log.Format(), "keys": vkeys, "treeSize": head.Size, "rootHash": head.Root[:]},
		"Log %s is trusted by its key. Its tree has %d entries.\n%s\n", oneLine(log.Origin()), head.Size, fingerprintLines(list))
}
