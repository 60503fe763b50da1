package source_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/merkle"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

func config(key checkpoint.Verifier, urls ...string) source.Config {
	return source.Config{URLs: urls, Client: client.Config{Keys: []checkpoint.Verifier{key}, Tries: 1}}
}

// readAll reads a whole log, and demands that its leaves lead to the head.
func readAll(t *testing.T, log source.Log, h source.Head) (entries [][]byte, data []byte) {
	t.Helper()
	edge := merkle.Edge{}
	for n := int64(0); n*source.BlockSize < h.Size; n++ {
		b, err := log.Block(t.Context(), h, n)
		if err != nil {
			t.Fatal(err)
		}
		if edge.Size() != b.Start || len(b.Leaves) != len(b.Entries) {
			t.Fatalf("block %d begins at %d, with %d leaves and %d entries", n, b.Start, len(b.Leaves), len(b.Entries))
		}
		edge, _ = edge.Append(b.Leaves)
		entries, data = append(entries, b.Entries...), append(data, b.Data...)
	}
	if edge.Size() != h.Size || edge.Root() != h.Root {
		t.Errorf("%d entries lead to the root %x, and not to %x", edge.Size(), edge.Root(), h.Root)
	}
	return entries, data
}

// sumDB is a checksum database of x/mod's own server.
func sumDB(t *testing.T) (*sumdb.TestServer, func(size int), *httptest.Server, checkpoint.Verifier) {
	t.Helper()
	secret, vkey, err := note.GenerateKey(rand.Reader, "sum.example")
	if err != nil {
		t.Fatal(err)
	}
	ops := sumdb.NewTestServer(secret, func(path, version string) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s h1:abc=\n%s %s/go.mod h1:def=\n", path, version, path, version), nil
	})
	mux := http.NewServeMux()
	for _, path := range sumdb.ServerPaths {
		mux.Handle(path, sumdb.NewServer(ops))
	}
	size := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".p/44") && size > 300 {
			http.NotFound(w, r) // it is full now, and the partial one was deleted
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	key, err := checkpoint.ParseVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return ops, func(to int) {
		for ; size < to; size++ {
			if _, err := ops.Lookup(t.Context(), module.Version{Path: "example.com/m", Version: fmt.Sprintf("v1.0.%d", size)}); err != nil {
				t.Fatal(err)
			}
		}
	}, server, key
}

func TestSumDB(t *testing.T) {
	ops, grow, server, key := sumDB(t)
	grow(300)
	log, err := source.Open(t.Context(), "", config(key, server.URL))
	if err != nil || log.Format() != source.SumDB || log.Origin() != "go.sum database tree" {
		t.Fatal(log, err)
	}
	older := head(t, log)
	grow(700)
	h := head(t, log)
	if _, err := log.Consistent(t.Context(), older, h); err != nil || older.Size != 300 || h.Size != 700 {
		t.Fatal(older.Size, h.Size, err)
	}
	for _, h := range []source.Head{older, h} { // its last block is partial, and became full
		entries, data := readAll(t, log, h)
		want, err := ops.ReadRecords(t.Context(), 0, h.Size)
		if err != nil || !slices.EqualFunc(entries, want, bytes.Equal) {
			t.Errorf("other records, %v", err)
		}
		if !bytes.Equal(data, append(bytes.Join(want, []byte("\n")), '\n')) {
			t.Error("other data tiles")
		}
	}
}

func TestStaticCT(t *testing.T) {
	l := sourcetest.NewCT(t, "ct.example/2026h2", 600)
	log, err := source.Open(t.Context(), "", config(l.Key, l.URL))
	if err != nil || log.Format() != source.StaticCT {
		t.Fatal(log, err)
	}
	h := head(t, log)
	if h.Time.Unix() != 1_700_000_000 {
		t.Errorf("the head is of %v", h.Time)
	}
	_, data := readAll(t, log, h)
	var want []byte
	for _, path := range []string{"tile/data/000", "tile/data/001", "tile/data/002.p/88"} {
		want = append(want, l.Resource(path)...)
	}
	if !bytes.Equal(data, want) {
		t.Error("other data tiles")
	}
	for older, i := h, int64(600); i < 768; i++ {
		l.AddCertificate(i, []byte("more"))
		if i == 767 {
			if b, err := log.Block(t.Context(), older, 2); err != nil || len(b.Entries) != 88 {
				t.Errorf("a partial tile that became full: %v", err)
			}
		}
	}
	b, err := log.Block(t.Context(), h, 0)
	if err != nil {
		t.Fatal(err)
	}
	issuers := log.(source.Issuers)
	hashes, err := issuers.Issuers(b)
	if err != nil || len(hashes) != len(l.Issuers()) {
		t.Fatalf("%d issuers of %d, %v", len(hashes), len(l.Issuers()), err)
	}
	for _, hash := range hashes {
		path := fmt.Sprintf("issuer/%x", hash)
		if der, err := issuers.Issuer(t.Context(), hash); err != nil || !bytes.Equal(der, l.Issuers()[path]) {
			t.Errorf("%s: %v", path, err)
		}
		l.Replace(path, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("another")) })
		if _, err := issuers.Issuer(t.Context(), hash); !errors.Is(err, source.ErrFalse) {
			t.Errorf("another certificate: %v", err)
		}
	}
}

// An entry that says that it is elsewhere is found, though the log signed it.
func TestLeafIndex(t *testing.T) {
	l := sourcetest.NewCT(t, "ct.example/2026h2", 5)
	l.AddCertificate(7, []byte("elsewhere"))
	log, err := source.NewStaticCT(config(l.Key, l.URL))
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Block(t.Context(), head(t, log), 0)
	var fault *source.Fault
	if !errors.As(err, &fault) || fault.Index != 5 || !strings.Contains(err.Error(), "says 7") {
		t.Errorf("%v", err)
	}
}

func TestRekorV1(t *testing.T) {
	l := sourcetest.NewRekorV1(t, "rekor.example", 300, 20, 600)
	for shard, origin := range []string{"rekor.example - 1000", "rekor.example - 1001", ""} {
		cfg := config(l.Key, l.URL)
		cfg.Origin = origin
		log, err := source.Open(t.Context(), "", cfg)
		if err != nil || log.Format() != source.RekorV1 || log.Origin() != fmt.Sprintf("rekor.example - %d", 1000+shard) {
			t.Fatal(log, err)
		}
		h := head(t, log)
		if !bytes.Equal(h.Note, l.Note(shard)) {
			t.Errorf("another checkpoint: %s", h.Note)
		}
		entries, data := readAll(t, log, h)
		for i, e := range entries {
			if !bytes.Equal(e, sourcetest.Entry(int64(i))) {
				t.Fatalf("entry %d is %q", i, e)
			}
		}
		if want := l.Shards[shard].Resource("tile/entries/000.p/10"); !bytes.HasPrefix(data, want) {
			t.Error("other bundles")
		}
	}
}

// The active shard grows while it is read: what it proves is proven to be of the
// tree of the head.
func TestRekorV1Grows(t *testing.T) {
	l := sourcetest.NewRekorV1(t, "rekor.example", 20, 5000)
	active := l.Shards[1]
	log, err := source.NewRekorV1(t.Context(), config(l.Key, l.URL))
	if err != nil {
		t.Fatal(err)
	}
	h := head(t, log)
	if tail := log.(source.Tailed).Tail(h); tail != 3840 {
		t.Errorf("the tail begins at %d", tail)
	}
	active.Grow(5100)
	if b, err := log.Block(t.Context(), h, 19); err != nil || len(b.Entries) != 5000-4864 {
		t.Errorf("%d entries, %v", len(b.Entries), err)
	}
	active.Replace("api/v1/log/proof", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"hashes":[]}`)) })
	active.Grow(5200)
	if _, err := log.Block(t.Context(), h, 0); !errors.Is(err, source.ErrFalse) {
		t.Errorf("a tree that is not proven to be that of the head: %v", err)
	}
	active.Add(bytes.Repeat([]byte("x"), 1<<16))
	active.Replace("api/v1/log/proof", nil)
	if b, err := log.Block(t.Context(), head(t, log), 20); err != nil || b.Data != nil || len(b.Entries) != 5201-5120 {
		t.Errorf("an entry that no bundle holds: %d bytes of data, %v", len(b.Data), err)
	}
}

// What Rekor v1 cannot prove is not returned.
func TestRekorV1False(t *testing.T) {
	l := sourcetest.NewRekorV1(t, "rekor.example", 300)
	log, err := source.NewRekorV1(t.Context(), config(l.Key, l.URL))
	if err != nil {
		t.Fatal(err)
	}
	h := head(t, log)
	const path = "api/v1/log/entries/retrieve"
	type entries = []map[string]map[string]any
	for name, change := range map[string]func(list entries, e map[string]any, proof map[string]any) entries{
		"another entry":    func(list entries, e, _ map[string]any) entries { e["body"] = "AAAA"; return list },
		"an entry fewer":   func(list entries, _, _ map[string]any) entries { return list[1:] },
		"one twice":        func(list entries, _, _ map[string]any) entries { return append(list[1:], list[1]) },
		"another's proof":  func(list entries, _, proof map[string]any) entries { proof["logIndex"] = 4; return list },
		"an index below 0": func(list entries, _, proof map[string]any) entries { proof["logIndex"] = -1; return list },
		"a hash fewer": func(list entries, _, proof map[string]any) entries {
			proof["hashes"] = proof["hashes"].([]any)[1:]
			return list
		},
		"hashes of 3 bytes": func(list entries, _, proof map[string]any) entries { proof["hashes"] = []string{"abcdef"}; return list },
		"no checkpoint":     func(list entries, _, proof map[string]any) entries { delete(proof, "checkpoint"); return list },
	} {
		l.Shards[0].Replace(path, func(w http.ResponseWriter, r *http.Request) {
			truth := httptest.NewRecorder()
			l.Honest(truth, r)
			var list entries
			if err := json.Unmarshal(truth.Body.Bytes(), &list); err != nil {
				t.Error(err)
			}
			for _, e := range list[0] {
				list = change(list, e, e["verification"].(map[string]any)["inclusionProof"].(map[string]any))
				break
			}
			json.NewEncoder(w).Encode(list)
		})
		if _, err := log.Block(t.Context(), h, 0); !errors.Is(err, source.ErrFalse) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The largest head of several prefixes counts, and one that is down or false does
// not matter.
func TestPrefixes(t *testing.T) {
	l := sourcetest.New(t, "log.example", 700)
	stale := sourcetest.New(t, "log.example", 300)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	lying := sourcetest.New(t, "log.example", 700)
	for _, path := range []string{"checkpoint", "tile/entries/000", "tile/1/000.p/2"} {
		lying.Replace(path, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 64)) })
	}
	log, err := source.NewTiles(config(l.Key, stale.URL, down.URL, lying.URL, l.URL))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		h := head(t, log)
		if h.Size != 700 {
			t.Errorf("the head of size %d", h.Size)
		}
		readAll(t, log, h)
	}
	if l.Asked("") == 0 || lying.Asked("") == 0 || stale.Asked("") == 0 {
		t.Error("the requests are not spread")
	}
}

// A partial tile is right only together with the others of the edge: of each prefix that
// serves a false one the next takes the place, wherever the requests begin.
func TestPrefixesEdge(t *testing.T) {
	l, lying := sourcetest.New(t, "log.example", 700), sourcetest.New(t, "log.example", 700)
	lying.Replace("tile/1/000.p/2", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 64)) })
	for before := range 4 {
		log, err := source.NewTiles(config(l.Key, lying.URL, l.URL))
		if err != nil {
			t.Fatal(err)
		}
		for range before {
			head(t, log)
		}
		readAll(t, log, head(t, log))
	}
}

// Each request asks each prefix, whatever is asked at the same time.
func TestPrefixesAtOnce(t *testing.T) {
	l := sourcetest.New(t, "log.example", 700)
	down := httptest.NewServer(http.NotFoundHandler())
	defer down.Close()
	log, err := source.NewTiles(config(l.Key, down.URL, l.URL, down.URL, down.URL))
	if err != nil {
		t.Fatal(err)
	}
	h := head(t, log)
	var wait sync.WaitGroup
	for i := range int64(64) {
		wait.Go(func() {
			for range 20 {
				if _, err := log.Block(t.Context(), h, i%2); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestOpenNothing(t *testing.T) {
	key := sourcetest.New(t, "log.example", 1).Key
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	if _, err := source.Open(t.Context(), "", config(key, server.URL)); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := source.Open(t.Context(), "tape", config(key, server.URL)); err == nil {
		t.Error("a format that is unknown")
	}
}

// No data tile, however wrong, is more than an error.
func FuzzDataTile(f *testing.F) {
	l := sourcetest.NewCT(f, "ct.example", 3)
	f.Add(l.Resource("tile/data/000.p/3"))
	var served []byte
	l.Replace("tile/data/000.p/3", func(w http.ResponseWriter, _ *http.Request) { w.Write(served) })
	log, err := source.NewStaticCT(config(l.Key, l.URL))
	if err != nil {
		f.Fatal(err)
	}
	h, err := log.Head(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		served = data
		b, err := log.Block(t.Context(), h, 0)
		if err == nil && !bytes.Equal(b.Data, data) {
			t.Errorf("%x was taken for %x", data, b.Data)
		}
	})
}

// The entries of a block of Rekor v1 are bounded together, not only each answer.
func TestRekorV1BlockIsBounded(t *testing.T) {
	l := sourcetest.NewRekorV1(t, "rekor.example", 0)
	big := make([]byte, 2<<20)
	for range 20 {
		l.Shards[0].Add(big)
	}
	log, err := source.NewRekorV1(t.Context(), config(l.Key, l.URL))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Block(t.Context(), head(t, log), 0); !errors.Is(err, client.ErrTooBig) || !strings.Contains(err.Error(), "of a block") {
		t.Error(err)
	}
}
