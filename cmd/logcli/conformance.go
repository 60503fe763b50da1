package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/conformance"
	"indelible/internal/words"
	"indelible/keys"
)

func (p *program) conformanceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "conformance", Short: "Test a witness against its specification",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("it is used as: %s witness URL", cmd.CommandPath())
		},
	}
	cmd.AddCommand(p.conformanceWitnessCommand())
	return cmd
}

type conformanceOptions struct {
	logKey, newLog, origin, monitoring string
	witnessKeys                        []string
}

func (p *program) conformanceWitnessCommand() *cobra.Command {
	var o conformanceOptions
	cmd := &cobra.Command{
		Use: "witness [URL]", Short: "Test a witness against c2sp.org/tlog-witness", Args: args(cobra.MaximumNArgs(1)),
		Long: "Test a witness against c2sp.org/tlog-witness, and print for each rule whether\n" +
			"the witness keeps it. logcli acts as a log that the witness must know first:\n\n" +
			"  logcli conformance witness --new-log FILE\n" +
			"      makes the log's key, and prints the lines for the witness's list of logs\n" +
			"  logcli conformance witness --log-key FILE --witness-key VKEY URL\n" +
			"      tests the witness whose submission prefix is URL\n\n" +
			"The log signs checkpoints that contradict each other, to see them refused: never\n" +
			"give it the key of a real log. It can be run again against a witness that\n" +
			"remembers earlier runs; rules that only an empty witness shows need a new log.\n\n" +
			"Exit codes: 0 no MUST is broken; 1 one is; 2 wrong usage, or the witness does\n" +
			"not know the log; 3 it does not answer, or not to the end.",
		RunE: func(cmd *cobra.Command, a []string) error { return p.conformanceWitness(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.logKey, "log-key", "", "`FILE` with the private key of the log that logcli acts as")
	f.StringVar(&o.newLog, "new-log", "", "make such a key in `FILE`, and print the lines for the witness's list of logs")
	f.StringVar(&o.origin, "origin", "", "the log's `NAME` (default: made from the key)")
	f.StringArrayVar(&o.witnessKeys, "witness-key", nil, "a key of the witness: `VKEY` of type 0x04 or 0x06 (can be repeated)")
	f.StringVar(&o.monitoring, "monitoring", "", "the witness's monitoring prefix: `URL` (default: the submission prefix)")
	return cmd
}

func (p *program) conformanceWitness(ctx context.Context, a []string, o conformanceOptions) error {
	if o.newLog != "" {
		if len(a) > 0 || o.logKey != "" {
			return usagef("--new-log makes a key and tries nothing: it takes neither --log-key nor a URL")
		}
		return p.newPlayedLog(o)
	}
	cfg, err := playedConfig(a, o)
	if err != nil {
		return usage(err)
	}
	cfg.HTTP = p.web()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	report, err := conformance.Witness(ctx, cfg, p.printRule)
	switch {
	case report.Submission == "" || errors.Is(err, conformance.ErrSetup):
		return usage(err)
	case err != nil && len(report.Results) == 0:
		return err
	}
	return p.conformity(report, err)
}

// newPlayedLog makes the key of a log that is there to be tried with.
func (p *program) newPlayedLog(o conformanceOptions) error {
	key, err := keys.GenerateEd25519(o.newLog, nil)
	if err != nil {
		return err
	}
	log, err := conformance.NewLog(key, o.origin)
	if err != nil {
		return usage(err)
	}
	again := ""
	if o.origin != "" {
		again = " --origin " + o.origin
	}
	p.say("vkey    %s", log.VKey())
	p.say("origin  %s", log.Origin())
	p.say("The lines below go at the end of the witness's list of logs (logs/v0).")
	p.say("Then: logcli conformance witness --log-key %s%s --witness-key VKEY URL", o.newLog, again)
	return p.print(map[string]string{"file": o.newLog, "origin": log.Origin(), "vkey": log.VKey(), "logList": log.LogList()}, "%s", log.LogList())
}

func playedConfig(a []string, o conformanceOptions) (cfg conformance.Config, err error) {
	switch {
	case len(a) == 0:
		return cfg, errors.New("which witness? Give its submission prefix, a URL")
	case o.logKey == "":
		return cfg, errors.New("--log-key is required: the file that --new-log made, of a log that the witness was told of")
	case len(o.witnessKeys) == 0:
		return cfg, errors.New("--witness-key is required: the vkeys of the witness, to verify what it answers")
	}
	cfg.Submission, cfg.Monitoring = a[0], o.monitoring
	key, err := keys.Load(o.logKey, nil)
	if err != nil {
		return cfg, fmt.Errorf("--log-key: %w", err)
	}
	if cfg.Log, err = conformance.NewLog(key, o.origin); err != nil {
		return cfg, fmt.Errorf("--log-key %s: %w", o.logKey, err)
	}
	for _, vkey := range o.witnessKeys {
		k, err := checkpoint.ParseVerifier(vkey)
		if err != nil {
			return cfg, fmt.Errorf("--witness-key: %w", err)
		}
		cfg.Keys = append(cfg.Keys, k)
	}
	return cfg, nil
}

// printRule prints a rule as it was tried, on one line.
func (p *program) printRule(r conformance.Result) {
	if p.output == "json" {
		return
	}
	sgr := map[conformance.State]string{conformance.Passed: "32", conformance.Failed: "31", conformance.NotTested: "2"}[r.State]
	line := fmt.Sprintf("%-6s  %-20s  %s (%s)", r.Level, r.Rule, r.Says, r.Section)
	if r.Detail != "" {
		line += ": " + strings.Join(strings.Fields(r.Detail), " ")
	}
	fmt.Fprintf(p.stdout, "%s  %s\n", p.colour(sgr, fmt.Sprintf("%-10s", r.State)), oneLine(line))
}

// conformity sums up. The error is why the run was not finished.
func (p *program) conformity(r conformance.Report, err error) error {
	must, should, lenient := r.Count(conformance.Must, conformance.Failed), r.Count(conformance.Should, conformance.Failed), r.Count(conformance.Client, conformance.Failed)
	if err == nil && must > 0 {
		err = unverified(fmt.Errorf("%s broken", words.Count(must, "MUST")))
	}
	if p.output == "json" {
		if printed := p.print(struct {
			conformance.Report
			BrokenMust   int `json:"brokenMust"`
			BrokenShould int `json:"brokenShould"`
			Lenient      int `json:"lenient"` // rules for clients that it does not enforce
			Exit         int `json:"exit"`
		}{r, must, should, lenient, code(err)}, ""); printed != nil {
			return printed
		}
		return quietly(err)
	}
	if err != nil && code(err) != exitUnverified {
		return err
	}
	untested := 0
	for _, level := range []conformance.Level{conformance.Must, conformance.Should, conformance.Client} {
		untested += r.Count(level, conformance.NotTested)
	}
	word := p.colour("1;32", "Conforms:")
	if must > 0 {
		word = p.colour("1;31", "DOES NOT CONFORM:")
	}
	fmt.Fprintf(p.stdout, "\n%s %d MUST and %d SHOULD broken, %d for clients not enforced, %d not tested, of %s; the log went from size %d to %d.\n",
		word, must, should, lenient, untested, words.Count(len(r.Results), "rule"), r.Before, r.After)
	return quietly(err)
}
