package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
)

// The clients of an attack, as a proxy in front would name them.
const (
	neighbourAddress = "192.0.2.1"
	attackerAddress  = "198.51.100.1"
)

// neighbours is how many connections the neighbour adds over.
const neighbours = 4

// refusedRest is how long an attacker rests after a refusal. The server's answer
// asks for a second; without any, it would be the attacker, on the same machine,
// whose work takes the neighbour's.
const refusedRest = 50 * time.Millisecond

// measureAttack compares what a client adds alone with what it adds while another
// one sends what costs the most to verify.
func measureAttack(ctx context.Context, b *bench) error {
	worst, err := worstEnvelope()
	if err != nil {
		return err
	}
	single, err := protojson.Marshal(&pb.AddEntryRequest{Entry: worst})
	if err != nil {
		return err
	}
	batch := &pb.AddEntriesRequest{}
	for range 256 {
		batch.Entries = append(batch.Entries, worst)
	}
	many, err := protojson.Marshal(batch)
	if err != nil {
		return err
	}
	p, err := b.startLog(ctx, "--trusted-proxies", "127.0.0.0/8")
	if err != nil {
		return err
	}
	defer p.stop()
	signed, err := newSigned()
	if err != nil {
		return err
	}
	n := &neighbour{b: b, p: p, signed: signed}
	ways := []way{n.way(nil, 0, "")}
	names := []string{"signed adds of a neighbour, REST, 4 clients, alone"}
	for _, a := range []struct {
		name, path string
		body       []byte
	}{{"envelopes", "/v1/entries", single}, {"batches of 256 envelopes", "/v1/entries:batch", many}} {
		for _, attackers := range []int{4, 64} {
			ways = append(ways, n.way(a.body, attackers, a.path))
			names = append(names, fmt.Sprintf("beside %d that send %s with P-521 keys", attackers, a.name))
		}
	}
	m, err := b.alternate(ctx, ways...)
	if err != nil {
		return err
	}
	b.table.add(m[0].row(names[0]))
	for i := 1; i < len(m); i++ {
		b.table.add(m[i].against(m[0], names[i], "alone", 1.0/3))
	}
	return nil
}

// worstEnvelope has ten signatures on P-521, each in the place before its key's:
// so nearly each is tried with two keys.
func worstEnvelope() (*pb.Entry, error) {
	const n = entry.MaxSignatures
	payload := []byte("payload")
	digest := sha512.Sum512(entry.PAE("text/plain", payload))
	type signature struct {
		Sig []byte `json:"sig"`
	}
	signatures, verifiers := make([]signature, n), make([]*pb.Verifier, n)
	for i := range n {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		if err != nil {
			return nil, err
		}
		spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		verifiers[(i+1)%n] = &pb.Verifier{Key: &pb.Verifier_PublicKey{PublicKey: spki}}
		if signatures[i].Sig, err = ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			return nil, err
		}
	}
	envelope, err := json.Marshal(map[string]any{"payloadType": "text/plain", "payload": payload, "signatures": signatures})
	return &pb.Entry{Kind: &pb.Entry_Dsse{Dsse: &pb.Dsse{Envelope: envelope, Verifiers: verifiers}}}, err
}

// neighbour adds to a log that another client attacks.
type neighbour struct {
	b      *bench
	p      *process
	signed *signedEntries
	next   int64 // of its entries
}

// way measures the neighbour's adds while attackers send a body to a path.
func (n *neighbour) way(body []byte, attackers int, path string) way {
	return func(ctx context.Context, _ int) (measured, error) {
		attack, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer end()
		sent := make([]int, attackers)
		web := newWeb(attackers)
		for i := range sent {
			wg.Go(func() {
				for attack.Err() == nil {
					if err := postAs(attack, web, attackerAddress, n.p.http+path, body); err != nil {
						pause(attack, refusedRest)
						continue
					}
					sent[i]++
				}
			})
		}
		m := n.b.meter([]*process{n.p})
		r := n.adds(ctx)
		note := m.note()
		end()
		wg.Wait()
		total := 0
		for _, s := range sent {
			total += s
		}
		if attackers > 0 {
			note = join(note, fmt.Sprintf("%d attacks answered", total))
		}
		return measured{r, note}, r.err
	}
}

func (n *neighbour) adds(ctx context.Context) result {
	web := newWeb(neighbours)
	defer web.close()
	from := n.next
	r := closedLoop(ctx, neighbours, n.b.o.duration, func(ctx context.Context, _ int, i int64) error {
		e, err := n.signed.make(from + i)
		if err != nil {
			return err
		}
		body, err := protojson.Marshal(&pb.AddEntryRequest{Entry: e})
		if err != nil {
			return err
		}
		return postAs(ctx, web, neighbourAddress, n.p.http+"/v1/entries", body)
	})
	n.next += 1 << 32 // what no other round used
	return r
}

// postAs posts for a client that a proxy would name.
func postAs(ctx context.Context, w *web, client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Forwarded-For", client)
	res, err := w.do(req)
	if err != nil {
		return err
	}
	defer res.Close()
	_, err = io.Copy(io.Discard, res)
	return err
}
