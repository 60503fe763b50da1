package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// Every help text fits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	w := newWorld(t)
	p := &program{getenv: func(string) (string, bool) { return "", false }}
	var check func(*cobra.Command, []string)
	check = func(cmd *cobra.Command, args []string) {
		out, _ := w.run(exitDone, append(args, "--help")...)
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("logcli %s --help: %d columns: %s", strings.Join(args, " "), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			check(sub, append(args[:len(args):len(args)], sub.Name()))
		}
	}
	check(p.command(), nil)
}
