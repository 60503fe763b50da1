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
		if err := b.addsOf(ctx, clients); err != nil {
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

func (b *bench) addsOf(ctx context.Context, clients int) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	m, err := b.rawWay([]*process{p}, clients)(ctx, 0)
	goal := 0.45
	if clients > 256 {
		goal = 0.60
	}
	b.table.add(row{
		what: rawName(clients), rate: m.rate(), times: m.times, goal: goal,
		limit: bound(b.table.rate(limitGRPC(clients)), b.table.rate(limitInsert)), note: m.note,
	})
	return err
}

func rawName(clients int) string { return fmt.Sprintf("raw 1 KiB adds, gRPC, %d clients", clients) }

// measureReplicas has three servers write to one log, and compares their rate
// together with that of one.
func measureReplicas(ctx context.Context, b *bench) error {
	alone, err := b.startReplicas(ctx, 1)
	defer stopAll(alone)
	if err != nil {
		return err
	}
	three, err := b.startReplicas(ctx, 3)
	defer stopAll(three)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		clients int
		goal    float64
	}{{256, 0.6}, {1024, 0.8}} {
		m, err := b.alternate(ctx, b.rawWay(alone, c.clients), b.rawWay(three, c.clients))
		if err != nil {
			return err
		}
		b.table.add(m[0].row(rawName(c.clients) + ", one replica"))
		b.table.add(m[1].against(m[0], rawName(c.clients)+", three replicas", "one replica", c.goal))
	}
	return nil
}

// startReplicas makes a log with so many servers. Those that did start are to be
// stopped after an error, too.
func (b *bench) startReplicas(ctx context.Context, count int) ([]*process, error) {
	l, err := b.makeLog(ctx)
	if err != nil {
		return nil, err
	}
	var servers []*process
	for range count {
		p, err := b.startServer(ctx, l.args)
		if err != nil {
			return servers, err
		}
		servers = append(servers, p)
	}
	return servers, nil
}

func stopAll(servers []*process) {
	for _, p := range servers {
		p.stop()
	}
}

func addRaw(ctx context.Context, api pb.LogClient, name string, n int64) error {
	res, err := api.AddEntry(ctx, &pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_Raw{Raw: rawBody(name, n)}}})
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
	half := b.table.rate(rawName(256)) / 2
	if half == 0 {
		return nil
	}
	r := openLoop(ctx, half, b.o.duration, func(ctx context.Context, c int, n int64) error { return addRaw(ctx, apis[c%len(apis)], "open loop", n) })
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
	signed, err := b.signInAdvance()
	if err != nil {
		return err
	}
	m, err := b.signedWay(nativeAPI(), signed, clients)(ctx, 0)
	if err != nil {
		return err
	}
	goal := 0.45
	if clients > 256 {
		goal = 0.55
	}
	b.table.add(row{
		what: fmt.Sprintf("signed hashedrekord adds, REST, %d clients", clients), rate: m.rate(), times: m.times, goal: goal,
		limit: bound(b.table.rate(limitVerify), b.table.rate(limitJSON(clients)), b.table.rate(limitInsert)), note: m.note,
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
	m, err := b.batchWay(p)(ctx, 0)
	b.table.add(row{what: batchName, rate: m.rate(), times: m.times, limit: b.table.rate(limitInsert), goal: 0.60, note: m.note})
	return err
}

const batchName = "entries in batches of 256, gRPC, 32 clients"

// batchWay has 32 clients add batches of 256 raw entries.
func (b *bench) batchWay(p *process) way {
	const clients, size = 32, 256
	return func(ctx context.Context, round int) (measured, error) {
		cs, err := dial(p.grpc, clients)
		if err != nil {
			return measured{}, err
		}
		defer cs.close()
		api, m := pb.NewLogClient(cs[0]), b.meter([]*process{p})
		r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, _ int, n int64) error {
			return addBatch(ctx, api, "batch "+strconv.Itoa(round), n*size, size)
		})
		r.ops *= size
		return measured{r, m.note()}, r.err
	}
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
	r := closedLoop(ctx, 1, b.o.duration, func(ctx context.Context, _ int, n int64) error { return addRaw(ctx, api, "single", n) })
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
	servers, witnesses []*process
	was                cost
	start              time.Time
}

// cost is what processes have used and done so far.
type cost struct {
	server, witness, database usage
	batches, entries          float64
}

// meter starts one, for the servers of a log and, if they are processes, its
// witnesses.
func (b *bench) meter(servers []*process, witnesses ...*process) *meter {
	m := &meter{servers: servers, witnesses: witnesses, start: time.Now()}
	m.was = m.cost()
	return m
}

func (m *meter) cost() cost {
	c := cost{server: usageOfAll(m.servers), witness: usageOfAll(m.witnesses), database: usageOf(m.servers[0].databasePID)}
	for _, p := range m.servers {
		batches, entries := p.batches()
		c.batches, c.entries = c.batches+batches, c.entries+entries
	}
	return c
}

func (m *meter) note() string {
	took := time.Since(m.start)
	share := func(was, is usage) float64 { return 100 * (is.cpu - was.cpu).Seconds() / took.Seconds() }
	is := m.cost()
	mean := 0.0
	if is.batches > m.was.batches {
		mean = (is.entries - m.was.entries) / (is.batches - m.was.batches)
	}
	batch, witnesses := "", ""
	if mean > 0 {
		batch = fmt.Sprintf("batch %.0f", mean)
	}
	if len(m.witnesses) > 0 {
		witnesses = fmt.Sprintf(", witnesses %.0f %%", share(m.was.witness, is.witness))
	}
	return join(batch, fmt.Sprintf("CPU server %.0f %%, database %.0f %%%s; server %d MiB",
		share(m.was.server, is.server), share(m.was.database, is.database), witnesses, is.server.memory>>20))
}

// The metrics of a server that tell how many appends there were, and of how many
// entries.
const (
	appendsMetric = "indelible_append_entries_count"
	entriesMetric = "indelible_append_entries_sum"
)

// batches reads them.
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
		case appendsMetric:
			appends = v
		case entriesMetric:
			entries = v
		}
	}
	return appends, entries
}
