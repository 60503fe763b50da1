package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// tree is a command, as the programs describe themselves (internal/describe).
type tree struct {
	Use, Short, Long, Example string
	Flags, Inherited          []flagged
	Below                     []tree
}

type flagged struct{ Name, Short, Type, Default, Alone, Usage string }

// text is a flag's value that only says its default and its type.
type text struct{ value, kind string }

func (t *text) String() string     { return t.value }
func (t *text) Set(s string) error { t.value = s; return nil }
func (t *text) Type() string       { return t.kind }

// manual makes a page of each command.
func manual(commands []byte, date time.Time) (map[string][]byte, error) {
	var root tree
	if err := json.Unmarshal(commands, &root); err != nil {
		return nil, fmt.Errorf("read the commands: %w", err)
	}
	pages := map[string][]byte{}
	return pages, page(root.command(), date, pages)
}

func (t tree) command() *cobra.Command {
	c := &cobra.Command{Use: t.Use, Short: t.Short, Long: t.Long, Example: t.Example, Run: func(*cobra.Command, []string) {}, DisableAutoGenTag: true}
	define(c.Flags(), t.Flags)
	define(c.PersistentFlags(), t.Inherited)
	for _, below := range t.Below {
		c.AddCommand(below.command())
	}
	return c
}

func define(set *pflag.FlagSet, flags []flagged) {
	for _, f := range flags {
		set.VarPF(&text{f.Default, f.Type}, f.Name, f.Short, f.Usage).NoOptDefVal = f.Alone
	}
}

func page(c *cobra.Command, date time.Time, pages map[string][]byte) error {
	var out bytes.Buffer
	header := &doc.GenManHeader{Section: "1", Source: "Indelible", Manual: "Indelible", Date: &date}
	if err := doc.GenMan(c, header, &out); err != nil {
		return fmt.Errorf("manual page of %s: %w", c.CommandPath(), err)
	}
	pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = out.Bytes()
	for _, below := range c.Commands() {
		if err := page(below, date, pages); err != nil {
			return err
		}
	}
	return nil
}
