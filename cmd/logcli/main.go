// Command logcli logs files, verifies proofs offline, and audits logs.
//
// Exit codes: 0 done, or verified; 1 it does not verify; 2 wrong usage, or
// nothing to trust; 3 could not ask (network, server, file).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"indelible/client"
	"indelible/verify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	log.SetOutput(io.Discard) // net/http says on it what our errors say as well
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitDone       = 0
	exitUnverified = 1
	exitUsage      = 2
	exitUnasked    = 3
)

// program is what the commands share.
type program struct {
	getenv         func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer

	url, output, logKey, policy, signer string
	timeout                             time.Duration

	reasons reasons // to ask again, that were told
}

func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	root := p.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") {
		err = usage(err) // cobra has no type for it
	}
	if code(err) == exitUsage && asksJSON(args) {
		p.output = "json" // the flags may not have been read up to it
	}
	return p.report(err)
}

// asksJSON reports whether arguments that could not be made sense of ask for
// JSON.
func asksJSON(args []string) bool {
	asked := " " + strings.Join(args, " ") + " "
	for _, flag := range []string{"-o json", "-ojson", "-o=json", "--output json", "--output=json"} {
		if strings.Contains(asked, " "+flag+" ") {
			return true
		}
	}
	return false
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "logcli",
		Short: "Log files in a transparency log, and verify that they are logged",
		Long: "Log files in a transparency log, and verify offline that they are logged.\n\n" +
			"  logcli add FILE       sign FILE, log it, and write FILE.tlog-proof\n" +
			"  logcli verify FILE    check FILE and FILE.tlog-proof, without any network",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return p.checkFlags() },
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	f := root.PersistentFlags()
	def := "http://127.0.0.1:8080"
	if env, ok := p.getenv("INDELIBLE_URL"); ok {
		def = env
	}
	f.StringVar(&p.url, "url", def, "the log's `URL` (INDELIBLE_URL)")
	f.StringVarP(&p.output, "output", "o", "text", "`text|json`")
	f.StringVar(&p.logKey, "log-key", "", "the log that is trusted: its vkey, or a file with them: `VKEY|FILE` (default: as remembered from the first add)")
	f.StringVar(&p.policy, "policy", "", "the logs that are trusted and the witnesses asked for: a tlog-policy `FILE`")
	f.StringVar(&p.signer, "signer", "", "who must have signed: a file with a public key or certificate, or a fingerprint, `FILE|SHA256:HEX` (default: your own key)")
	f.DurationVar(&p.timeout, "timeout", 2*time.Minute, "how long a command that asks a log may take")
	root.AddCommand(p.addCommand(), p.verifyCommand(), p.getCommand(), p.listCommand(), p.searchCommand(), p.proveCommand(),
		p.checkpointCommand(), p.consistencyCommand(), p.fsckCommand(), p.evidenceCommand(), p.trustCommand(), p.doctorCommand(), p.conformanceCommand(), p.keygenCommand(), p.versionCommand())
	return root
}

func (p *program) checkFlags() error {
	switch {
	case p.output != "text" && p.output != "json":
		return usagef("--output %q: it is text or json", p.output)
	case p.logKey != "" && p.policy != "":
		return usagef("give one of --log-key and --policy")
	}
	return nil
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
		v, goVersion := "(unknown)", ""
		if info, ok := debug.ReadBuildInfo(); ok {
			v, goVersion = info.Main.Version, info.GoVersion
		}
		return p.print(map[string]string{"version": v, "go": goVersion}, "logcli %s %s\n", v, goVersion)
	}}
}

// args makes cobra's complaints about arguments usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, a []string) error {
		if err := check(cmd, a); err != nil {
			return usagef("%w; it is used as: %s", err, cmd.UseLine())
		}
		return nil
	}
}

// exitError is an error that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error              { return &exitError{exitUsage, err} }
func usagef(f string, args ...any) error { return usage(fmt.Errorf(f, args...)) }
func unverified(err error) error         { return &exitError{exitUnverified, err} }

// code is an error's exit code. What is not known to be anything else is that
// something could not be asked or read.
func code(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, client.ErrUntrusted):
		return exitUnverified
	case errors.Is(err, verify.ErrNoTrust):
		return exitUsage
	}
	return exitUnasked
}

// reported is an error that was printed already.
type reported struct{ error }

func (r reported) Unwrap() error { return r.error }

// report prints an error and returns the exit code.
func (p *program) report(err error) int {
	c := code(err)
	if err == nil || errors.As(err, &reported{}) {
		return c
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w\nIs a log running at %s? Another is given by --url, or INDELIBLE_URL", err, p.url)
	}
	if p.output == "json" {
		json.NewEncoder(p.stdout).Encode(map[string]any{"error": err.Error(), "exit": c})
	} else {
		fmt.Fprintln(p.stderr, "logcli:", harmless(err.Error()))
	}
	return c
}

// print writes a result: as JSON, or as text for people.
func (p *program) print(v any, text string, args ...any) error {
	if p.output == "json" {
		e := json.NewEncoder(p.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	_, err := fmt.Fprintf(p.stdout, text, args...)
	return err
}

// say tells a person something beside the result.
func (p *program) say(format string, args ...any) {
	if p.output == "text" {
		fmt.Fprintln(p.stderr, harmless(fmt.Sprintf(format, args...)))
	}
}

// harmless is a text without what could make a terminal do something: servers,
// certificates and file names have a say in messages.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// colour wraps a text in an ANSI colour, on a terminal whose user has not
// asked for none.
func (p *program) colour(sgr, text string) string {
	f, ok := p.stdout.(*os.File)
	if no, _ := p.getenv("NO_COLOR"); no != "" || !ok || !term.IsTerminal(int(f.Fd())) {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}
