package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

// fake is a log of five entries, which answers honestly unless a test replaces
// an answer.
type fake struct {
	signer  *checkpoint.KeySigner
	leaves  []merkle.Hash
	replace map[string]http.HandlerFunc // by path
	calls   atomic.Int64
}

func entryOf(i int) []byte { return fmt.Appendf(nil, "entry %d", i) }

func newFake(t *testing.T) (*fake, *Client) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewSigner("log.example", key)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{signer: s, replace: map[string]http.HandlerFunc{}}
	for i := range 5 {
		f.leaves = append(f.leaves, merkle.LeafHash(entryOf(i)))
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL + "/", Keys: []checkpoint.Verifier{s.Verifier()}, Tries: 3})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func (f *fake) note(size int) string {
	edge, _ := merkle.Edge{}.Append(f.leaves[:size])
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: "log.example", Size: int64(size), Root: edge.Root()}, f.signer)
	if err != nil {
		panic(err)
	}
	return string(note)
}

// proof is an inclusion proof in the tree of five.
func (f *fake) proof(index int64) (hashes [][]byte) {
	plan, err := merkle.PlanInclusion(index, 5)
	if err != nil {
		panic(err)
	}
	list, err := plan.Compute(func(merkle.Tile) (*merkle.Nodes, error) { return merkle.Expand(f.leaves) })
	if err != nil {
		panic(err)
	}
	for i := range list {
		hashes = append(hashes, list[i][:])
	}
	return hashes
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls.Add(1)
	if h, ok := f.replace[r.URL.Path]; ok {
		h(w, r)
		return
	}
	switch r.URL.Path {
	case "/checkpoint":
		io.WriteString(w, f.note(5))
	case "/log.vkey":
		fmt.Fprintln(w, f.signer.Verifier())
	case "/tile/0/000.p/5":
		w.Write(merkle.EncodeTile(f.leaves))
	case "/tile/entries/000.p/5":
		var data []byte
		for i := range f.leaves {
			data, _ = merkle.AppendBundleEntry(data, entryOf(i))
		}
		w.Header().Set("Content-Encoding", "gzip") // asked for or not
		z := gzip.NewWriter(w)
		z.Write(data)
		z.Close()
	case "/v1/entries/3":
		f.entry(w, 3, entryOf(3), f.proof(3))
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"code":5,"message":"nothing here","details":[]}`)
	}
}

func (f *fake) entry(w io.Writer, index int64, canonical []byte, hashes [][]byte) {
	var list []string
	for _, h := range hashes {
		list = append(list, `"`+base64.StdEncoding.EncodeToString(h)+`"`)
	}
	fmt.Fprintf(w, `{"entry":{"index":"%d","canonical":"%s","unknown":1},"proof":{"index":"%d","treeSize":"5","hashes":[%s]},"checkpoint":{"note":%q}}`,
		index, base64.StdEncoding.EncodeToString(canonical), index, strings.Join(list, ","), f.note(5))
}

func TestHonest(t *testing.T) {
	_, c := newFake(t)
	ctx := t.Context()
	o, err := c.Checkpoint(ctx)
	if err != nil || o.Size != 5 {
		t.Fatal(o, err)
	}
	if entries, err := c.Entries(ctx, 0, 5); err != nil || len(entries) != 5 || string(entries[4]) != "entry 4" {
		t.Fatal(entries, err)
	}
	if tile, err := c.Tile(ctx, merkle.Tile{Width: 5}); err != nil || len(tile) != 160 {
		t.Fatal(len(tile), err)
	}
	l, err := c.Get(ctx, 3)
	if err != nil || string(l.Canonical) != "entry 3" {
		t.Fatal(l, err)
	}
	proof, err := l.Proof().Marshal()
	if err != nil || !bytes.Contains(proof, []byte("index 3\n")) {
		t.Fatal(string(proof), err)
	}
	keys, err := c.Keys(ctx)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if _, err := c.Get(ctx, 5); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "nothing here") {
		t.Fatal(err)
	}
	if _, err := c.Entries(ctx, 3, 5); err == nil {
		t.Fatal("entries that do not begin a bundle")
	}
}

// Whatever a hostile log answers, nothing wrong is returned.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		lie  func(*fake) http.HandlerFunc
	}{
		"another entry": {"/v1/entries/3", func(f *fake) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { f.entry(w, 3, []byte("forged"), f.proof(3)) }
		}},
		"another index": {"/v1/entries/3", func(f *fake) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { f.entry(w, 2, entryOf(2), f.proof(2)) }
		}},
		"a short proof": {"/v1/entries/3", func(f *fake) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { f.entry(w, 3, entryOf(3), f.proof(3)[1:]) }
		}},
		"a hash of 31 bytes": {"/v1/entries/3", func(f *fake) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				p := f.proof(3)
				p[0] = p[0][:31]
				f.entry(w, 3, entryOf(3), p)
			}
		}},
		"no JSON": {"/v1/entries/3", func(*fake) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }
		}},
		"another log's checkpoint": {"/v1/entries/3", func(f *fake) http.HandlerFunc {
			other := &fake{leaves: f.leaves}
			_, key, _ := ed25519.GenerateKey(rand.Reader)
			other.signer, _ = checkpoint.NewSigner("log.example", key)
			return func(w http.ResponseWriter, _ *http.Request) { other.entry(w, 3, entryOf(3), f.proof(3)) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, client := newFake(t)
			f.replace[c.path] = c.lie(f)
			if l, err := client.Get(t.Context(), 3); !errors.Is(err, ErrUntrusted) || l.Canonical != nil && l.Index == 3 {
				t.Fatalf("%+v, %v", l, err)
			}
		})
	}
	f, c := newFake(t)
	f.replace["/tile/entries/000.p/5"] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0, 9, 'x'}) }
	if _, err := c.Entries(t.Context(), 0, 5); !errors.Is(err, ErrUntrusted) {
		t.Fatal(err)
	}
	f.replace["/v1/entries"] = func(w http.ResponseWriter, _ *http.Request) { f.entry(w, 3, []byte("something else"), f.proof(3)) }
	if _, err := c.Add(t.Context(), Entry{Canonical: entryOf(3)}); !errors.Is(err, ErrUntrusted) {
		t.Fatal(err)
	}
	f.replace["/v1/entries:batch"] = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"outcomes":[]}`) }
	if _, err := c.AddMany(t.Context(), []Entry{{Canonical: entryOf(3)}}); !errors.Is(err, ErrUntrusted) {
		t.Fatal(err)
	}
}

func TestAnswersWithoutEnd(t *testing.T) {
	f, c := newFake(t)
	endless := func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 1<<16)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	bomb := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		block := make([]byte, 1<<16)
		for range 10_000 {
			if _, err := z.Write(block); err != nil {
				return
			}
		}
	}
	for _, h := range []http.HandlerFunc{endless, bomb} {
		f.replace["/checkpoint"], f.replace["/tile/entries/000.p/5"] = h, h
		before := f.calls.Load()
		if _, err := c.Checkpoint(t.Context()); err == nil {
			t.Fatal("a checkpoint without end")
		}
		if _, err := c.Entries(t.Context(), 0, 5); err == nil {
			t.Fatal("a bundle without end")
		}
		if n := f.calls.Load() - before; n != 2 {
			t.Errorf("asked %d times for what is too big", n)
		}
	}
}

func TestTriesAgain(t *testing.T) {
	f, c := newFake(t)
	var calls int
	f.replace["/checkpoint"] = func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[calls-1])
			return
		}
		io.WriteString(w, f.note(5))
	}
	if _, err := c.Checkpoint(t.Context()); err != nil || calls != 3 {
		t.Fatal(calls, err)
	}
	calls = -100
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	f.replace["/checkpoint"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if _, err := c.Checkpoint(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestConsistent(t *testing.T) {
	f, c := newFake(t)
	at := func(size int) checkpoint.Checkpoint {
		o, err := c.Open([]byte(f.note(size)))
		if err != nil {
			t.Fatal(err)
		}
		return o.Checkpoint
	}
	for _, from := range []int{0, 5} {
		if _, err := c.Consistent(t.Context(), at(from), at(5)); err != nil {
			t.Fatal(err)
		}
	}
	f.replace["/v1/proofs/consistency"] = func(w http.ResponseWriter, _ *http.Request) {
		plan, _ := merkle.PlanConsistency(3, 5)
		proof, _ := plan.Compute(func(merkle.Tile) (*merkle.Nodes, error) { return merkle.Expand(f.leaves) })
		var list []string
		for _, h := range proof {
			list = append(list, `"`+base64.StdEncoding.EncodeToString(h[:])+`"`)
		}
		fmt.Fprintf(w, `{"hashes":[%s]}`, strings.Join(list, ","))
	}
	if _, err := c.Consistent(t.Context(), at(3), at(5)); err != nil {
		t.Fatal(err)
	}
	forked := at(3)
	forked.Root[0] ^= 1
	for _, pair := range [][2]checkpoint.Checkpoint{{forked, at(5)}, {at(5), at(3)}, {at(4), at(5)}} {
		if _, err := c.Consistent(t.Context(), pair[0], pair[1]); !errors.Is(err, ErrUntrusted) {
			t.Fatalf("%d to %d: %v", pair[0].Size, pair[1].Size, err)
		}
	}
}
