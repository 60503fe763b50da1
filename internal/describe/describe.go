// Package describe writes a program's commands down, for the tool that makes
// manual pages of them.
package describe

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Tree is a command and those below it.
type Tree struct {
	Use, Short, Long, Example string
	Flags                     []Flag `json:",omitempty"`
	Inherited                 []Flag `json:",omitempty"` // by all commands below
	Below                     []Tree `json:",omitempty"`
}

// Flag is a flag of a command.
type Flag struct {
	Name, Short, Type, Default, Alone, Usage string // Alone is its value if none is given
}

// Command is a hidden command that writes the commands of its root as JSON.
func Command(to io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "describe", Short: "Print all commands as JSON", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := json.NewEncoder(to)
			out.SetIndent("", "  ")
			return out.Encode(tree(cmd.Root()))
		},
	}
}

func tree(c *cobra.Command) Tree {
	t := Tree{Use: c.Use, Short: c.Short, Long: c.Long, Example: c.Example, Inherited: flags(c.PersistentFlags())}
	t.Flags = flags(c.LocalNonPersistentFlags())
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			t.Below = append(t.Below, tree(below))
		}
	}
	return t
}

func flags(set *pflag.FlagSet) (all []Flag) {
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			all = append(all, Flag{f.Name, f.Shorthand, f.Value.Type(), f.DefValue, f.NoOptDefVal, f.Usage})
		}
	})
	return all
}
