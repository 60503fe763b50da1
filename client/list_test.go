package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

// list answers with entries as if they began at the start asked for.
func list(entries ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var out []string
		for _, e := range entries {
			out = append(out, fmt.Sprintf(`{"canonical":%q}`, base64.StdEncoding.EncodeToString([]byte(e))))
		}
		fmt.Fprintf(w, `{"entries":[%s]}`, strings.Join(out, ","))
	}
}

func TestList(t *testing.T) {
	f, c := newFake(t)
	f.replace["/v1/entries"] = list("entry 2", "entry 3", "entry 4")
	before := f.calls.Load()
	got, err := c.List(t.Context(), 2, 3)
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	for i, l := range got {
		if l.Index != int64(2+i) || string(l.Canonical) != fmt.Sprint("entry ", 2+i) || merkle.VerifyInclusion(l.Index, 5, l.LeafHash, l.Hashes, l.Checkpoint.Root) != nil {
			t.Errorf("%+v", l)
		}
	}
	if n := f.calls.Load() - before; n != 3 {
		t.Errorf("asked %d times: the list, the checkpoint and one tile are enough", n)
	}
}

// A page of an older tree is proven in that tree, and ends where it does.
func TestListAt(t *testing.T) {
	f, c := newFake(t)
	f.replace["/v1/entries"] = list("entry 2", "entry 3", "entry 4")
	at, err := c.Open([]byte(f.note(4)))
	if err != nil {
		t.Fatal(err)
	}
	f.replace["/tile/0/000.p/4"] = func(w http.ResponseWriter, _ *http.Request) { w.Write(merkle.EncodeTile(f.leaves[:4])) }
	before := f.calls.Load()
	got, err := c.ListAt(t.Context(), 2, 3, at)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for i, l := range got {
		if l.Index != int64(2+i) || merkle.VerifyInclusion(l.Index, 4, l.LeafHash, l.Hashes, at.Root) != nil {
			t.Errorf("%+v", l)
		}
	}
	if n := f.calls.Load() - before; n != 2 {
		t.Errorf("asked %d times: the list and one tile are enough", n)
	}
	if got, err := c.ListAt(t.Context(), 9, 3, at); err != nil || len(got) != 0 {
		t.Error("beyond the tree:", got, err)
	}
	f.replace["/v1/entries"] = list("entry 2", "forged")
	if got, err := c.ListAt(t.Context(), 2, 2, at); !errors.Is(err, ErrUntrusted) {
		t.Error("forged:", got, err)
	}
	f.replace["/v1/entries"] = http.NotFound
	if got, err := c.ListAt(t.Context(), 2, 2, at); !errors.Is(err, ErrNotFound) {
		t.Error("no list:", got, err)
	}
}

func TestHostileLists(t *testing.T) {
	for name, entries := range map[string][]string{
		"a forged entry":       {"entry 2", "forged"},
		"in another order":     {"entry 3", "entry 2"},
		"more than asked for":  {"entry 2", "entry 3", "entry 4"},
		"without their bytes":  {"", ""},
		"from somewhere else":  {"entry 3", "entry 4"},
		"the same again":       {"entry 2", "entry 2"},
		"one that is left out": {"entry 2", "entry 4"},
	} {
		f, c := newFake(t)
		f.replace["/v1/entries"] = list(entries...)
		if got, err := c.List(t.Context(), 2, 2); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	f, c := newFake(t)
	f.replace["/v1/entries"] = list("entry 4", "entry 5")
	if _, err := c.List(t.Context(), 4, 2); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "listed entry 5") {
		t.Error("beyond the checkpoint:", err)
	}
	f.replace["/v1/entries"] = list("entry 4")
	for _, tile := range []string{"", strings.Repeat("x", 160), strings.Repeat("x", 128), strings.Repeat("x", 161)} {
		f.replace["/tile/0/000.p/5"] = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, tile) }
		if _, err := c.List(t.Context(), 4, 1); !errors.Is(err, ErrUntrusted) {
			t.Errorf("a tile of %d wrong bytes: %v", len(tile), err)
		}
	}
}

func TestIncluded(t *testing.T) {
	f, c := newFake(t)
	prove, answer := int64(3), int64(3)
	f.replace["/v1/proofs/inclusion"] = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "index=3&treeSize=5" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var hashes []string
		for _, h := range f.proof(prove) {
			hashes = append(hashes, `"`+base64.StdEncoding.EncodeToString(h)+`"`)
		}
		fmt.Fprintf(w, `{"index":"%d","hashes":[%s]}`, answer, strings.Join(hashes, ","))
	}
	o, err := c.Open([]byte(f.note(5)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Included(t.Context(), 3, f.leaves[3], o.Checkpoint); err != nil {
		t.Error(err)
	}
	if _, err := c.Included(t.Context(), 3, f.leaves[2], o.Checkpoint); !errors.Is(err, ErrUntrusted) {
		t.Error("another leaf:", err)
	}
	if _, err := c.Included(t.Context(), 2, f.leaves[2], o.Checkpoint); !errors.Is(err, ErrRefused) {
		t.Error("refused:", err)
	}
	// The same leaf twice: the proof of one of them is not that of the other.
	f.leaves[2] = f.leaves[3]
	if o, err = c.Open([]byte(f.note(5))); err != nil {
		t.Fatal(err)
	}
	prove, answer = 2, 2
	if _, err := c.Included(t.Context(), 3, f.leaves[3], o.Checkpoint); !errors.Is(err, ErrUntrusted) {
		t.Error("another index:", err)
	}
}

// cosigner is a witness with the key of RFC 8032, test 1.
const cosigner = "witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"

func TestLookup(t *testing.T) {
	f, c := newFake(t)
	f.replace["/v1/entries:lookup"] = func(w http.ResponseWriter, r *http.Request) {
		if leaf, err := base64.StdEncoding.DecodeString(r.URL.Query().Get("leafHash")); err != nil || len(leaf) != merkle.HashSize {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.entry(w, 3, entryOf(3), f.proof(3))
	}
	if l, err := c.Lookup(t.Context(), f.leaves[3]); err != nil || l.Index != 3 || string(l.Canonical) != "entry 3" {
		t.Error(l, err)
	}
	if l, err := c.Lookup(t.Context(), f.leaves[2]); !errors.Is(err, ErrUntrusted) {
		t.Error("another entry than was asked for:", l, err)
	}
}

// A policy's quorum counts for what is fetched too.
func TestPolicy(t *testing.T) {
	f, c := newFake(t)
	_, other := newFake(t)
	for text, believed := range map[string]bool{
		"log " + f.signer.Verifier().String() + "\nquorum none\n":                          true,
		"log " + f.signer.Verifier().String() + "\nwitness w " + cosigner + "\nquorum w\n": false,
		"log " + other.cfg.Keys[0].String() + "\nquorum none\n":                            false,
	} {
		p, err := checkpoint.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.cfg.Policy = p
		if _, err := c.Checkpoint(t.Context()); (err == nil) != believed || err != nil && !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := c.Get(t.Context(), 3); (err == nil) != believed {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for header, want := range map[string][2]time.Duration{
		"": {0, 0}, "7": {7 * time.Second, 7 * time.Second}, "-7": {0, 0}, "soon": {0, 0}, "99999999": {time.Hour, time.Hour},
		in(-time.Minute): {0, 0}, in(30 * time.Minute): {20 * time.Minute, 30 * time.Minute}, in(48 * time.Hour): {time.Hour, time.Hour},
	} {
		if got := retryAfter(header); got < want[0] || got > want[1] {
			t.Errorf("Retry-After: %s gives %s", header, got)
		}
	}
}

func TestURL(t *testing.T) {
	for url, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "https://log.example/prefix/": true, "http://[::1]:8080": true,
		"": false, "127.0.0.1:8080": false, "http://": false, "ftp://log.example": false, "http:///tile": false,
		"http://log.example?x=1": false, "http://log.example/?": false, "http://log.example#x": false, "http://log.example:port": false,
	} {
		if _, err := New(Config{URL: url}); (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestKeys(t *testing.T) {
	f, c := newFake(t)
	mine := f.signer.Verifier().String()
	for answer, good := range map[string]bool{
		mine + "\n": true, mine: true, mine + "\n" + mine + "\n": true,
		"": false, "nonsense\n": false, mine + "\n\n": false, mine + "\n" + cosigner + "\n": false,
	} {
		f.replace["/log.vkey"] = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }
		if keys, err := c.Keys(t.Context()); (err == nil) != good || err != nil && !errors.Is(err, ErrUntrusted) {
			t.Errorf("%q: %v, %v", answer, keys, err)
		}
	}
}
