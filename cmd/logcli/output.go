package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// output is standard output. It remembers that something could not be written,
// so that no command has to look.
type output struct {
	io.Writer
	failed error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil && o.failed == nil {
		o.failed = fmt.Errorf("the output could not be written: %w", err)
	}
	return n, err
}

// with is a command's error, with that of its output. It keeps the exit code of a
// command that failed.
func (o *output) with(err error) error {
	switch {
	case o.failed == nil:
		return err
	case err == nil:
		return o.failed
	case errors.As(err, &reported{}), code(err) == exitUnasked:
		return &exitError{code(err), o.failed}
	}
	return &exitError{code(err), fmt.Errorf("%w\n%w", err, o.failed)}
}

// oneLine is a text as a part of a line, without what could begin another or
// make a terminal do something: servers, certificates and file names have a say
// in messages.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// harmless is a text that may have several lines. All but the first are indented,
// so that what a server says cannot pass for a line of logcli's own.
func harmless(s string) string { return indented(s, "  ") }

func indented(s, by string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = oneLine(strings.ReplaceAll(line, "\t", "    "))
		if i > 0 && line != "" {
			lines[i] = by + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// screen is the terminal that standard output is; nil if it is not a terminal.
func (p *program) screen() *os.File {
	w := p.stdout
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// colour wraps a text in an ANSI colour, on a terminal whose user has not
// asked for none.
func (p *program) colour(sgr, text string) string {
	if no, _ := p.getenv("NO_COLOR"); no != "" || p.screen() == nil {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}
