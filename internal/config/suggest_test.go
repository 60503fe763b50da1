package config

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestFlagError(t *testing.T) {
	for arg, want := range map[string]string{
		"--polcy":    "did you mean --policy?",
		"--key":      "did you mean --keys?",
		"--hiden":    "program --help lists the flags",
		"--nonsense": "program --help lists the flags",
		"-x":         "unknown shorthand flag",
	} {
		cmd := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return nil }, SilenceUsage: true}
		cmd.SetFlagErrorFunc(FlagError)
		cmd.Flags().String("policy", "", "")
		cmd.Flags().String("keys", "", "")
		cmd.Flags().String("hidden", "", "")
		cmd.Flags().MarkHidden("hidden")
		cmd.SetErr(io.Discard)
		cmd.SetArgs([]string{arg})
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestGroups(t *testing.T) {
	for args, want := range map[string]string{
		"group statu": `unknown command "statu" for "program group"; did you mean status?`,
		"group x":     "program group --help lists the commands",
		"group":       "",
		"group -h":    "",
		"both a b":    "",
	} {
		nothing := func(*cobra.Command, []string) error { return nil }
		root, group := &cobra.Command{Use: "program", SilenceUsage: true}, &cobra.Command{Use: "group"}
		group.AddCommand(&cobra.Command{Use: "status", RunE: nothing})
		both := &cobra.Command{Use: "both", Args: cobra.ExactArgs(2), RunE: nothing}
		both.AddCommand(&cobra.Command{Use: "below", RunE: nothing})
		root.AddCommand(group, both)
		Groups(root)
		root.SetErr(io.Discard)
		root.SetOut(io.Discard)
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
