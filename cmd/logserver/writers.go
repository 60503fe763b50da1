package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"indelible/entry"
	"indelible/internal/config"
	"indelible/internal/outage"
	"indelible/internal/secret"
	"indelible/server"
	"indelible/writers"
	"indelible/writers/gate"
)

// noWriters is the value of --writers of a read-only server.
const noWriters = "none"

// policyFile returns the file of the writers' policy, or "" if the server has no policy or
// is read-only.
func policyFile(v config.Values) string {
	if path := v.Text("writers"); path != noWriters {
		return path
	}
	return ""
}

// newWriters reads the policy of writers; nil where everybody may write, of which the
// log warns.
func (p *program) newWriters(v config.Values, metrics *prometheus.Registry, logger *slog.Logger) (*gate.Gate, error) {
	if v.Text("writers") == "" && p.dev { // it is for trying out
		return nil, nil
	}
	if v.Text("writers") == "" {
		logger.Warn("ANYBODY WHO REACHES the HTTP or the gRPC port may add entries, and what is logged stays: "+
			"choose the writers with --writers FILE, or make this server read-only with --writers none", "http", v.Text("http"), "grpc", v.Text("grpc"))
		return nil, nil
	}
	decided := server.Decisions(metrics)
	failing := outage.New(logger)
	g, err := gate.Open(gate.Config{
		Path: policyFile(v), Log: logger,
		Decided: func(rule string, how gate.Outcome) { decided(rule, string(how)) },
		Failing: func(issuer string, err error) { failing.Step("fetch the keys of the issuer "+issuer, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("--writers: %w", err)
	}
	if p := g.Policy(); p != nil {
		for _, line := range p.Describe() {
			logger.Info("writers", "policy", line)
		}
	}
	return g, nil
}

// mayWrite says who may write, for the banner.
func mayWrite(v config.Values) string {
	switch path := v.Text("writers"); path {
	case "":
		return "everyone who reaches these ports; to choose, give --writers FILE"
	case noWriters:
		return "none: this server is read-only"
	default:
		return "those of " + path
	}
}

func (p *program) writersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "writers", Short: "Look at the policy of who may write (--writers)"}
	cmd.AddCommand(p.writersTestCommand(), p.writersTokenCommand(), &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the policy's file", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(p.stdout, writers.Schema)
			return err
		},
	})
	return cmd
}

func (p *program) writersTokenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "token FILE", Short: "Make an API token in a new file, and print its hash for the policy", Args: cobra.ExactArgs(1),
		Long: "Make an API token in a new file, which only you can read, and print its hash, which belongs under tokens of a principal\n" +
			"in the policy. Give the file to the writer; nobody needs to keep a copy. To revoke the token, take its hash out of the\n" +
			"policy, and send SIGHUP to the servers.",
		RunE: func(_ *cobra.Command, args []string) error {
			hash, err := newToken(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, writers.FormatHash(hash))
			return err
		},
	}
}

// newToken makes an API token in a new file, and returns its hash.
func newToken(file string) (hash [32]byte, err error) {
	token := "indelible_" + rand.Text() + rand.Text()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return hash, err
	}
	_, err = io.WriteString(f, token+"\n")
	return writers.Hash(token), errors.Join(err, f.Close())
}

// tried is what writers test is asked about.
type tried struct{ token, certificate, address, entry string }

func (p *program) writersTestCommand() *cobra.Command {
	var t tried
	cmd := &cobra.Command{
		Use: "test", Short: "Say which rule decides about an entry of a writer, and why", Args: cobra.NoArgs,
		Long: "Say which rule of the policy (--writers) decides about an entry of a writer, and why. The exit code is 0 if the entry is\n" +
			"allowed, else 1. Rates are not counted. A JWT is verified, for which its issuer is asked for its keys.",
		RunE: p.with(func(ctx context.Context, v config.Values) error { return p.testWriters(ctx, v, t) }),
	}
	fs := cmd.Flags()
	fs.StringVar(&t.token, "token", "", "`FILE` with the writer's API token or JWT")
	fs.StringVar(&t.certificate, "certificate", "", "`FILE` with the writer's client certificate (PEM), which is not verified")
	fs.StringVar(&t.address, "address", "192.0.2.1", "the client's address")
	fs.StringVar(&t.entry, "entry", "", "`FILE` with the entry: its canonical bytes, or what a client of Rekor v1 sends (required)")
	cobra.CheckErr(cmd.MarkFlagRequired("entry"))
	return cmd
}

func (p *program) testWriters(ctx context.Context, v config.Values, t tried) error {
	path := policyFile(v)
	if path == "" {
		return errors.New("there is no policy to test: name it with --writers FILE")
	}
	g, err := gate.Open(gate.Config{Path: path})
	if err != nil {
		return fmt.Errorf("--writers: %w", err)
	}
	canonical, err := readEntry(t.entry)
	if err != nil {
		return err
	}
	c := gate.Credentials{Address: t.address}
	if t.token != "" {
		if c.Token, err = secret.Line(t.token); err != nil {
			return fmt.Errorf("--token: %w", err)
		}
	}
	if c.Certificate, err = readCertificate(t.certificate); err != nil {
		return fmt.Errorf("--certificate: %w", err)
	}
	of, err := g.Principal(ctx, c)
	if err != nil {
		return err
	}
	x := g.Policy().Explain(of, canonical, time.Now())
	fmt.Fprintf(p.stdout, "principal %s (%s)\n%s\n", printable(of.Name), of.Kind, strings.Join(x.Steps, "\n"))
	if !x.Allowed {
		return fmt.Errorf("refused by %s", cmp.Or(quoted(x.Rule), "default: no rule allows it"))
	}
	_, err = fmt.Fprintf(p.stdout, "allowed by %s, %s\n", quoted(x.Rule), x.Rate)
	return err
}

// printable is a name as a terminal can show it: a certificate or a JWT can hold
// anything.
func printable(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}

func quoted(rule string) string {
	if rule == "" {
		return ""
	}
	return fmt.Sprintf("the rule %q", rule)
}

// readEntry reads an entry, as it is logged or as Rekor v1's clients propose it.
func readEntry(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--entry: %w", err)
	}
	if e, err := entry.NewRekorV1(data); err == nil {
		return e.Canonical(), nil
	}
	if _, err := entry.Parse(data); err != nil {
		return nil, fmt.Errorf("--entry %s: %w; give the canonical bytes, as logcli get prints them, or what a client of Rekor v1 sends", path, err)
	}
	return data, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return x509.ParseCertificate(block.Bytes)
}
