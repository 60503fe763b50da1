package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// FlagError is for [cobra.Command.SetFlagErrorFunc]: to the error about a flag that
// does not exist it adds the flags whose names are much like it.
func FlagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && startsWithDigit(unknown.GetSpecifiedShortnames()) {
		return fmt.Errorf("-%s is taken for a flag; numbers here begin at 0 and have no sign (%s)", unknown.GetSpecifiedShortnames(), cmd.UseLine())
	}
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	// Cobra finds names of commands that are like another.
	names := cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	like := names.SuggestionsFor(unknown.GetSpecifiedName())
	if len(like) == 0 {
		return fmt.Errorf("%w; %s --help lists the flags", err, cmd.CommandPath())
	}
	return fmt.Errorf("%w; did you mean --%s?", err, strings.Join(like, " or --"))
}

func startsWithDigit(s string) bool { return s != "" && '0' <= s[0] && s[0] <= '9' }

// Groups makes commands that only group others refuse a name that none of them
// has; cobra prints the help instead, and does so for root alone.
func Groups(root *cobra.Command) {
	for _, c := range root.Commands() {
		Groups(c)
		if !c.HasSubCommands() || c.Args != nil {
			continue // one that takes arguments too looks at them itself
		}
		c.SuggestionsMinimumDistance = 2
		c.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				return fmt.Errorf("%w; did you mean %s?", err, strings.Join(like, " or "))
			}
			return fmt.Errorf("%w; %s --help lists the commands", err, cmd.CommandPath())
		}
		if !c.Runnable() {
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}
