package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/evidence"
)

func (p *program) evidenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "Check evidence that a log contradicted itself",
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "verify FILE",
		Short: "Check offline that a log contradicted itself",
		Long: "Check offline that FILE proves what it says: that whoever holds a key signed two\n" +
			"statements about a log that cannot both be true. Nothing is asked over the\n" +
			"network.\n\n" +
			"You say which key is the log's: with --log-key, with --policy, or by your first\n" +
			"add, which remembered it. FILE contains a key, too, and logcli does not trust\n" +
			"it.\n\n" +
			"It ends with 0 if it is proven, 1 if it is not, and 2 if you gave no key.",
		Example: "  logcli evidence verify fork.evidence --log-key log.vkey",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    func(_ *cobra.Command, a []string) error { return p.verifyEvidence(a[0]) },
	})
	return cmd
}

func (p *program) verifyEvidence(file string) error {
	trusted, err := p.accusable()
	if err != nil {
		return err
	}
	data, err := readLimited(file)
	if err != nil {
		return err
	}
	e, err := evidence.Verify(data, trusted)
	if errors.Is(err, evidence.ErrUntrusted) && len(trusted) == 0 {
		if trusted, _, err = p.pinned(e.First.Origin); err != nil {
			return err
		}
		if len(trusted) == 0 {
			return noAccused(file, e)
		}
		e, err = evidence.Verify(data, trusted)
	}
	switch {
	case errors.Is(err, evidence.ErrUntrusted):
		return unverified(fmt.Errorf("%s proves nothing about the key that you trust. It is %w:\n%s", file, err, keyLines(e.Keys)))
	case err != nil:
		return unverified(fmt.Errorf("%s: %w", file, err))
	}
	return p.accuse(file, e)
}

// accusable are the keys that evidence may be about, as the flags name them: of
// logs, and of a policy's witnesses.
func (p *program) accusable() ([]checkpoint.Verifier, error) {
	list, policy, err := p.givenLogs()
	if policy != nil {
		list = append(list, policy.Cosigners()...)
	}
	return list, err
}

// noAccused says whose key is missing.
func noAccused(file string, e evidence.Evidence) error {
	return usagef("%s proves that whoever holds this key contradicted themselves about the log %q:\n%s"+
		"Whose key it is no file can say. If you know it to be the log's, or a witness's, from elsewhere,\n"+
		"give it: --log-key VKEY|FILE or --policy FILE", file, e.First.Origin, keyLines(e.Keys))
}

func keyLines(keys []checkpoint.Verifier) string {
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s\n", k)
	}
	return b.String()
}

// accuse prints what is proven.
func (p *program) accuse(file string, e evidence.Evidence) error {
	keys := make([]string, len(e.Keys))
	for i, k := range e.Keys {
		keys[i] = k.String()
	}
	return p.print(struct {
		File      string        `json:"file"`
		Proven    bool          `json:"proven"`
		Kind      evidence.Kind `json:"kind"`
		Origin    string        `json:"origin"`
		Keys      []string      `json:"keys"`
		Statement string        `json:"statement"`
		Exit      int           `json:"exit"`
	}{file, true, e.Kind, e.First.Origin, keys, e.Statement(), exitDone},
		"%s\n\n%s%s", p.colour("1;31", "PROVEN"), e.Statement(), dates(e))
}

// dates are the times of the statements, as people write them.
func dates(e evidence.Evidence) string {
	var b strings.Builder
	for i, s := range []evidence.Signed{e.First, e.Second} {
		if s.Time > 0 && s.Time < 1<<40 {
			fmt.Fprintf(&b, "\nStatement %d was signed for %s.", i+1, time.Unix(s.Time, 0).UTC().Format("2 January 2006, 15:04:05 UTC"))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
