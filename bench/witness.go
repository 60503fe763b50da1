package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"indelible/checkpoint"
)

// stubDelay is how long the stubs take to answer.
const stubDelay = 20 * time.Millisecond

// stub is a witness that cosigns whatever it gets, after a while.
type stub struct{ key *checkpoint.Cosigner }

func (s stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	timer := time.NewTimer(stubDelay)
	defer timer.Stop()
	lines, err := s.answer(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	<-timer.C
	w.Write(lines)
}

func (s stub) answer(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err != nil {
		return nil, err
	}
	_, text, found := bytes.Cut(data, []byte("\n\n"))
	if !found {
		return nil, errors.New("no note")
	}
	note, err := checkpoint.ParseNote(text)
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.ParseText(note.Text)
	if err != nil {
		return nil, err
	}
	sig, err := s.key.Cosign(c, time.Now().Unix())
	return checkpoint.MarshalSignatures([]checkpoint.Signature{sig}), err
}

// stubs runs three witnesses that are stubs, and returns the lines of a policy
// that name them, and the URL of one.
func stubs() (lines, url string, stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			s.Close()
		}
	}
	for i := range witnessCount {
		key, err := checkpoint.NewCosigner(fmt.Sprintf("stub%d.bench.example", i), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			return "", "", stop, err
		}
		on, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", stop, err
		}
		s := &http.Server{Handler: stub{key}}
		servers = append(servers, s)
		go s.Serve(on)
		url = "http://" + on.Addr().String()
		lines += policyLine(i, key.Verifier().String(), url)
	}
	return lines, url, stop, nil
}

const witnessCount = 3

func policyLine(i int, vkey, url string) string {
	return fmt.Sprintf("witness w%d %s %s\n", i, vkey, url)
}

// policy writes a policy of three witnesses, of which so many must cosign, and
// returns the argument that names it.
func (b *bench) policy(name, lines string, quorum int) (string, error) {
	path := filepath.Join(b.dir, name+".policy")
	text := fmt.Sprintf("%sgroup g %d w0 w1 w2\nquorum g\n", lines, quorum)
	return "--witness-policy=" + path, os.WriteFile(path, []byte(text), 0o600)
}

// witnessedLogs are the logs that are compared.
type witnessedLogs struct {
	plain, stubbed, all, two *process
	witnesses                realWitnesses
	stub                     string // URL of a stub
	stops                    []func()
}

func (w *witnessedLogs) stop() {
	for _, stop := range slices.Backward(w.stops) {
		stop()
	}
}

func (b *bench) startWitnessed(ctx context.Context) (*witnessedLogs, error) {
	w := &witnessedLogs{}
	stubLines, url, stop, err := stubs()
	w.stops, w.stub = append(w.stops, stop), url
	if err != nil {
		return w, err
	}
	var logs [4]madeLog
	for i := range logs {
		if logs[i], err = b.makeLog(ctx); err != nil {
			return w, err
		}
	}
	w.witnesses, err = b.startWitnesses(ctx, logs[2], logs[3])
	w.stops = append(w.stops, func() { stopAll(w.witnesses.running) })
	if err != nil {
		return w, err
	}
	for i, s := range []struct {
		on     **process
		name   string
		lines  string
		quorum int
	}{
		{&w.plain, "", "", 0},
		{&w.stubbed, "stubs", stubLines, 2},
		{&w.all, "all", w.witnesses.lines, 3},
		{&w.two, "two", w.witnesses.lines, 2},
	} {
		args := logs[i].args
		if s.quorum > 0 {
			policy, err := b.policy(s.name, s.lines, s.quorum)
			if err != nil {
				return w, err
			}
			args = append(args, policy)
		}
		p, err := b.startServer(ctx, args)
		if err != nil {
			return w, err
		}
		*s.on = p
		w.stops = append(w.stops, p.stop)
	}
	return w, nil
}

// measureWitness compares logs that have three witnesses with one that has
// none: many clients, of which there are enough that the time of a reply is not
// what bounds the rate, and one.
func measureWitness(ctx context.Context, b *bench) error {
	if b.db != nil && b.table.rate(limitCommit) == 0 {
		if err := measureCommits(ctx, b); err != nil {
			return err
		}
	}
	w, err := b.startWitnessed(ctx)
	defer w.stop()
	if err != nil {
		return err
	}
	for _, c := range []struct {
		clients int
		goal    float64 // 0: the time of a reply is what bounds these
	}{{256, 0}, {1024, 0.9}, {4096, 0.9}} {
		if err := b.manyWitnessed(ctx, w, c.clients, c.goal); err != nil {
			return err
		}
	}
	return b.oneWitnessed(ctx, w)
}

func (b *bench) witnessWays(w *witnessedLogs, clients int) []way {
	theirs := w.witnesses.running
	return []way{
		b.rawWay([]*process{w.plain}, clients), b.rawWay([]*process{w.stubbed}, clients),
		b.rawWay([]*process{w.all}, clients, theirs...), b.rawWay([]*process{w.two}, clients, theirs...),
	}
}

func (b *bench) manyWitnessed(ctx context.Context, w *witnessedLogs, clients int, goal float64) error {
	m, err := b.alternate(ctx, b.witnessWays(w, clients)...)
	if err != nil {
		return err
	}
	name := rawName(clients)
	b.table.add(m[0].row(name + ", no witness"))
	b.table.add(m[1].against(m[0], name+", 2 of 3 stubs of 20 ms", "no witness", goal))
	b.table.add(m[2].against(m[0], name+", 3 of 3 real witnesses", "no witness", min(goal, 0.6)))
	b.table.add(m[3].against(m[0], name+", 2 of 3 real witnesses", "no witness", min(goal, 0.6)))
	return nil
}

// oneWitnessed compares how long one client waits. Rates are those of the
// median time.
func (b *bench) oneWitnessed(ctx context.Context, w *witnessedLogs) error {
	m, err := b.alternate(ctx, append(b.witnessWays(w, 1), b.roundTrip(w))...)
	if err != nil {
		return err
	}
	for i, name := range []string{"no witness", "2 of 3 stubs of 20 ms", "3 of 3 real witnesses", "2 of 3 real witnesses"} {
		r := row{what: "1/p50 of one client, one add at a time, " + name, rate: m[i].times.perSecond(0.5), times: m[i].times}
		if i == 1 {
			r.limit, r.goal = bound(m[0].times.perSecond(0.5), m[4].times.perSecond(0.5), b.table.rate(limitCommit)), 1
			r.note = "limit: no witness + round trip + commit"
		}
		b.table.add(r)
	}
	b.table.add(row{what: "1/p50 of a stub's round trip", rate: m[4].times.perSecond(0.5), times: m[4].times})
	return nil
}

// roundTrip measures what one question to a stub takes.
func (b *bench) roundTrip(w *witnessedLogs) way {
	return func(ctx context.Context, _ int) (measured, error) {
		web := newWeb(1)
		defer web.close()
		note, err := web.body(ctx, w.plain.http+"/checkpoint")
		if err != nil {
			return measured{}, err
		}
		body := append([]byte("old 0\n\n"), note...)
		r := closedLoop(ctx, 1, b.o.duration/4, func(ctx context.Context, _ int, _ int64) error {
			return web.post(ctx, w.stub+"/add-checkpoint", body, nil)
		})
		return measured{result: r}, r.err
	}
}
