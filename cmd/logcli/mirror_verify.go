package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"indelible/internal/progress"
	"indelible/internal/words"
	"indelible/mirror"
)

func (p *program) mirrorVerifyCommand() *cobra.Command {
	var f mirrorFlags
	origin, repair, from := "", false, []string(nil)
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check a whole copy, and repair it",
		Long: "Read every file of the copies in DIR, recompute every hash from the entries, and\n" +
			"compare all with the checkpoint that the log signed. With --repair, a wrong file\n" +
			"is computed again, or fetched again from the log at --from.\n\n" +
			"Exit codes: 0 nothing is wrong, or everything was repaired; 1 files are wrong;\n" +
			"2 wrong usage; 3 the copy could not be read, or a process writes it.",
		Example: "  logcli mirror verify mirror\n" +
			"  logcli mirror verify mirror --repair --from https://log.example.com",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if repair != (len(from) > 0) {
				return usagef("give --repair and --from together: what is wrong is fetched again")
			}
			return p.mirrorVerify(cmd.Context(), a[0], origin, from, f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&origin, "origin", "", "the `NAME` of the only log whose copy is checked")
	fl.BoolVar(&repair, "repair", false, "repair what is wrong")
	fl.StringArrayVar(&from, "from", nil, "`URL` of the log, or of another copy; may be given more than once")
	fl.Float64Var(&f.rate, "rate", 10, "maximum requests a second; 0: no limit")
	fl.StringVar(&f.contact, "contact", "", "an e-mail address or URL for the log's operator to reach you, sent with each request")
	return cmd
}

func (p *program) mirrorVerify(ctx context.Context, dir, origin string, from []string, f mirrorFlags) error {
	if err := folderOfCopies(dir); err != nil {
		return err
	}
	given, _, err := p.givenLogs()
	if err != nil {
		return err
	}
	origins := []string{origin}
	if origin == "" {
		if origins, err = p.origins(dir); err != nil {
			return err
		}
	}
	if len(origins) > 1 && len(from) > 0 {
		return usagef("there are copies of %d logs in %s: give --origin with --from", len(origins), dir)
	}
	wrong := 0
	var all []mirror.Checked
	for _, origin := range origins {
		o := mirror.CheckOptions{Dir: dir, Origin: origin, Keys: given, Progress: p.checking()}
		if len(from) > 0 {
			f.origin = origin
			log, keys, err := p.source(ctx, from, dir, f, mirror.NewPace(f.rate))
			if err != nil {
				return err
			}
			o.Repair, o.Format = log, log.Format()
			if len(given) == 0 {
				o.Keys = keys
			}
		}
		checked, err := mirror.Check(ctx, o)
		all = append(all, checked)
		if err != nil {
			p.sayFindings(checked)
			return err
		}
		for _, finding := range checked.Findings {
			if !finding.Repaired {
				wrong++
			}
		}
	}
	return p.printChecked(all, wrong)
}

// origins are the logs whose copies are in a directory.
func (p *program) origins(dir string) ([]string, error) {
	copies, err := mirror.Copies(dir)
	if err != nil {
		return nil, fmt.Errorf("%w; name the log with --origin, and its key with --log-key", err)
	}
	if len(copies) == 0 {
		return nil, fmt.Errorf("%w in %s", mirror.ErrNoCopy, dir)
	}
	var origins []string
	for _, c := range copies {
		origins = append(origins, c.Origin)
	}
	return origins, nil
}

func (p *program) checking() func(done, size int64) {
	f, ok := p.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || p.output != "text" {
		return nil
	}
	return progress.New(f, "checking").Set
}

func (p *program) sayFindings(c mirror.Checked) {
	p.say("%s", findingLines(c))
}

func findingLines(c mirror.Checked) string {
	var b strings.Builder
	for _, f := range c.Findings {
		repaired := ""
		if f.Repaired {
			repaired = " (repaired)"
		}
		fmt.Fprintf(&b, "%s: %s%s\n", oneLine(f.Path), oneLine(f.What), repaired)
	}
	return b.String()
}

func (p *program) printChecked(all []mirror.Checked, wrong int) error {
	var text strings.Builder
	for _, c := range all {
		text.WriteString(findingLines(c))
		state := "is what its checkpoint says"
		if n := len(c.Findings); n > 0 {
			state = "has " + words.Count(n, "fault")
		}
		fmt.Fprintf(&text, "The copy of log %s %s: %s, %s.\n", oneLine(c.Origin), state, words.Count(c.Entries, "entry"), size(c.Bytes))
	}
	if err := p.print(map[string]any{"copies": all, "wrong": wrong, "exit": min(wrong, exitUnverified)}, "%s", text.String()); err != nil {
		return err
	}
	if wrong > 0 {
		return reported{unverified(fmt.Errorf("%d files are wrong", wrong))}
	}
	return nil
}
