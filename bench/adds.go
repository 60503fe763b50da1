package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	pb "indelible/api/proto/indelible/v1"
	"indelible/merkle"
)

// rawBody makes 1 KiB that no other call makes.
func rawBody(run string, n int64) []byte {
	body := make([]byte, 1024)
	seed := sha256.Sum256([]byte(run))
	copy(body, seed[:])
	binary.BigEndian.PutUint64(body[32:], uint64(n))
	return body
}

// checkProof verifies what an answer claims; a benchmark of wrong answers is
// worth nothing.
func checkProof(leaf []byte, p *pb.InclusionProof) error {
	hashes := make([]merkle.Hash, len(p.GetHashes()))
	for i, h := range p.GetHashes() {
		hashes[i] = merkle.Hash(h)
	}
	return merkle.VerifyInclusion(p.GetIndex(), p.GetTreeSize(), merkle.Hash(leaf), hashes, merkle.Hash(p.GetRootHash()))
}

// sampled is every how many answers a proof is verified.
const sampled = 64

// measureAdds measures raw adds over gRPC, and signed ones over REST.
func measureAdds(ctx context.Context, b *bench) error {
	for _, clients := range []int{256, 1024} {
		if err := b.rawAdds(ctx, clients); err != nil {
			return err
		}
	}
	for _, clients := range []int{256, 1024} {
		if err := b.signedAdds(ctx, clients); err != nil {
			return err
		}
	}
	return b.openLoopAdds(ctx)
}

func (b *bench) rawAdds(ctx context.Context, clients int) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	cs, err := dial(p.grpc, clients)
	if err != nil {
		return err
	}
	defer cs.close()
	apis := make([]pb.LogClient, len(cs))
	for i, c := range cs {
		apis[i] = pb.NewLogClient(c)
	}
	m := b.meter(p)
	r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, c int, n int64) error {
		return addRaw(ctx, apis[c%len(apis)], n)
	})
	goal := 0.45
	if clients > 256 {
		goal = 0.60
	}
	b.table.add(row{
		what: fmt.Sprintf("raw 1 KiB adds, gRPC, %d clients", clients), rate: r.rate(), times: r.times, goal: goal,
		limit: bound(b.table.rate(limitGRPC(clients)), b.table.rate(limitInsert)), note: m.note(),
	})
	return r.err
}

// measureReplicas has three servers write to one log, and compares their rate
// together with that of one.
func measureReplicas(ctx context.Context, b *bench) error {
	for _, clients := range []int{256, 1024} {
		if err := b.replicas(ctx, clients); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) replicas(ctx context.Context, clients int) error {
	first, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer first.stop()
	var apis []pb.LogClient
	for i := range 3 {
		p := first
		if i > 0 {
			if p, err = b.startServer(ctx, first.logArgs); err != nil {
				return err
			}
			defer p.stop()
		}
		cs, err := dial(p.grpc, clients/3)
		if err != nil {
			return err
		}
		defer cs.close()
		apis = append(apis, pb.NewLogClient(cs[0]))
	}
	r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, c int, n int64) error { return addRaw(ctx, apis[c%len(apis)], n) })
	goal := 0.6
	if clients > 256 {
		goal = 0.8
	}
	b.table.add(row{
		what: fmt.Sprintf("raw 1 KiB adds, gRPC, three replicas, %d clients", clients), rate: r.rate(), times: r.times, goal: goal,
		limit: b.table.rate(fmt.Sprintf("raw 1 KiB adds, gRPC, %d clients", clients)), note: "limit: one replica",
	})
	return r.err
}

func addRaw(ctx context.Context, api pb.LogClient, n int64) error {
	res, err := api.AddEntry(ctx, &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: rawBody("raw", n)}}})
	if err != nil {
		return err
	}
	if n%sampled == 0 {
		return checkProof(res.GetEntry().GetLeafHash(), res.GetProof())
	}
	return nil
}

// openLoopAdds adds at half of the rate just reached, come what may: the times
// are what a client of a log that is not overloaded sees.
func (b *bench) openLoopAdds(ctx context.Context) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	cs, err := dial(p.grpc, 256)
	if err != nil {
		return err
	}
	defer cs.close()
	apis := make([]pb.LogClient, len(cs))
	for i, c := range cs {
		apis[i] = pb.NewLogClient(c)
	}
	half := b.table.rate("raw 1 KiB adds, gRPC, 256 clients") / 2
	if half == 0 {
		return nil
	}
	r := openLoop(ctx, half, b.o.duration, func(ctx context.Context, c int, n int64) error { return addRaw(ctx, apis[c%len(apis)], n) })
	b.table.add(row{what: "raw 1 KiB adds, gRPC, open loop at half of that rate", rate: r.rate(), times: r.times})
	return r.err
}

// signedEntries signs entries with one key.
type signedEntries struct {
	key  *ecdsa.PrivateKey
	spki []byte
}

func newSigned() (*signedEntries, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	return &signedEntries{key, spki}, err
}

// make signs the digest of a number.
func (s *signedEntries) make(n int64) (*pb.Entry, error) {
	digest := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("signed"), uint64(n)))
	return s.sign(digest[:])
}

func (s *signedEntries) sign(digest []byte) (*pb.Entry, error) {
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest)
	return &pb.Entry{Kind: &pb.Entry_HashedRekord{HashedRekord: &pb.HashedRekord{
		Digest: digest, Signature: sig, Verifier: &pb.Verifier{Key: &pb.Verifier_PublicKey{PublicKey: s.spki}},
	}}}, err
}

func (b *bench) signedAdds(ctx context.Context, clients int) error {
	r, note, err := b.addSigned(ctx, nativeAPI(), clients)
	if err != nil {
		return err
	}
	goal := 0.45
	if clients > 256 {
		goal = 0.55
	}
	b.table.add(row{
		what: fmt.Sprintf("signed hashedrekord adds, REST, %d clients", clients), rate: r.rate(), times: r.times, goal: goal,
		limit: bound(b.table.rate(limitVerify), b.table.rate(limitJSON(clients)), b.table.rate(limitInsert)), note: note,
	})
	return nil
}

// measureBatch measures batches of 256 raw entries over gRPC.
func measureBatch(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	const clients, size = 32, 256
	cs, err := dial(p.grpc, clients)
	if err != nil {
		return err
	}
	defer cs.close()
	api := pb.NewLogClient(cs[0])
	m := b.meter(p)
	r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, _ int, n int64) error {
		return addBatch(ctx, api, "batch", n*size, size)
	})
	times := r.times
	r.ops *= size
	b.table.add(row{what: "entries in batches of 256, gRPC, 32 clients", rate: r.rate(), times: times, limit: b.table.rate(limitInsert), goal: 0.60, note: m.note()})
	return r.err
}

func addBatch(ctx context.Context, api pb.LogClient, run string, from int64, size int) error {
	req := &pb.AddEntriesRequest{}
	for i := range size {
		req.Entries = append(req.Entries, &pb.Entry{Kind: &pb.Entry_Raw{Raw: rawBody(run, from+int64(i))}})
	}
	res, err := api.AddEntries(ctx, req)
	if err != nil {
		return err
	}
	for i, o := range res.GetOutcomes() {
		if e := o.GetError(); e != nil {
			return fmt.Errorf("entry %d: %s", i, e.GetMessage())
		}
		if i%sampled == 0 {
			if err := checkProof(o.GetEntry().GetLeafHash(), o.GetProof()); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureSingle measures one client that adds one entry after the other.
func measureSingle(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	cs, err := dial(p.grpc, 1)
	if err != nil {
		return err
	}
	defer cs.close()
	api := pb.NewLogClient(cs[0])
	r := closedLoop(ctx, 1, b.o.duration, func(ctx context.Context, _ int, n int64) error { return addRaw(ctx, api, n) })
	// 6 × (a commit + an fsync of the register) + an echo is what it may take.
	var six []float64
	for range 6 {
		six = append(six, b.table.rate(limitCommit), b.table.rate(limitFsync))
	}
	b.table.add(row{
		what: "one client, one raw add at a time, gRPC", rate: r.rate(), times: r.times,
		limit: bound(append(six, b.table.rate(limitGRPC(1)))...), goal: 1, note: "limit: 6 × (commit + fsync) + echo",
	})
	return r.err
}

// meter notes what a measurement costs.
type meter struct {
	p              *process
	server, dbase  usage
	start          time.Time
	batches, count float64
}

func (b *bench) meter(p *process) *meter {
	m := &meter{p: p, server: usageOf(p.cmd.Process.Pid), dbase: usageOf(p.databasePID), start: time.Now()}
	m.batches, m.count = p.batches()
	return m
}

func (m *meter) note() string {
	took := time.Since(m.start)
	share := func(was, is usage) float64 { return 100 * (is.cpu - was.cpu).Seconds() / took.Seconds() }
	server := usageOf(m.p.cmd.Process.Pid)
	batches, count := m.p.batches()
	mean := 0.0
	if batches > m.batches {
		mean = (count - m.count) / (batches - m.batches)
	}
	return fmt.Sprintf("batch %.0f; CPU server %.0f %%, database %.0f %%; server %d MiB",
		mean, share(m.server, server), share(m.dbase, usageOf(m.p.databasePID)), server.memory>>20)
}

// batches reads from the server's metrics how many appends there were, and of
// how many entries.
func (p *process) batches() (appends, entries float64) {
	res, err := http.Get(p.admin + "/metrics")
	if err != nil {
		return 0, 0
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, _ := strings.Cut(line, " ")
		v, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "indelible_append_entries_count":
			appends = v
		case "indelible_append_entries_sum":
			entries = v
		}
	}
	return appends, entries
}
