package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/guard"
	"indelible/guard/database"
	"indelible/internal/freeport"
	"indelible/internal/mysqldb"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/native"
	"indelible/storage"
	"indelible/storage/mysql"
	"indelible/storage/sqlite"
)

// The registers that a log of measureGuard can have.
const (
	registerNone     = "none" // and nothing is read back
	registerFile     = "file"
	registerDatabase = "database"
)

// guardedLogs are the logs that are compared. database is nil where the run has
// no MariaDB.
type guardedLogs struct{ free, file, database *process }

// measureGuard compares a log with one whose guard costs nothing: entries and
// tree heads are read back from memory, and the register is there too. The
// product has no switch for that, so both are served by this program, started as
// servers: the log, its database and the native API are the product's. A log
// whose register is in a second database is shown beside them.
func measureGuard(ctx context.Context, b *bench) error {
	logs, err := b.startGuards(ctx)
	defer logs.stop()
	if err != nil {
		return err
	}
	hashes, err := b.leafHashes(ctx)
	if err != nil {
		return err
	}
	raw := func(clients int) func(*process) way {
		return func(p *process) way { return b.rawWay([]*process{p}, clients) }
	}
	few := guardedLogs{free: logs.free, file: logs.file}
	for _, w := range []struct {
		name string
		of   func(*process) way
		logs guardedLogs
	}{
		{rawName(256), raw(256), few},
		{rawName(1024), raw(1024), logs},
		{batchName, b.batchWay, few},
	} {
		if err := b.compareGuards(ctx, w.name, w.of, w.logs, hashes); err != nil {
			return err
		}
	}
	return nil
}

// compareGuards adds the rows of one load.
func (b *bench) compareGuards(ctx context.Context, name string, of func(*process) way, logs guardedLogs, hashes float64) error {
	ways := []way{of(logs.file), of(logs.free)}
	if logs.database != nil {
		ways = append(ways, of(logs.database))
	}
	m, err := b.alternate(ctx, ways...)
	if err != nil {
		return err
	}
	b.table.add(m[1].row(name + ", no read back, no register"))
	r := m[0].against(m[1], name+", guarded", "unguarded", 0.9)
	r.note = join(r.note, fmt.Sprintf("both hash what they read, %.1f %% of the CPU", 100*r.rate/hashes))
	b.table.add(r)
	if len(m) > 2 {
		r := m[2].against(m[1], name+", guarded, register in a database", "unguarded", 0)
		r.note = join(r.note, "the register is in a second schema of the log's own server")
		b.table.add(r)
	}
	return nil
}

// startGuards starts the logs. Those that did start are to be stopped after an
// error, too.
func (b *bench) startGuards(ctx context.Context) (logs guardedLogs, err error) {
	if logs.file, err = b.startGuard(ctx, registerFile); err != nil {
		return logs, err
	}
	if logs.free, err = b.startGuard(ctx, registerNone); err != nil || b.db == nil {
		return logs, err
	}
	logs.database, err = b.startGuard(ctx, registerDatabase)
	return logs, err
}

func (l guardedLogs) stop() {
	for _, p := range []*process{l.free, l.file, l.database} {
		if p != nil {
			p.stop()
		}
	}
}

// leafHashes measures the one part of the guard that both have.
func (b *bench) leafHashes(ctx context.Context) (float64, error) {
	const name, each = "limit: leaf hashes of 1 KiB", 256
	body := rawBody("hash", 0)
	r := closedLoop(ctx, runtime.NumCPU(), b.o.duration/4, func(context.Context, int, int64) error {
		for range each {
			if merkle.LeafHash(body) == (merkle.Hash{}) {
				return errors.New("a hash of zeros")
			}
		}
		return nil
	})
	r.ops, r.times = r.ops*each, nil
	return r.rate(), b.limit(name, r)
}

// startGuard starts this program as a server of a fresh log.
func (b *bench) startGuard(ctx context.Context, register string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freeport.Addrs(2)
	if err != nil {
		return nil, err
	}
	s := servedLog{register: register, engine: b.o.engine, dir: filepath.Join(b.dir, "guard-"+register), admin: ports[0], grpc: ports[1]}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	p := &process{admin: "http://" + s.admin, grpc: s.grpc}
	if s.database, s.registerDSN, err = b.guardDatabases(ctx, s); err != nil {
		return nil, err
	}
	if b.db != nil {
		p.databasePID = b.db.PID()
	}
	p.cmd = exec.Command(self, s.args()...)
	p.cmd.Stderr = b.stderr
	if err := p.start(ctx, p.admin+"/readyz"); err != nil {
		return nil, err
	}
	return p, nil
}

// guardDatabases makes the databases of a log and of its register.
func (b *bench) guardDatabases(ctx context.Context, s servedLog) (log, register string, err error) {
	if b.db == nil {
		return filepath.Join(s.dir, "log.db"), "", nil
	}
	log, register = "bench_guard_"+s.register, "bench_register_"+s.register
	if err := b.db.Exec(ctx, "CREATE DATABASE "+log, "CREATE DATABASE "+register); err != nil {
		return "", "", err
	}
	return b.db.DSN(log), b.db.DSN(register), nil
}

// servedLog is what startGuard tells the process that it starts.
type servedLog struct {
	register         string // registerNone, registerFile or registerDatabase
	engine, database string
	registerDSN      string // for registerDatabase
	dir, admin, grpc string
}

const serveLogCommand = "serve-log"

// args are how it is told, and parseServedLog reads them.
func (s servedLog) args() []string {
	return []string{serveLogCommand, s.register, s.engine, s.database, s.registerDSN, s.dir, s.admin, s.grpc}
}

func parseServedLog(args []string) (s servedLog, ok bool) {
	if len(args) != len(s.args()) || args[0] != serveLogCommand {
		return s, false
	}
	return servedLog{
		register: args[1], engine: args[2], database: args[3], registerDSN: args[4], dir: args[5], admin: args[6], grpc: args[7],
	}, true
}

// serveLog is that process.
func serveLog(ctx context.Context, s servedLog) error {
	store, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	cfg, err := s.create(ctx, store)
	if err != nil {
		return err
	}
	var counts appends
	cfg.Events.Appended = counts.add
	l, err := translog.Open(cfg)
	if err != nil {
		return err
	}
	on, err := net.Listen("tcp", s.grpc)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	native.Register(server, native.New(native.Config{Log: l, Kinds: []entry.Kind{entry.KindRaw}}))
	go server.Serve(on)
	go http.ListenAndServe(s.admin, counts.handler(l))
	defer server.Stop()
	return l.Run(ctx)
}

func (s servedLog) open(ctx context.Context) (storage.Store, error) {
	if s.engine == "mysql" {
		return mysql.Open(ctx, s.database, mysql.Options{Migrate: true})
	}
	return sqlite.Open(ctx, s.database, sqlite.Options{})
}

// create makes the log, with a register as the product's or with none to speak
// of.
func (s servedLog) create(ctx context.Context, store storage.Store) (translog.Config, error) {
	const origin = "guard.bench.example"
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return translog.Config{}, err
	}
	signer, err := checkpoint.NewSigner(origin, key)
	if err != nil {
		return translog.Config{}, err
	}
	cfg := translog.Config{Store: &trusting{Store: store}, Register: newWeightless(), Signers: []translog.Signer{signer}}
	if s.register != registerNone {
		cfg.Store = store
		if cfg.Register, err = s.createRegister(ctx, origin); err != nil {
			return cfg, err
		}
	}
	cfg.Record, err = store.CreateLog(ctx, storage.Log{
		Instance: guard.NewID(), Origin: origin, Keys: []string{signer.Verifier().String()}, Register: cfg.Register.ID(),
		CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	return cfg, err
}

func (s servedLog) createRegister(ctx context.Context, origin string) (guard.Register, error) {
	if s.register == registerDatabase {
		return database.Create(ctx, s.registerDSN, mysqldb.Access{}, guard.NewText(origin, guard.NewID()))
	}
	return guard.CreateFile(filepath.Join(s.dir, "register"), origin, guard.NewID())
}

// appends counts as the product's metrics do.
type appends struct{ count, entries atomic.Int64 }

func (a *appends) add(entries, _ int, _ time.Duration) {
	a.count.Add(1)
	a.entries.Add(int64(entries))
}

func (a *appends) handler(l *translog.Log) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %d\n%s %d\n", appendsMetric, a.count.Load(), entriesMetric, a.entries.Load())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := l.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	return mux
}
