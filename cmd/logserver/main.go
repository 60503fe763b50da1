// Command logserver runs a transparency log: one process over SQLite or MySQL.
//
// Exit codes: 0 done; 1 an error; those of guard status are in its help.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/describe"
	"indelible/internal/notices"
)

func main() {
	tunes := os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == ""
	if tunes {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(defaultLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the second one has its usual effect: at once.
	context.AfterFunc(ctx, stop)
	said := &libraries{now: time.Now}
	said.listen()
	p := &program{getenv: os.LookupEnv, environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr, libraries: said, tunes: tunes}
	err := p.run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "logserver:", err)
		os.Exit(exitCode(err))
	}
}

// program is what the commands share.
type program struct {
	getenv         func(string) (string, bool)
	environ        []string // as os.Environ has it
	stdout, stderr io.Writer
	configFile     string
	dev            bool
	tunes          bool                          // the collector is set by the settings
	level          slog.LevelVar                 // of the log
	again          func() (config.Values, error) // loads the settings again
	libraries      *libraries                    // nil: library output is discarded
}

func (p *program) run(ctx context.Context, args []string) error {
	root := p.command()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return root.ExecuteContext(ctx)
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "logserver",
		Short: "Run a transparency log on SQLite or MySQL",
		Long: "Run a transparency log: signed entries in, proofs out.\n\n" +
			"Everyone who reaches the HTTP or the gRPC port may read, and may write unless --writers says otherwise: the log asks\n" +
			"for a valid signature, and not whose it is. By default both listen on this machine alone.\n\n" +
			"Without arguments it runs a log in ./indelible-data, which it creates when it is not there. With --dev it runs one\n" +
			"that is gone when the program ends.\n" +
			"On MySQL a log is created by logserver init, and only by it.",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          p.serving,
	}
	root.SetFlagErrorFunc(config.FlagError)
	config.AddFlags(root.PersistentFlags(), settings())
	config.Complete(root, settings())
	root.PersistentFlags().StringVar(&p.configFile, "config", "", "YAML file with settings (INDELIBLE_CONFIG)")
	root.PersistentFlags().SortFlags = false
	serve := &cobra.Command{Use: "serve", Short: "Run the log (the default)", Args: cobra.NoArgs, RunE: p.serving}
	for _, c := range []*cobra.Command{root, serve} {
		c.Flags().BoolVar(&p.dev, "dev", false, "run a log for trying out: it is in a temporary folder, has a new name, and is gone when the program ends")
	}
	root.AddCommand(
		serve,
		describe.Command(p.stdout), p.initCommand(), p.healthCommand(), p.configCommand(), p.fsckCommand(), p.guardCommand(), p.backupCommand(), p.restoreCommand(), p.indexCommand(), p.writersCommand(), p.tokenCommand(),
		&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, "logserver", config.ThisBuild())
			return err
		}},
		&cobra.Command{Use: "licenses", Short: "Print the licenses of the software in this program", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(p.stdout, notices.Text)
			return err
		}},
	)
	config.Groups(root)
	config.AddVersion(root)
	return root
}

// with loads the settings for a command.
func (p *program) with(f func(context.Context, config.Values) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		p.again = func() (config.Values, error) { return p.load(cmd) }
		v, err := p.again()
		if err != nil {
			return err
		}
		p.level.Set(level(v.Text("log-level")))
		return f(cmd.Context(), v)
	}
}

func (p *program) load(cmd *cobra.Command) (config.Values, error) {
	file := p.configFile
	if env, ok := p.getenv("INDELIBLE_CONFIG"); ok && file == "" {
		file = env
	}
	v, err := config.Load(settings(), cmd.Flags(), p.getenv, file)
	if err != nil {
		return v, err
	}
	if strangers := config.Strangers(settings(), p.environ, "INDELIBLE_CONFIG", "INDELIBLE_URL"); len(strangers) > 0 {
		p.logger(v).Warn("variables of the environment that name no setting have no effect", "variables", strings.Join(strangers, ", "))
	}
	return v, check(v)
}

// logger makes the one that all is written down with.
func (p *program) logger(v config.Values) *slog.Logger {
	logger := newLogger(p.stderr, &p.level)
	if p.libraries != nil {
		p.libraries.to.Store(logger)
	}
	return logger
}
