package main

import (
	"context"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
)

const (
	// askingLogs is how many logs the witness knows, and is asked by.
	askingLogs = 10_000
	// askingClients is how many clients ask at once, each for logs of its own.
	askingClients = 64
)

// measureLogwitness measures add-checkpoint of a witness with two keys, and its
// memory. A commit may serve many logs at once: the bound counts one for each
// request all the same.
func measureLogwitness(ctx context.Context, b *bench) error {
	a, err := b.startAsked(ctx)
	if err != nil {
		return err
	}
	defer a.witness.stop()
	echo, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	defer echo.stop()
	m, err := b.alternate(ctx, b.signatures, b.commits, b.echoes(echo, a.bytes), b.askedWay(a))
	if err != nil {
		return err
	}
	engine := strings.NewReplacer("mysql", "MariaDB", "sqlite", "SQLite").Replace(b.o.engine)
	b.table.add(m[0].row("limit: signatures of one add-checkpoint, on all cores"))
	b.table.add(m[1].row("limit: tiny commits, one connection, " + engine))
	b.table.add(m[2].row(fmt.Sprintf("limit: HTTP echo of %d bytes, %d clients", a.bytes, askingClients)))
	r := m[3].row(fmt.Sprintf("add-checkpoint over %d logs, %d clients, %s", askingLogs, askingClients, engine))
	r.limit, r.goal = bound(m[0].rate(), m[1].rate(), m[2].rate()), 0.5
	r.note = join(r.note, "limit: commit + echo + signatures (the log's Ed25519 verified, Ed25519 and ML-DSA-44 made)")
	b.table.add(r)
	b.table.add(row{
		what: "logwitness's memory at most, MiB", rate: float64(peakOf(a.witness.cmd.Process.Pid) >> 20),
		note: fmt.Sprintf("with %d logs; it must stay under 64", askingLogs),
	})
	return nil
}

// askedWitness is a witness, and the logs that ask it.
type askedWitness struct {
	witness *process
	keys    []checkpoint.Verifier // the witness's
	logs    []*askingLog
	steps   []step
	ahead   int // requests of each log that are signed before a measurement
	bytes   int // of a request
}

// startAsked starts a witness that has cosigned one checkpoint of each log.
func (b *bench) startAsked(ctx context.Context) (*askedWitness, error) {
	a := &askedWitness{logs: make([]*askingLog, askingLogs)}
	if err := onAllCores(askingLogs, func(i int) (err error) {
		a.logs[i], err = newAskingLog(i)
		return err
	}); err != nil {
		return nil, err
	}
	if err := b.plan(ctx, a); err != nil {
		return nil, err
	}
	if err := b.serveAsked(ctx, a); err != nil {
		return nil, err
	}
	if err := b.firstCheckpoints(ctx, a); err != nil {
		a.witness.stop()
		return nil, err
	}
	return a, nil
}

// plan makes the history that the measurements need: half as much again as the
// signatures alone would allow.
func (b *bench) plan(ctx context.Context, a *askedWitness) (err error) {
	most, err := b.signatures(ctx, 0)
	if err != nil {
		return err
	}
	a.ahead = int(1.5*most.rate()*b.o.duration.Seconds()/askingLogs) + 2
	if a.steps, err = history(1 + a.ahead*b.o.rounds); err != nil {
		return err
	}
	body, err := a.logs[0].request(a.steps[len(a.steps)-1])
	a.bytes = len(body)
	return err
}

// serveAsked starts the witness, with its state in the run's engine.
func (b *bench) serveAsked(ctx context.Context, a *askedWitness) error {
	bin, err := b.build(ctx, "logwitness")
	if err != nil {
		return err
	}
	list := filepath.Join(b.dir, "asking-logs")
	if err := os.WriteFile(list, []byte(logList(a.vkeys())), 0o600); err != nil {
		return err
	}
	args := []string{"--data-dir", filepath.Join(b.dir, "asked"), "--logs", list, "--storage", b.o.engine}
	keys, err := b.askedKeys(ctx, bin, a)
	if err != nil {
		return err
	}
	database, err := b.witnessDatabase(ctx)
	if err != nil {
		return err
	}
	if a.witness, err = b.serveWitness(ctx, bin, slices.Concat(args, keys, database)...); err != nil {
		return err
	}
	if b.db != nil {
		a.witness.databasePID = b.db.PID()
	}
	return nil
}

func (a *askedWitness) vkeys() []string {
	var vkeys []string
	for _, l := range a.logs {
		vkeys = append(vkeys, l.key.Verifier().String())
	}
	return vkeys
}

// askedKeys makes the witness's keys, one of each type.
func (b *bench) askedKeys(ctx context.Context, bin string, a *askedWitness) (args []string, err error) {
	for i, more := range [][]string{nil, {"--mldsa"}} {
		path, vkey, err := b.witnessKey(ctx, bin, fmt.Sprintf("asked%d", i), append(more, "--name", "asked.bench.example")...)
		if err != nil {
			return nil, err
		}
		key, err := checkpoint.ParseVerifier(vkey)
		if err != nil {
			return nil, err
		}
		a.keys, args = append(a.keys, key), append(args, "--key", path)
	}
	return args, nil
}

// witnessDatabase makes a database for a witness, where the run's engine needs
// one.
func (b *bench) witnessDatabase(ctx context.Context) (args []string, err error) {
	if b.db == nil {
		return nil, nil
	}
	const name = "bench_asked"
	if err := b.db.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, "asked.dsn")
	return []string{"--mysql-dsn-file", path}, os.WriteFile(path, []byte(b.db.DSN(name)), 0o600)
}

// firstCheckpoints has the witness cosign a first checkpoint of each log, which
// needs no proof and so is not what is measured.
func (b *bench) firstCheckpoints(ctx context.Context, a *askedWitness) error {
	if err := a.prepare(1); err != nil {
		return err
	}
	web := newWeb(askingClients)
	defer web.close()
	start := time.Now()
	if err := onWorkers(askingClients, askingLogs, func(i int) error {
		return a.ask(ctx, web, a.logs[i], true)
	}); err != nil {
		return err
	}
	b.table.add(row{what: fmt.Sprintf("first checkpoints of %d logs, all verified", askingLogs), rate: askingLogs / time.Since(start).Seconds()})
	return nil
}

// prepare signs in advance.
func (a *askedWitness) prepare(count int) error {
	return onAllCores(len(a.logs), func(i int) error { return a.logs[i].prepare(a.steps, count) })
}

// ask makes a log's next request, which must be answered with 200.
func (a *askedWitness) ask(ctx context.Context, web *web, l *askingLog, check bool) error {
	body, err := l.take()
	if err != nil {
		return err
	}
	lines, err := web.send(ctx, a.witness.http+"/add-checkpoint", "text/plain", body)
	if err != nil || !check {
		return err
	}
	return l.check(body, lines, a.keys)
}

// askedWay has clients ask for one log after the other, each for its own.
func (b *bench) askedWay(a *askedWitness) way {
	turns := make([]int, askingClients)
	return func(ctx context.Context, _ int) (measured, error) {
		if err := a.prepare(a.ahead); err != nil {
			return measured{}, err
		}
		web := newWeb(askingClients)
		defer web.close()
		m := b.meter([]*process{a.witness})
		r := closedLoop(ctx, askingClients, b.o.duration, func(ctx context.Context, c int, n int64) error {
			l := a.logs[logOf(c, turns[c], askingClients, len(a.logs))]
			turns[c]++
			return a.ask(ctx, web, l, n%sampled == 0)
		})
		return measured{r, m.note()}, r.err
	}
}

// logOf is the log for which a client asks in a turn. No two clients ask for
// the same, and each comes to all of its own.
func logOf(client, turn, clients, logs int) int {
	own := (logs - client + clients - 1) / clients
	return client + clients*(turn%own)
}

// echoes has as many clients send as much to a server that sends it back.
func (b *bench) echoes(echo *process, bytes int) way {
	return func(ctx context.Context, _ int) (measured, error) {
		web := newWeb(askingClients)
		defer web.close()
		body := make([]byte, bytes)
		r := closedLoop(ctx, askingClients, b.o.duration/2, func(ctx context.Context, _ int, _ int64) error {
			_, err := web.send(ctx, echo.http+"/bytes", "text/plain", body)
			return err
		})
		return measured{result: r}, r.err
	}
}

// newCosigners makes keys such as the witness's: one of each type.
func newCosigners(name string) ([]*checkpoint.Cosigner, error) {
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		return nil, err
	}
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
	if err != nil {
		return nil, err
	}
	first, err := checkpoint.NewCosigner(name, ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, err
	}
	second, err := checkpoint.NewCosigner(name, pq)
	return []*checkpoint.Cosigner{first, second}, err
}

// signatures does nothing but what an add-checkpoint has of cryptography, but
// for the proof's hashes.
func (b *bench) signatures(ctx context.Context, _ int) (measured, error) {
	cosigners, err := newCosigners("limit.bench.example")
	if err != nil {
		return measured{}, err
	}
	log, err := newAskingLog(0)
	if err != nil {
		return measured{}, err
	}
	c := checkpoint.Checkpoint{Origin: log.key.Name(), Size: 1_000_000}
	blob, err := log.key.Sign(c.Text())
	if err != nil {
		return measured{}, err
	}
	r := closedLoop(ctx, runtime.NumCPU(), b.o.duration/2, func(context.Context, int, int64) error {
		return cosignOnce(log.key.Verifier(), c, blob, cosigners)
	})
	return measured{result: r}, r.err
}

func cosignOnce(log checkpoint.Verifier, c checkpoint.Checkpoint, blob []byte, cosigners []*checkpoint.Cosigner) error {
	if !log.Verify(c.Text(), blob) {
		return errors.New("the log's signature is wrong")
	}
	for _, s := range cosigners {
		if _, err := s.Cosign(c, 1); err != nil {
			return err
		}
	}
	return nil
}
