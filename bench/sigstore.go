package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"

	pb "indelible/api/proto/indelible/v1"
	"indelible/merkle"
)

// api is one of the ways to add a signed digest over REST.
type api struct {
	name, path string
	body       func(*pb.HashedRekord) ([]byte, error)
}

func nativeAPI() api {
	return api{"native", "/v1/entries", func(h *pb.HashedRekord) ([]byte, error) {
		return protojson.Marshal(&pb.AddEntryRequest{Entry: &pb.Entry{Kind: &pb.Entry_HashedRekord{HashedRekord: h}}})
	}}
}

func rekorV2API() api {
	return api{"Rekor v2", "/api/v2/log/entries", func(h *pb.HashedRekord) ([]byte, error) {
		b64 := base64.StdEncoding.EncodeToString
		return fmt.Appendf(nil, `{"hashedRekordRequestV002":{"digest":%q,"signature":{"content":%q,"verifier":{"publicKey":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`,
			b64(h.GetDigest()), b64(h.GetSignature()), b64(h.GetVerifier().GetPublicKey())), nil
	}}
}

func rekorV1API() api {
	return api{"Rekor v1", "/api/v1/log/entries", func(h *pb.HashedRekord) ([]byte, error) {
		key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: h.GetVerifier().GetPublicKey()})
		b64 := base64.StdEncoding.EncodeToString
		return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":%q}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
			hex.EncodeToString(h.GetDigest()), b64(h.GetSignature()), b64(key)), nil
	}}
}

// onAllCores calls f for each of count numbers.
func onAllCores(count int, f func(i int) error) error { return onWorkers(4, count, f) }

// onWorkers has so many goroutines call f for each of count numbers.
func onWorkers(workers, count int, f func(i int) error) error {
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < count && errs[w] == nil; i += len(errs) {
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// signInAdvance signs as many entries as a measurement can use: twice what the
// verifications alone would allow. They are for any number of logs.
func (b *bench) signInAdvance() ([]*pb.HashedRekord, error) {
	s, err := newSigned()
	if err != nil {
		return nil, err
	}
	signed := make([]*pb.HashedRekord, int(b.o.duration.Seconds()*max(b.table.rate(limitVerify), 20_000)))
	err = onAllCores(len(signed), func(i int) error {
		e, err := s.make(int64(i))
		signed[i] = e.GetHashedRekord()
		return err
	})
	return signed, err
}

// signedWay has clients add signed entries by an API, each time to a fresh log.
func (b *bench) signedWay(a api, signed []*pb.HashedRekord, clients int, more ...string) way {
	var bodies [][]byte
	return func(ctx context.Context, _ int) (measured, error) {
		if bodies == nil {
			bodies = make([][]byte, len(signed))
			if err := onAllCores(len(signed), func(i int) (err error) {
				bodies[i], err = a.body(signed[i])
				return err
			}); err != nil {
				return measured{}, err
			}
		}
		return b.addBodies(ctx, a.path, bodies, clients, more...)
	}
}

func (b *bench) addBodies(ctx context.Context, path string, bodies [][]byte, clients int, more ...string) (measured, error) {
	p, err := b.startLog(ctx, more...)
	if err != nil {
		return measured{}, err
	}
	defer p.stop()
	web := newWeb(clients)
	defer web.close()
	m := b.meter([]*process{p})
	r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, _ int, n int64) error {
		if n >= int64(len(bodies)) {
			return fmt.Errorf("out of signed entries after %d", n)
		}
		return web.post(ctx, p.http+path, bodies[n], nil)
	})
	return measured{r, m.note()}, r.err
}

// measureRekor compares Rekor's APIs with the native one, and a log with a
// search index with one that has none.
func measureRekor(ctx context.Context, b *bench) error {
	const clients = 256
	signed, err := b.signInAdvance()
	if err != nil {
		return err
	}
	m, err := b.alternate(
		ctx,
		b.signedWay(nativeAPI(), signed, clients, "--search=false"),
		b.signedWay(nativeAPI(), signed, clients),
		b.signedWay(rekorV2API(), signed, clients),
		b.signedWay(rekorV1API(), signed, clients),
	)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("signed adds, REST, %d clients, ", clients)
	b.table.add(m[0].row(name + "native, no search index"))
	b.table.add(m[1].against(m[0], name+"native", "no search index", 0.85))
	b.table.add(m[2].against(m[1], name+"Rekor v2", "native", 0.80))
	b.table.add(m[3].against(m[1], name+"Rekor v1", "native", 0.80))
	return b.rekorReads(ctx)
}

// rekorReads measures Rekor v1's reads of random entries, and then of few.
func (b *bench) rekorReads(ctx context.Context) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := fill(ctx, p, "rekor", 0, b.o.preload); err != nil {
		return err
	}
	byIndex := func(i int64) string { return fmt.Sprintf("%s/api/v1/log/entries?logIndex=%d", p.http, i) }
	// The numbers that bodies are made from are not the indexes, but as many.
	byUUID := func(i int64) string {
		leaf := merkle.LeafHash(rawBody("rekor", i))
		return p.http + "/api/v1/log/entries/" + hex.EncodeToString(leaf[:])
	}
	for _, m := range []struct {
		what string
		url  func(int64) string
		of   int64
		goal float64
	}{
		{"by index, random", byIndex, b.o.preload, 0.25},
		{"by index, asked again", byIndex, min(1000, b.o.preload), 0.40},
		{"by UUID, random", byUUID, b.o.preload, 0.25},
		{"by UUID, asked again", byUUID, min(1000, b.o.preload), 0.40},
	} {
		web := newWeb(readClients)
		r := closedLoop(ctx, readClients, b.o.duration, func(ctx context.Context, _ int, _ int64) error {
			return web.get(ctx, m.url(rand.Int64N(m.of)))
		})
		web.close()
		b.table.add(row{
			what: "Rekor v1 entries " + m.what, rate: r.rate(), times: r.times, limit: b.table.rate(limitJSON(readClients)), goal: m.goal,
			note: fmt.Sprintf("%d entries in the log", b.o.preload),
		})
		if r.err != nil {
			return r.err
		}
	}
	return nil
}
