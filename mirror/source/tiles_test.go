package source_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/evidence"
	"indelible/merkle"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

func open(t *testing.T, l *sourcetest.Log) source.Log {
	t.Helper()
	log, err := source.NewTiles(source.Config{URLs: []string{l.URL}, Client: client.Config{Keys: []checkpoint.Verifier{l.Key}, Tries: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func head(t *testing.T, log source.Log) source.Head {
	t.Helper()
	h, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Sizes at which the tree has a partial tile at each of its levels, or at none.
var sizes = []int64{1, 255, 256, 257, 65536, 65536 + 256, 65536 + 700}

func TestTiles(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := sourcetest.New(t, "log.example", size)
			log := open(t, l)
			h := head(t, log)
			if h.Size != size || h.Root != l.Root(size) || !bytes.Equal(h.Note, l.Note(size)) {
				t.Fatalf("head %+v", h)
			}
			for n := int64(0); n*256 < size; n += max(1, size/256/10) {
				b, err := log.Block(t.Context(), h, n)
				if err != nil {
					t.Fatal(err)
				}
				width := int(min(256, size-256*n))
				if b.Start != 256*n || len(b.Leaves) != width || !bytes.Equal(b.Entries[width-1], sourcetest.Entry(256*n+int64(width)-1)) {
					t.Errorf("block %d has %d entries from %d on", n, len(b.Leaves), b.Start)
				}
				if want := l.Resource(merkle.Bundle{Index: n, Width: width}.Path()); !bytes.Equal(b.Data, want) {
					t.Errorf("block %d: another bundle", n)
				}
			}
			if size >= 256 && l.Asked("tile/0/000") > 0 {
				t.Error("a full tile of level 0 was fetched")
			}
		})
	}
}

func TestPartialAfterGrowth(t *testing.T) {
	l := sourcetest.New(t, "log.example", 300)
	log := open(t, l)
	h := head(t, log)
	l.Grow(512)
	l.Replace("tile/entries/001.p/44", http.NotFound)
	l.Replace("tile/0/001.p/44", http.NotFound)
	b, err := log.Block(t.Context(), h, 1)
	if err != nil || len(b.Entries) != 44 || !bytes.Equal(b.Data, l.Resource("tile/entries/001.p/44")) {
		t.Errorf("%d entries, %v", len(b.Entries), err)
	}
}

// changed serves a path's bytes with one bit flipped.
func changed(l *sourcetest.Log, path string, at int) {
	l.Replace(path, func(w http.ResponseWriter, _ *http.Request) {
		data := l.Resource(path)
		data[at] ^= 1
		w.Write(data)
	})
}

func TestChanged(t *testing.T) {
	const size = 65536 + 700 // two full tiles of level 0 and 188 hashes, after a full one of level 1
	for _, test := range []struct {
		path  string
		at    int
		block int64
		index int64
		text  string
	}{
		{"tile/entries/003", 20, 3, 3*256 + 1, "entry 769 is not the one in the tree"},
		{"tile/entries/258.p/188", 50, 258, 258*256 + 3, "is not the one in the tree"},
		{"tile/1/000", 40, 3, 0, "the tile above says"},
		{"tile/1/001.p/2", 40, 3, (256 + 1) << 8, "its hash 1 is not that of the tile below it"},
		{"tile/2/000.p/1", 0, 257, 0, "its hash 0 is not that of the tile below it"},
		{"tile/0/258.p/188", 40, 3, 258 * 256, "lead to the root"},
	} {
		t.Run(test.path, func(t *testing.T) {
			l := sourcetest.New(t, "log.example", size)
			log := open(t, l)
			h := head(t, log)
			changed(l, test.path, test.at)
			_, err := log.Block(t.Context(), h, test.block)
			var f *source.Fault
			if !errors.As(err, &f) || !errors.Is(err, source.ErrFalse) {
				t.Fatalf("no fault: %v", err)
			}
			if f.URL != l.URL+"/"+test.path || f.Index != test.index || !strings.Contains(err.Error(), test.text) || len(f.Served) == 0 {
				t.Errorf("index %d, %d bytes: %v", f.Index, len(f.Served), err)
			}
			l.Replace(test.path, nil)
			if _, err := log.Block(t.Context(), h, test.block); err != nil {
				t.Errorf("it remembers the fault: %v", err)
			}
		})
	}
}

func TestConsistent(t *testing.T) {
	l := sourcetest.New(t, "log.example", 65536+700)
	log := open(t, l)
	newer := head(t, log)
	for _, size := range []int64{0, 1, 255, 256, 700, 65535, 65536, 65536 + 700} {
		older := source.Head{Size: size, Root: l.Root(size), Note: l.Note(size)}
		proof, err := log.Consistent(t.Context(), older, newer)
		if err != nil || merkle.VerifyConsistency(size, newer.Size, older.Root, newer.Root, proof) != nil {
			t.Errorf("from %d: %v", size, err)
		}
	}
}

func TestFork(t *testing.T) {
	l := sourcetest.New(t, "log.example", 1000)
	for _, at := range []int64{0, 255, 256, 300, 700} { // at the edge of a block, and inside
		other := sourcetest.New(t, "log.example", at)
		other.Add([]byte("another entry"))
		other.Grow(1000)
		for _, size := range []int64{at + 1, 1000} {
			older := source.Head{Size: size, Root: other.Root(size), Note: other.Note(size)}
			log := open(t, l)
			_, err := log.Consistent(t.Context(), older, head(t, log))
			var fork *source.ForkError
			if !errors.Is(err, source.ErrFalse) || !errors.As(err, &fork) {
				t.Fatalf("fork at %d, size %d: %v", at, size, err)
			}
			keys := []checkpoint.Verifier{l.Key}
			file, err := fork.Evidence(keys)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := evidence.Verify(file, keys); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestHostileHead(t *testing.T) {
	l := sourcetest.New(t, "log.example", 300)
	log := open(t, l)
	changed(l, "checkpoint", 20)
	other := sourcetest.New(t, "other.example", 3)
	if _, err := log.Head(t.Context()); !errors.Is(err, source.ErrFalse) {
		t.Errorf("a changed checkpoint: %v", err)
	}
	l.Replace("checkpoint", func(w http.ResponseWriter, _ *http.Request) { w.Write(other.Note(3)) })
	if _, err := log.Head(t.Context()); !errors.Is(err, source.ErrFalse) {
		t.Errorf("another log's checkpoint: %v", err)
	}
}

func TestFailover(t *testing.T) {
	a, b := sourcetest.New(t, "log.example", 700), sourcetest.New(t, "log.example", 700)
	log, err := source.NewTiles(source.Config{
		URLs: []string{a.URL, b.URL}, Client: client.Config{Keys: []checkpoint.Verifier{a.Key}, Tries: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := head(t, log)
	a.Replace("tile/entries/000", http.NotFound)
	changed(b, "tile/entries/001", 30)
	for n := range int64(3) {
		if _, err := log.Block(t.Context(), h, n); err != nil {
			t.Error(err)
		}
	}
	if a.Asked("") == 0 || b.Asked("") == 0 {
		t.Error("the requests were not spread")
	}
}
