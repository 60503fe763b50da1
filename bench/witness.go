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

// witnessedLogs are the logs that are compared: one a case of witnessCases.
type witnessedLogs struct {
	servers   []*process
	witnesses realWitnesses
	stub      string // URL of a stub
	stops     []func()
}

func (w *witnessedLogs) stop() {
	for _, stop := range slices.Backward(w.stops) {
		stop()
	}
}

// witnessCase is a log's witnesses.
type witnessCase struct {
	name   string
	quorum int // of three; 0: it has none
	real   bool
	goal   float64 // share of the rate without witnesses
}

func witnessCases() []witnessCase {
	return []witnessCase{
		{"no witness", 0, false, 0},
		{"2 of 3 stubs of 20 ms", 2, false, 0.9},
		{"3 of 3 real witnesses", 3, true, 0.6},
		{"2 of 3 real witnesses", 2, true, 0.6},
	}
}

// startWitnessed makes the logs first: the real witnesses must know them before
// their servers ask.
func (b *bench) startWitnessed(ctx context.Context) (w *witnessedLogs, err error) {
	w = &witnessedLogs{}
	stubLines, url, stop, err := stubs()
	w.stops, w.stub = append(w.stops, stop), url
	if err != nil {
		return w, err
	}
	cases := witnessCases()
	logs := make([]madeLog, len(cases))
	for i := range logs {
		if logs[i], err = b.makeLog(ctx); err != nil {
			return w, err
		}
	}
	w.witnesses, err = b.startWitnesses(ctx, logs...)
	w.stops = append(w.stops, func() { stopAll(w.witnesses.running) })
	if err != nil {
		return w, err
	}
	for i, c := range cases {
		lines := stubLines
		if c.real {
			lines = w.witnesses.lines
		}
		p, err := b.startWitnessedLog(ctx, logs[i], c, lines)
		if err != nil {
			return w, err
		}
		w.servers = append(w.servers, p)
		w.stops = append(w.stops, p.stop)
	}
	return w, nil
}

func (b *bench) startWitnessedLog(ctx context.Context, l madeLog, c witnessCase, lines string) (*process, error) {
	if c.quorum == 0 {
		return b.startServer(ctx, l.args)
	}
	path := filepath.Join(b.dir, c.name+".policy")
	text := fmt.Sprintf("%sgroup g %d w0 w1 w2\nquorum g\n", lines, c.quorum)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return b.startServer(ctx, append(l.args, "--witness-policy", path))
}

// ways add to each of the logs.
func (w *witnessedLogs) ways(b *bench, clients int) []way {
	var ways []way
	for i, c := range witnessCases() {
		var beside []*process
		if c.real {
			beside = w.witnesses.running
		}
		ways = append(ways, b.rawWay(w.servers[i:i+1], clients, beside...))
	}
	return ways
}

// measureWitness compares logs that have three witnesses with one that has
// none: many clients, of which there are enough that the time of a reply is not
// what bounds the rate, and one.
func measureWitness(ctx context.Context, b *bench) error {
	if b.table.rate(limitCommit) == 0 {
		if err := measureCommits(ctx, b); err != nil {
			return err
		}
	}
	w, err := b.startWitnessed(ctx)
	defer w.stop()
	if err != nil {
		return err
	}
	trip, err := b.roundTrip(w)(ctx, 0)
	if err != nil {
		return err
	}
	rest := trip.times.at(0.5)
	for _, clients := range []int{256, 1024, 4096} {
		if err := b.manyWitnessed(ctx, w, clients, rest); err != nil {
			return err
		}
	}
	return b.oneWitnessed(ctx, w, rest)
}

// manyWitnessed compares the logs' rates. So few clients that the time of a
// reply bounds what they can do have no goal.
func (b *bench) manyWitnessed(ctx context.Context, w *witnessedLogs, clients int, trip time.Duration) error {
	m, err := b.alternate(ctx, w.ways(b, clients)...)
	if err != nil {
		return err
	}
	for i, c := range witnessCases() {
		name, goal := rawName(clients)+", "+c.name, c.goal
		if clients <= 256 {
			goal = 0
		}
		r := m[i].against(m[0], name, "no witness", goal)
		switch {
		case c.quorum == 0:
			r = m[i].row(name)
		case !c.real && goal == 0:
			most := loopBound(clients, m[0].times.at(0.5)+trip)
			r.note = join(r.note, fmt.Sprintf("clients/(p50 without witness + round trip) is %.0f %%", 100*most/m[0].rate()))
		}
		b.table.add(r)
	}
	return nil
}

// loopBound is the rate of clients that wait for so long each time before they
// go on.
func loopBound(clients int, wait time.Duration) float64 {
	if wait <= 0 {
		return 0
	}
	return float64(clients) / wait.Seconds()
}

// oneWitnessed compares how long one client waits. Rates are those of the
// median time. Where a witness is asked, the log, its database and the client
// rest for a round trip in each add, and machines are slow to wake: so the
// comparison is with a client that rests as long between adds.
func (b *bench) oneWitnessed(ctx context.Context, w *witnessedLogs, rest time.Duration) error {
	ways := append(w.ways(b, 1), b.restingWay(w.servers[:1], 1, rest), b.roundTrip(w))
	m, err := b.alternate(ctx, ways...)
	if err != nil {
		return err
	}
	rested, trip := m[len(m)-2].times, m[len(m)-1].times
	b.table.add(ofMedian("1/p50 of a stub's round trip", trip))
	b.table.add(ofMedian("1/p50 of one client, no witness, rested for a round trip between adds", rested))
	for i, c := range witnessCases() {
		r := ofMedian("1/p50 of one client, one add at a time, "+c.name, m[i].times)
		if c.quorum > 0 && !c.real {
			r.limit, r.goal = bound(rested.perSecond(0.5), trip.perSecond(0.5), b.table.rate(limitCommit)), 1
			r.note = "limit: no witness, rested for a round trip between adds + round trip + commit"
		}
		b.table.add(r)
	}
	return nil
}

// ofMedian is a row of how often the median time fits into a second.
func ofMedian(what string, times latencies) row {
	return row{what: what, rate: times.perSecond(0.5), times: times}
}

// roundTrip measures what one question to a stub takes.
func (b *bench) roundTrip(w *witnessedLogs) way {
	return func(ctx context.Context, _ int) (measured, error) {
		web := newWeb(1)
		defer web.close()
		note, err := web.body(ctx, w.servers[0].http+"/checkpoint")
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
