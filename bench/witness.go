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
	"strings"
	"time"

	pb "indelible/api/proto/indelible/v1"
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

// stubs runs three, of which two must cosign, and returns a policy file that
// names them, and the URL of one.
func (b *bench) stubs() (policy, url string, stop func(), err error) {
	var text strings.Builder
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			s.Close()
		}
	}
	for i := range 3 {
		key, err := checkpoint.NewCosigner(fmt.Sprintf("w%d.example", i), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)))
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
		fmt.Fprintf(&text, "witness w%d %s %s\n", i, key.Verifier(), url)
	}
	text.WriteString("group two 2 w0 w1 w2\nquorum two\n")
	policy = filepath.Join(b.dir, "policy")
	return policy, url, stop, os.WriteFile(policy, []byte(text.String()), 0o600)
}

// measureWitness compares a log that has three witnesses with one that has none.
func measureWitness(ctx context.Context, b *bench) error {
	policy, url, stop, err := b.stubs()
	defer stop()
	if err != nil {
		return err
	}
	if b.db != nil && b.table.rate(limitCommit) == 0 {
		if err := measureCommits(ctx, b); err != nil {
			return err
		}
	}
	plain, err := b.witnessed(ctx)
	if err != nil {
		return err
	}
	seen, err := b.witnessed(ctx, "--witness-policy", policy)
	if err != nil {
		return err
	}
	trip, err := b.roundTrip(ctx, url, plain.note)
	if err != nil {
		return err
	}
	b.table.add(row{what: "raw 1 KiB adds, gRPC, 1,024 clients, no witness", rate: plain.many.rate(), times: plain.many.times, note: plain.cost})
	b.table.add(row{
		what: "raw 1 KiB adds, gRPC, 1,024 clients, three witnesses of 20 ms", rate: seen.many.rate(), times: seen.many.times,
		limit: plain.many.rate(), goal: 0.9, note: seen.cost + "; limit: no witness",
	})
	b.table.add(row{what: "one client, one raw add at a time, no witness (rate of p50)", rate: plain.one.times.medianRate(), times: plain.one.times})
	b.table.add(row{what: "a witness's round trip", rate: trip.medianRate(), times: trip})
	b.table.add(row{
		what: "one client, one raw add at a time, three witnesses (rate of p50)", rate: seen.one.times.medianRate(), times: seen.one.times,
		limit: bound(plain.one.times.medianRate(), trip.medianRate(), b.table.rate(limitCommit)), goal: 1, note: "limit: no witness + round trip + commit",
	})
	return nil
}

// medianRate is how often the median time fits into a second.
func (l latencies) medianRate() float64 {
	if len(l) == 0 {
		return 0
	}
	return 1 / l[len(l)/2].Seconds()
}

// pair is the same log with many clients and with one.
type pair struct {
	many, one result
	cost      string
	note      []byte // a checkpoint of it
}

// witnessed measures a log that is started with more arguments.
func (b *bench) witnessed(ctx context.Context, more ...string) (m pair, err error) {
	p, err := b.startLog(ctx, more...)
	if err != nil {
		return m, err
	}
	defer p.stop()
	const clients = 1024
	cs, err := dial(p.grpc, clients)
	if err != nil {
		return m, err
	}
	defer cs.close()
	apis := make([]pb.LogClient, len(cs))
	for i, c := range cs {
		apis[i] = pb.NewLogClient(c)
	}
	add := func(run string) func(context.Context, int, int64) error {
		return func(ctx context.Context, c int, n int64) error {
			_, err := apis[c%len(apis)].AddEntry(ctx, &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: rawBody(run, n)}}})
			return err
		}
	}
	meter := b.meter(p)
	m.many = closedLoop(ctx, clients, b.o.duration, add("many"))
	m.cost = meter.note()
	m.one = closedLoop(ctx, 1, b.o.duration/2, add("one"))
	if err = errors.Join(m.many.err, m.one.err); err != nil {
		return m, err
	}
	res, err := http.Get(p.http + "/checkpoint")
	if err != nil {
		return m, err
	}
	defer res.Body.Close()
	m.note, err = io.ReadAll(res.Body)
	return m, err
}

// roundTrip measures what one question to a stub takes.
func (b *bench) roundTrip(ctx context.Context, url string, note []byte) (latencies, error) {
	web := newWeb(1)
	defer web.close()
	body := append([]byte("old 0\n\n"), note...)
	r := closedLoop(ctx, 1, b.o.duration/4, func(ctx context.Context, _ int, _ int64) error {
		return web.post(ctx, url+"/add-checkpoint", body, nil)
	})
	return r.times, r.err
}
