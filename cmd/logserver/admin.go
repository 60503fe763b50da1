package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/mysqldb"
	"indelible/writers/gate"
)

func (p *program) initCommand() *cobra.Command {
	adoptKey := false
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create a log: its schema, key, register and record",
		Long: "Create a log: the database's schema, the log key, the register, the log's record, and the key of the Rekor v1 API.\n\n" +
			"An init that fails leaves nothing behind, and one that was interrupted is completed by the next. A key or a register of another log, or of one whose\n" +
			"database is not there, is refused.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&adoptKey, "adopt-key", false, "make the log with a key that exists, and has never signed for a log")
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error {
		if err := p.awaitDatabases(ctx, v, p.logger(v)); err != nil {
			return err
		}
		parts, err := open(ctx, v, true, adoptKey)
		if err != nil {
			return err
		}
		v1Key := ""
		if v.Bool("rekor-v1") {
			v1Key, err = parts.describeRekorV1Key(ctx, v, p.logger(v))
		}
		if err == nil {
			err = parts.mldsaKey(ctx, v)
		}
		if err != nil {
			return errors.Join(err, parts.abandon())
		}
		parts.keep()
		defer parts.close()
		what := "Log %q is there already.\n\n"
		if parts.created {
			what = "Created log %q.\n\n"
		}
		fmt.Fprintf(p.stdout, what, parts.record.Origin)
		paths := pathsOf(v)
		for _, k := range parts.record.Keys {
			fmt.Fprintf(p.stdout, "  vkey      %s\n", k)
		}
		fmt.Fprintf(p.stdout, "  key       %s\n", paths.key)
		if path := v.Text("mldsa-key"); path != "" {
			fmt.Fprintf(p.stdout, "  key       %s\n", path)
		}
		if v.Bool("rekor-v1") {
			fmt.Fprintf(p.stdout, "  v1 key    %s\n", v1Key)
		}
		fmt.Fprintf(p.stdout, "  register  %s\n", parts.place)
		if v.Text("storage") == "mysql" {
			dsn, err := dsnOf(v)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "  database  %s\n", mysqldb.Describe(dsn))
		}
		fmt.Fprintln(p.stdout, "\nKeep copies of the keys. Run it with the same settings: logserver")
		return nil
	})
	return cmd
}

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Check the configuration, and print what is in effect and where it came from", Args: cobra.NoArgs,
			RunE: p.with(func(_ context.Context, v config.Values) error { return p.checkConfig(v) }),
		},
		&cobra.Command{
			Use: "doc", Short: "Print the documentation of the settings", Args: cobra.NoArgs, Hidden: true,
			RunE: func(*cobra.Command, []string) error {
				_, err := io.WriteString(p.stdout, documentation())
				return err
			},
		},
	)
	return cmd
}

// checkConfig prints the configuration, and reads what it names of a policy.
func (p *program) checkConfig(v config.Values) error {
	policy, err := loadPolicy(v)
	if err != nil {
		return err
	}
	if err := printConfig(p.stdout, v); err != nil {
		return err
	}
	if path := policyFile(v); path != "" {
		who, err := gate.Load(path)
		if err != nil {
			return fmt.Errorf("--writers: %w", err)
		}
		fmt.Fprintf(p.stdout, "\nwriters: %s\n", strings.Join(who.Describe(), "\n         "))
	}
	if policy == nil {
		return nil
	}
	for _, w := range policy.Warnings() {
		fmt.Fprintf(p.stderr, "warning: --witness-policy: %s\n", w)
	}
	return nil
}

func printConfig(w io.Writer, v config.Values) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tFROM")
	for _, s := range v.All() {
		text := s.Text
		if s.Name == "mysql-dsn" && text != "" {
			text = mysqldb.Describe(text) + " (password not shown)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Name, text, s.From)
	}
	return tw.Flush()
}
