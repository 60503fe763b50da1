// Command bench measures an Indelible log and, in the same run, the limits of
// the machine that it runs on, and prints each result as a share of its limit:
// absolute figures say as much about the machine and its neighbours as about
// the program. What is compared with each other (with and without witnesses, one
// replica and three) is measured in turn, A B A B, and the medians count: the
// column "runs" has the lowest rate and the highest.
//
//	go run ./bench                      everything, with MariaDB; half an hour
//	go run ./bench -short               the same with fewer entries, shorter runs, one of each
//	go run ./bench -only adds,proofs    some of it
//	go run ./bench -binlog              the database with log_bin and sync_binlog=1
//	go run ./bench -storage mysql-9.7   MySQL, or mariadb-11.8: see tools/get-databases
//
// The groups are limits, adds, replicas, single, batch, guard, tiles, cold (tiles and
// bundles that no server has in memory, beside the logserver of -against), proofs,
// rekor, search, attack (a client beside one that sends what costs the most),
// bigreads (adds beside readers of large entries), writers (a log with a policy of
// writers),
// witness (a log that asks witnesses), logwitness (a witness that
// logs ask), monitor (entries compared with patterns), mirror (a log mirrored, pushed,
// and its copy served), publication (a log published to a folder), growth. Most take their limits from the group limits, and print
// none without it; those that compare, and logwitness, measure their own.
//
// It builds logserver and logwitness, starts a MariaDB of its own and a fresh
// log for each group of measurements, and removes both. Client, server and
// database share the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := begin(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// begin runs the program, or what it starts itself as.
func begin(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == "serve-echo" {
		return serveEcho(ctx, args[1], args[2])
	}
	if len(args) == 3 && args[0] == "serve-files" {
		files := http.Server{Addr: args[1], Handler: http.FileServer(http.Dir(args[2]))}
		defer context.AfterFunc(ctx, func() { files.Close() })()
		return files.ListenAndServe()
	}
	if s, ok := parseServedLog(args); ok {
		return serveLog(ctx, s)
	}
	return run(ctx, args, os.Stdout, os.Stderr)
}

// options are what the command line says.
type options struct {
	only     string
	duration time.Duration // of each measurement
	rounds   int           // of each comparison
	preload  int64         // entries in the log for reads and proofs
	mirrored int64         // entries of the log that is mirrored
	grow     int64         // entries up to which the cost per add is followed
	binlog   bool
	pool     string // InnoDB buffer pool
	bin      string // logserver binary; built if empty
	against  string // another logserver binary that cold reads are compared with
	engine   string
	make     string // of the database; empty: what the system has
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	short := false
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.only, "only", "limits,adds,replicas,single,batch,guard,tiles,cold,proofs,rekor,search,attack,bigreads,writers,witness,logwitness,monitor,mirror,publication,growth", "which groups to measure, comma-separated")
	fs.DurationVar(&o.duration, "duration", 8*time.Second, "length of each measurement")
	fs.IntVar(&o.rounds, "rounds", 3, "how often each way of a comparison is measured, in turn; the median counts")
	fs.Int64Var(&o.preload, "preload", 1_000_000, "entries in the log for reads and proofs")
	fs.Int64Var(&o.grow, "grow", 5_000_000, "entries up to which growth is followed")
	fs.Int64Var(&o.mirrored, "mirrored", 500_000, "entries of 1 KiB in the log that is mirrored")
	fs.BoolVar(&o.binlog, "binlog", false, "run the database with log_bin and sync_binlog=1")
	fs.StringVar(&o.pool, "buffer-pool", "2G", "the database's innodb_buffer_pool_size")
	fs.StringVar(&o.bin, "logserver", "", "a logserver binary to measure (default: build this tree's)")
	fs.StringVar(&o.against, "against", "", "a logserver binary of another revision, which the group cold measures too")
	fs.StringVar(&o.engine, "storage", "mysql", "mysql, which is the MariaDB that the system has; mysql-9.7 or mariadb-11.8, which tools/get-databases gets; or sqlite")
	fs.BoolVar(&short, "short", false, "fewer entries, shorter runs: for a first look")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.engine != "mysql" && o.engine != "sqlite" {
		o.engine, o.make = "mysql", o.engine
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("-rounds %d: at least 1", o.rounds)
	}
	if short {
		o.duration, o.rounds, o.preload, o.grow, o.mirrored = 3*time.Second, 1, 50_000, 100_000, 100_000
	}
	return o, nil
}

// group is a set of measurements that share a log.
type group struct {
	name string
	run  func(context.Context, *bench) error
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	groups := []group{
		{"limits", measureLimits},
		{"adds", measureAdds},
		{"replicas", measureReplicas},
		{"single", measureSingle},
		{"batch", measureBatch},
		{"guard", measureGuard},
		{"tiles", measureTiles},
		{"cold", measureCold},
		{"proofs", measureProofs},
		{"rekor", measureRekor},
		{"search", measureSearch},
		{"attack", measureAttack},
		{"bigreads", measureBigReads},
		{"writers", measureWriters},
		{"witness", measureWitness},
		{"logwitness", measureLogwitness},
		{"monitor", measureMonitor},
		{"mirror", measureMirror},
		{"publication", measurePublication},
		{"growth", measureGrowth},
	}
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	for _, g := range groups {
		if !strings.Contains(","+o.only+",", ","+g.name+",") {
			continue
		}
		fmt.Fprintf(stderr, "bench: %s\n", g.name)
		b.table.heading(g.name)
		if err = g.run(ctx, b); err != nil {
			err = fmt.Errorf("%s: %w", g.name, err)
			break
		}
	}
	return errors.Join(err, b.table.print(stdout))
}
