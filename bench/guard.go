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
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/native"
	"indelible/storage"
	"indelible/storage/mysql"
	"indelible/storage/sqlite"
)

// measureGuard compares a log with one whose guard costs nothing: entries and
// tree heads are read back from memory, and the register is there too. The
// product has no switch for that, so both are served by this program, started as
// servers: the log, its database and the native API are the product's.
func measureGuard(ctx context.Context, b *bench) error {
	guarded, err := b.startGuard(ctx, "guarded")
	if err != nil {
		return err
	}
	defer guarded.stop()
	free, err := b.startGuard(ctx, "unguarded")
	if err != nil {
		return err
	}
	defer free.stop()
	hashes, err := b.leafHashes(ctx)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name string
		of   func(*process) way
	}{
		{rawName(256), func(p *process) way { return b.rawWay([]*process{p}, 256) }},
		{rawName(1024), func(p *process) way { return b.rawWay([]*process{p}, 1024) }},
		{batchName, b.batchWay},
	} {
		m, err := b.alternate(ctx, w.of(guarded), w.of(free))
		if err != nil {
			return err
		}
		b.table.add(m[1].row(w.name + ", no read back, no register"))
		r := m[0].against(m[1], w.name+", guarded", "unguarded", 0.9)
		r.note = join(r.note, fmt.Sprintf("both hash what they read, %.1f %% of the CPU", 100*r.rate/hashes))
		b.table.add(r)
	}
	return nil
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
func (b *bench) startGuard(ctx context.Context, kind string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, kind)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	p := &process{admin: "http://" + ports[0], grpc: ports[1]}
	database := filepath.Join(dir, "log.db")
	if b.db != nil {
		database, p.databasePID = b.db.DSN("bench_"+kind), b.db.PID()
		if err := b.db.Exec(ctx, "CREATE DATABASE bench_"+kind); err != nil {
			return nil, err
		}
	}
	p.cmd = exec.Command(self, "serve-log", kind, b.o.engine, database, dir, ports[0], ports[1])
	p.cmd.Stderr = b.stderr
	return p, p.start(ctx, p.admin+"/readyz")
}

// servedLog is what startGuard tells the process that it starts.
type servedLog struct {
	guarded          bool
	engine, database string
	dir, admin, grpc string
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
	if s.guarded {
		cfg.Store = store
		if cfg.Register, err = guard.CreateFile(filepath.Join(s.dir, "register"), origin, guard.NewID()); err != nil {
			return cfg, err
		}
	}
	cfg.Record, err = store.CreateLog(ctx, storage.Log{
		Instance: guard.NewID(), Origin: origin, Keys: []string{signer.Verifier().String()}, Register: cfg.Register.ID(),
		CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	return cfg, err
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
