//go:build unix

// Command logwitness runs a witness: it cosigns the checkpoints of other
// people's logs, and never two that contradict each other.
//
//	logwitness keygen --name witness.example.com/w1
//	logwitness serve --logs logs.txt
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/describe"
	"indelible/internal/filename"
	"indelible/internal/notices"
)

// memoryLimit is from where on the Go runtime collects more often: a witness of
// 10,000 logs fits into 64 MiB, the database driver's own memory included.
const memoryLimit = 28 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the second one has its usual effect: at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "logwitness:", err)
		os.Exit(1)
	}
}

// program is what the commands share.
type program struct {
	getenv         func(string) (string, bool)
	stdout, stderr io.Writer
	configFile     string
	level          slog.LevelVar                 // of the log
	again          func() (config.Values, error) // loads the settings again
}

func run(ctx context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) error {
	p := &program{getenv: getenv, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:           "logwitness",
		Short:         "Run a witness for transparency logs",
		Long:          "Run a witness: it cosigns checkpoints of the logs in a list, each only if it extends the one before.\n\nlogwitness keygen makes its key, and logwitness serve runs it.",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return filename.CheckFlags(cmd.Flags())
		},
	}
	root.SetFlagErrorFunc(config.FlagError)
	root.AddCommand(describe.Command(stdout), p.keygenCommand(), p.serveCommand(), p.healthCommand(), p.acceptCommand(), p.registerCommand(), &cobra.Command{
		Use: "licenses", Short: "Print the licenses of the software in this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(stdout, notices.Text)
			return err
		},
	}, &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdout, "logwitness", config.ThisBuild())
			return err
		},
	})
	config.Groups(root)
	config.AddVersion(root)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// configured gives a command the settings, which f is called with.
func (p *program) configured(cmd *cobra.Command, f func(context.Context, config.Values) error) *cobra.Command {
	cmd.Args = cobra.NoArgs
	config.AddFlags(cmd.Flags(), settings())
	config.Complete(cmd, settings())
	cmd.Flags().StringVar(&p.configFile, "config", "", "YAML file with settings (INDELIBLE_CONFIG)")
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p.again = func() (config.Values, error) { return p.load(cmd) }
		v, err := p.again()
		if err != nil {
			return err
		}
		p.level.Set(level(v.Text("log-level")))
		return f(cmd.Context(), v)
	}
	return cmd
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
	return v, check(v)
}
