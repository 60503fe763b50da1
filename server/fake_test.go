package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server"
	"indelible/server/native"
	"indelible/server/tiles"
)

// fakeLog answers every add at once, and everything with err when it is set.
type fakeLog struct {
	*translog.Log // nil: what is not below is not called
	err           error
	block         bool // adds wait for the end of their context
	hashes        int  // of an add's proof
}

var published = translog.Published{
	Size: 1_000_000, Root: sha256.Sum256([]byte("root")),
	Note: []byte("log.example.com\n1000000\nv3EIDYj7m2aaKXUtFMBkWlbLwbqKKYXKvVnGqjcXLtg=\n\n— log.example.com " +
		base64.StdEncoding.EncodeToString(make([]byte, 68)) + "\n"),
}

func (f *fakeLog) Origin() string { return "log.example.com" }

func (f *fakeLog) Published() (translog.Published, error) { return published, f.err }

func (f *fakeLog) AddMany(ctx context.Context, entries []entry.Entry) ([]translog.Outcome, error) {
	if f.block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	out := make([]translog.Outcome, len(entries))
	for i, e := range entries {
		out[i].Receipt = translog.Receipt{
			Index: int64(i), LeafHash: e.LeafHash(), IntegratedAt: time.UnixMilli(1_700_000_000_123), Checkpoint: published,
			Proof: translog.Proof{Index: int64(i), Size: published.Size, Root: published.Root, Hashes: make([]merkle.Hash, f.hashes)},
		}
	}
	return out, nil
}

// record is an entry like any other.
func record(index int64) translog.Record {
	body := fmt.Appendf(nil, "entry %d", index)
	return translog.Record{Index: index, LeafHash: merkle.LeafHash(body), IntegratedAt: time.UnixMilli(1_700_000_000_123), Canonical: body}
}

func proof(index int64) translog.Proof {
	return translog.Proof{Index: index, Size: 3, Root: published.Root, Hashes: []merkle.Hash{{1}, {2}}}
}

func (f *fakeLog) EntryWithProof(_ context.Context, index int64) (translog.Record, translog.Proof, translog.Published, error) {
	return record(index), proof(index), published, f.err
}

func (f *fakeLog) LookupWithProof(ctx context.Context, _ merkle.Hash) (translog.Record, translog.Proof, translog.Published, error) {
	return f.EntryWithProof(ctx, 7)
}

func (f *fakeLog) Entries(_ context.Context, start, limit int64) ([]translog.Record, translog.Published, error) {
	return []translog.Record{record(start), record(start + 1)}[:min(limit, 2)], published, f.err
}

func (f *fakeLog) InclusionProof(_ context.Context, index, _ int64) (translog.Proof, error) {
	return proof(index), f.err
}

func (f *fakeLog) ConsistencyProof(_ context.Context, from, to int64) (translog.ConsistencyProof, error) {
	return translog.ConsistencyProof{From: from, To: to, FromRoot: merkle.Hash{3}, ToRoot: merkle.Hash{4}, Hashes: []merkle.Hash{}}, f.err
}

func handlerOver(tb testing.TB, log interface {
	native.Log
	tiles.Log
},
) http.Handler {
	tb.Helper()
	h, err := server.Handler(tb.Context(), server.Config{
		Native: native.New(native.Config{Log: log, Kinds: []entry.Kind{entry.KindHashedRekord, entry.KindDSSE}}),
		Tiles:  tiles.New(log, 1<<20, nil), Origin: "log.example.com", Keys: []string{"log.example.com+00000000+AQ=="},
		Size: func() int64 { return published.Size },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// signer makes entries that are signed.
type signer struct {
	key  *ecdsa.PrivateKey
	spki []byte
}

func newSigner(tb testing.TB) signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return signer{key, spki}
}

// entry is a hashedrekord of an artifact, as JSON.
func (s signer) entry(tb testing.TB, artifact string) map[string]any {
	tb.Helper()
	digest := sha256.Sum256([]byte(artifact))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]any{"hashedRekord": map[string]any{
		"digest": digest[:], "signature": sig, "verifier": map[string]any{"publicKey": s.spki},
	}}
}

// envelope is a DSSE entry, as JSON.
func (s signer) envelope(tb testing.TB, payload string) map[string]any {
	tb.Helper()
	digest := sha256.Sum256(entry.PAE("application/vnd.in-toto+json", []byte(payload)))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		tb.Fatal(err)
	}
	envelope := toJSON(tb, map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": []byte(payload), "signatures": []any{map[string]any{"sig": sig}},
	})
	return map[string]any{"dsse": map[string]any{"envelope": envelope, "verifiers": []any{map[string]any{"publicKey": s.spki}}}}
}

func (s signer) request(tb testing.TB, artifact string) []byte {
	tb.Helper()
	return toJSON(tb, map[string]any{"entry": s.entry(tb, artifact)})
}

func toJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func numbered(n int) string { return fmt.Sprintf("artifact %d", n) }

func post(path string, body []byte) *http.Request {
	r, err := http.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		panic(err) // the tests' own paths
	}
	return r
}

// strictJSON reports whether data is one JSON object, none of whose fields
// comes twice.
func strictJSON(data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	if json.Valid(data) && strictValue(d) {
		_, err := d.Token()
		return err == io.EOF
	}
	return false
}

func strictValue(d *json.Decoder) bool {
	t, err := d.Token()
	if err != nil {
		return false
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return true
	}
	seen := map[any]bool{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil || seen[name] {
				return false
			}
			seen[name] = true
		}
		if !strictValue(d) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}
