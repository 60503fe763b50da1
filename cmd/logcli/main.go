// Command logcli logs files, verifies proofs offline, and audits logs.
//
// Exit codes: 0 done, or verified; 1 it does not verify, or the log contradicts what
// it showed before; 2 wrong usage, or nothing to trust; 3 could not ask (network,
// server, file), or the answer is older than what was shown before. Those of monitor
// alone: 4 it does not keep up with the log; 5 the log's head is too old; 6 entries
// that match a pattern; 7 the log shrank; 8 the log forked.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"indelible/client"
	"indelible/internal/config"
	"indelible/internal/describe"
	"indelible/internal/filename"
	"indelible/internal/notices"
	"indelible/internal/redact"
	"indelible/mirror"
	"indelible/mirror/source"
	"indelible/verify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the second one has its usual effect: at once.
	context.AfterFunc(ctx, stop)
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
	exitBehind     = 4 // these are monitor's
	exitStale      = 5
	exitFound      = 6
	exitShrunk     = 7
	exitForked     = 8
)

// program is what the commands share.
type program struct {
	getenv         func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer

	urls                                []string
	url, output, logKey, policy, signer string // url is the first of urls
	timeout, stall                      time.Duration
	redirects                           bool

	credentials credentials
	toLog       http.RoundTripper // sends them

	reasons reasons // to ask again, that were told

	hiding atomic.Bool // a password, at a terminal that does not show what is typed
	ending atomic.Bool // a server, which ends what runs by itself
}

// patience is how long a command that was interrupted may take to end by itself.
const patience = 500 * time.Millisecond

func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{Writer: stdout}
	p := &program{getenv: getenv, stdin: stdin, stdout: out, stderr: stderr}
	done := make(chan error, 1)
	go func() { done <- p.execute(ctx, args) }()
	err, ended := p.wait(ctx, done)
	if !ended {
		// The command is left behind, and p with it.
		after := &program{getenv: getenv, stdout: stdout, stderr: stderr}
		if asksJSON(args) {
			after.output = "json"
		}
		return after.report(errors.New("interrupted"))
	}
	if code(err) == exitUsage && asksJSON(args) {
		p.output = "json" // the flags may not have been read up to it
	}
	return p.report(out.with(err))
}

func (p *program) execute(ctx context.Context, args []string) error {
	root := p.command()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	completeUsage(root)
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") {
		err = usage(err) // cobra has no type for it
	}
	return err
}

// wait waits for a command, and, once it is interrupted, not much longer: where
// it opens or reads a file that nobody writes, or computes, no context ends it.
// Who is asked for a password is always waited for: the terminal must show again
// what is typed.
func (p *program) wait(ctx context.Context, done <-chan error) (err error, ended bool) {
	select {
	case err = <-done:
		return err, true
	case <-ctx.Done():
	}
	select {
	case err = <-done:
		return err, true
	case <-time.After(patience):
	}
	if p.hiding.Load() || p.ending.Load() {
		return <-done, true
	}
	return nil, false
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
			"  logcli verify FILE    check FILE and FILE.tlog-proof, without any network\n\n" +
			"The newest tree head that a log showed is remembered beside your keys, in\n" +
			"indelible/logs of the user's configuration folder. Whatever the log answers must\n" +
			"extend it.\n\n" +
			"Exit codes: 0 done, or verified; 1 it does not verify, or the log forked or\n" +
			"shrank since it was last asked (evidence is written); 2 wrong usage, or nothing\n" +
			"to trust; 3 there is no answer, or one that is older than an earlier one.",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return p.checkFlags(cmd) },
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(config.FlagError(cmd, err)) })
	f := root.PersistentFlags()
	p.url = "http://127.0.0.1:8080" // for messages, until the flags are read
	def := []string{p.url}
	if env, ok := p.getenv("INDELIBLE_URL"); ok {
		def = strings.Fields(env)
	}
	f.StringArrayVar(&p.urls, "url", def, "the log's `URL` (INDELIBLE_URL); may be given again, for others that serve the same")
	f.Lookup("url").DefValue = strings.Join(shownURLs(def), " ") // help shows it
	f.StringVarP(&p.output, "output", "o", "text", "`text|json`")
	cobra.CheckErr(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
	f.StringVar(&p.logKey, "log-key", "", "trusted log key: a vkey, or a file of vkeys, `VKEY|FILE` (INDELIBLE_LOG_KEY; default: the remembered one)")
	f.StringVar(&p.policy, "policy", "", "tlog-policy `FILE` of the trusted logs and the witnesses that they need (INDELIBLE_POLICY)")
	f.StringVar(&p.signer, "signer", "", "trusted signer: a file with a public key or certificate, or a fingerprint, `FILE|SHA256:HEX` (INDELIBLE_SIGNER; default: your own key)")
	f.DurationVar(&p.timeout, "timeout", 2*time.Minute, "maximum time of a command that asks a log")
	f.DurationVar(&p.stall, "stall-timeout", 30*time.Second, "maximum time without a byte from the log")
	f.BoolVar(&p.redirects, "follow-redirects", false, "follow redirects to other hosts, with the entries to add")
	p.credentials.flags(f)
	root.AddCommand(describe.Command(p.stdout), p.addCommand(), p.verifyCommand(), p.getCommand(), p.listCommand(), p.searchCommand(), p.proveCommand(),
		p.checkpointCommand(), p.consistencyCommand(), p.fsckCommand(), p.mirrorCommand(), p.evidenceCommand(), p.trustCommand(), p.doctorCommand(), p.conformanceCommand(), p.keygenCommand(), p.versionCommand(), p.licensesCommand())
	root.AddCommand(p.monitorCommand(), p.exploreCommand(), p.proxyCommand())
	config.Groups(root)
	config.AddVersion(root)
	return root
}

func (p *program) checkFlags(cmd *cobra.Command) error {
	if err := filename.CheckFlags(cmd.Flags()); err != nil {
		return usage(err)
	}
	p.fromEnvironment(cmd.Flags())
	if len(p.urls) == 0 {
		return usagef("INDELIBLE_URL is empty: set it to the log's URL, or unset it")
	}
	p.url = p.urls[0]
	switch {
	case p.output != "text" && p.output != "json":
		return usagef("--output %q: it is text or json", p.output)
	case p.logKey != "" && p.policy != "":
		return usagef("give one of --log-key and --policy (or of INDELIBLE_LOG_KEY and INDELIBLE_POLICY)")
	case p.timeout <= 0:
		return usagef("--timeout %s: it is over 0, as in 30s or 2m", p.timeout)
	case p.stall <= 0:
		return usagef("--stall-timeout %s: it is over 0, as in 30s or 2m", p.stall)
	}
	var err error
	p.toLog, err = p.transport()
	return err
}

// fromEnvironment reads what is trusted, where no flag says it: --log-key and
// --policy stand in for each other.
func (p *program) fromEnvironment(f *pflag.FlagSet) {
	set := func(to *string, name string, unless ...string) {
		env, ok := p.getenv(name)
		if ok && env != "" && !slices.ContainsFunc(unless, f.Changed) {
			*to = env
		}
	}
	set(&p.credentials.token, "INDELIBLE_TOKEN_FILE", "token-file")
	set(&p.logKey, "INDELIBLE_LOG_KEY", "log-key", "policy", "trusted-root")
	set(&p.policy, "INDELIBLE_POLICY", "log-key", "policy")
	set(&p.signer, "INDELIBLE_SIGNER", "signer", "certificate-identity", "certificate-oidc-issuer", "ca-roots")
}

func (p *program) licensesCommand() *cobra.Command {
	return &cobra.Command{Use: "licenses", Short: "Print the licenses of the software in this program", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
		return p.print(map[string]string{"licenses": notices.Text}, "%s", notices.Text)
	}}
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
		b := config.ThisBuild()
		return p.print(b, "logcli %s\n", b)
	}}
}

// completeUsage makes usage errors of what cobra's own commands take for a wish
// for help: help and completion, of something that is not there. Completion writes
// to the output that is set now.
func completeUsage(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(cmd *cobra.Command, a []string) error {
				if found, _, err := root.Find(a); err != nil || len(a) > 0 && found.Name() != a[len(a)-1] {
					return usagef("there is no command %q to help with; logcli help lists all", strings.Join(a, " "))
				}
				return nil
			}
		case "completion":
			c.Args = args(cobra.NoArgs)
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
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
	case errors.Is(err, client.ErrUntrusted), errors.Is(err, source.ErrFalse), errors.Is(err, mirror.ErrForked), errors.Is(err, mirror.ErrShrunk):
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
	if errors.Is(err, syscall.ECONNREFUSED) && strings.Contains(err.Error(), strings.TrimRight(redact.URL(p.url), "/")) {
		err = fmt.Errorf("%w\nIs a log running at %s? Another is given by --url, or INDELIBLE_URL", err, redact.URL(p.url))
	}
	if s := (*client.StatusError)(nil); errors.As(err, &s) && s.LeadsTo != "" {
		err = fmt.Errorf("%w\nGive that with --url %s, or follow redirects with --follow-redirects", err, s.LeadsTo)
	}
	if p.output != "json" || json.NewEncoder(p.stdout).Encode(map[string]any{"error": err.Error(), "exit": c}) != nil {
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
