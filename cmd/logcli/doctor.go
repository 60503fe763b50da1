package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"indelible/checkpoint"
	"indelible/doctor"
	"indelible/internal/words"
)

func (p *program) doctorCommand() *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use: "doctor", Short: "Use the log as its clients do, and print what is wrong with it", Args: args(cobra.NoArgs),
		Long: "Use the log as its clients do, over the native API, Rekor v2 and Rekor v1, and\n" +
			"print for each check what was found and what to do.\n\n" +
			"It WRITES up to two entries, one by each Rekor API: a random digest, signed by a\n" +
			"key made for it and thrown away. With --read-only it writes none. By Rekor v1 it\n" +
			"writes only with --rekor-v1, or if the log does not serve Rekor v2, or if one of\n" +
			"the log's newest entries is of Rekor v1.\n\n" +
			"With several URLs (--url) it uses the first that answers, and warns of those\n" +
			"before it.\n\n" +
			"Exit codes: 0 nothing failed (there may be warnings); 1 something failed; 2\n" +
			"wrong usage; 3 the log does not answer.",
		RunE: func(cmd *cobra.Command, _ []string) error { return p.doctor(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.readOnly, "read-only", false, "write no entries")
	f.BoolVar(&o.rekorV1, "rekor-v1", false, "write an entry by Rekor v1, too (rekor-monitor reads no log with such an entry)")
	f.StringVar(&o.publicURL, "public-url", "", "the log's `URL` as other clients reach it (default: --url)")
	f.StringVar(&o.rekorV1Key, "rekor-v1-key", "", "PEM `FILE` with the trusted key of the Rekor v1 API (default: as remembered by trust export)")
	return cmd
}

type doctorOptions struct {
	readOnly, rekorV1     bool
	publicURL, rekorV1Key string
}

func (p *program) doctor(ctx context.Context, o doctorOptions) error {
	trusted, err := p.trustedLog(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	report, err := doctor.Run(ctx, doctor.Config{HTTP: p.web(), URL: p.url, Others: p.urls[1:], PublicURL: o.publicURL, RekorV1: o.rekorV1, ReadOnly: o.readOnly, Trusted: trusted}, p.printCheck)
	if len(report.Checks) == 0 && err != nil {
		return usage(err)
	}
	return p.diagnosis(report, err)
}

// trustedLog finds what is trusted of a log: as given, or as remembered.
func (p *program) trustedLog(o doctorOptions) (func(origin string) (doctor.Trusted, error), error) {
	given, policy, err := p.givenLogs()
	if err != nil {
		return nil, err
	}
	from := "--log-key"
	if policy != nil {
		from = "--policy"
	}
	var rekorV1 []byte
	if o.rekorV1Key != "" {
		data, err := readFile(o.rekorV1Key, maxKeyFile)
		if err == nil {
			rekorV1, err = publicPEM(data)
		}
		if err != nil {
			return nil, usagef("--rekor-v1-key %s: %w", o.rekorV1Key, err)
		}
	}
	return func(origin string) (doctor.Trusted, error) {
		t := doctor.Trusted{Keys: ofOrigin(given, origin), From: from, RekorV1Key: rekorV1, RekorFrom: "--rekor-v1-key"}
		var err error
		if len(given) == 0 {
			if t.Keys, t.From, err = p.pinned(origin); err != nil {
				return t, err
			}
		}
		if rekorV1 == nil {
			t.RekorV1Key, t.RekorFrom, err = p.pinnedRekorV1(origin)
		}
		return t, err
	}, nil
}

// ofOrigin are the keys that are of a log, or all if none is: to be compared
// and found wrong.
func ofOrigin(keys []checkpoint.Verifier, origin string) []checkpoint.Verifier {
	var list []checkpoint.Verifier
	for _, k := range keys {
		if k.Name() == origin {
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return keys
	}
	return list
}

// printCheck prints a check as it ends.
func (p *program) printCheck(c doctor.Check) {
	if p.output == "json" {
		return
	}
	mark := map[doctor.State]string{
		doctor.Passed: p.colour("32", "✓"), doctor.Warning: p.colour("33", "!"),
		doctor.Failed: p.colour("31", "✗"), doctor.NotChecked: p.colour("2", "–"),
	}[c.State]
	p.item(mark, 12, c.Name, c.Detail)
	if c.Do != "" {
		p.item(" ", 12, "", arrow+c.Do)
	}
}

// diagnosis sums up. The error is why there is not more to say.
func (p *program) diagnosis(r doctor.Report, err error) error {
	failed, warnings := r.Count(doctor.Failed), r.Count(doctor.Warning)
	if err == nil && failed > 0 {
		err = unverified(fmt.Errorf("%s failed", words.Count(failed, "check")))
	}
	if p.output == "json" {
		if printed := p.print(struct {
			doctor.Report
			Exit int `json:"exit"`
		}{r, code(err)}, ""); printed != nil {
			return printed
		}
		return quietly(err)
	}
	switch {
	case errors.Is(err, doctor.ErrUnreachable):
		fmt.Fprintf(p.stdout, "\n%s no log was found at %s.\n", p.colour("1;31", "UNREACHABLE:"), oneLine(r.URL))
	case failed > 0:
		fmt.Fprintf(p.stdout, "\n%s %d failed, %s.%s\n", p.colour("1;31", "NOT WELL:"), failed, words.Count(warnings, "warning"), wrote(r))
	case err != nil:
		return err
	default:
		fmt.Fprintf(p.stdout, "\n%s nothing failed, %s.%s\n", p.colour("1;32", "Well:"), words.Count(warnings, "warning"), wrote(r))
	}
	return quietly(err)
}

// quietly keeps an error's exit code; what it says was said.
func quietly(err error) error {
	if err == nil {
		return nil
	}
	return reported{err}
}

func wrote(r doctor.Report) string {
	switch {
	case len(r.Wrote) == 0 && r.Count(doctor.Failed) > 0: // an answer that was refused may have been to an entry
		return " No entry is known to be written."
	case len(r.Wrote) == 0:
		return " No entry was written."
	case len(r.Wrote) == 1:
		return fmt.Sprintf(" Entry %d was written.", r.Wrote[0])
	}
	return fmt.Sprintf(" Entries %s were written.", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(r.Wrote), "[]")), " and "))
}

// arrow begins what to do.
const arrow = "→ "

// item prints a marked line, with a name in a column of its own, and wrapped so
// that what follows stays beside it.
func (p *program) item(mark string, column int, name, text string) {
	left := 4 + column
	text, doing := strings.CutPrefix(text, arrow)
	first := fmt.Sprintf("  %s %-*s", mark, column, name)
	if doing {
		first += arrow
		left += 2
	}
	for _, line := range wrapped(harmless(text), p.width()-left) {
		fmt.Fprintf(p.stdout, "%s%s\n", first, line)
		first = strings.Repeat(" ", left)
	}
}

// width is how wide the terminal is; 80 where there is none.
func (p *program) width() int {
	if f := p.screen(); f != nil {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w >= 40 {
			return min(w, 110)
		}
	}
	return 80
}

// wrapped breaks a text at spaces. A word that is too long stands alone.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
