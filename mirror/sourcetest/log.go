// Package sourcetest has a log of C2SP tlog-tiles for tests: it serves what it is
// told to, true or false.
package sourcetest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Log is a log that serves its tree of any size. Its methods may be called at the
// same time.
type Log struct {
	URL    string
	Origin string
	Key    checkpoint.Verifier

	signer  checkpoint.Signer
	mu      sync.Mutex
	size    int64 // of the published checkpoint
	entries [][]byte
	levels  [][]merkle.Hash
	replace map[string]http.HandlerFunc
	before  http.HandlerFunc
	asked   map[string]int
}

// New starts a log with so many entries. The same origin gives the same key.
func New(t testing.TB, origin string, size int64) *Log {
	seed := sha256.Sum256([]byte(origin))
	key := ed25519.NewKeyFromSeed(seed[:])
	signer, err := checkpoint.NewSigner(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{Origin: origin, signer: signer, replace: make(map[string]http.HandlerFunc), asked: make(map[string]int)}
	if l.Key, err = checkpoint.NewVerifier(origin, key.Public()); err != nil {
		t.Fatal(err)
	}
	l.Grow(size)
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.URL = server.URL
	return l
}

// Entry is the entry that Grow adds at an index.
func Entry(index int64) []byte { return fmt.Appendf(nil, "entry %d", index) }

// Grow adds entries until there are size, and publishes that tree; a smaller size
// is only published.
func (l *Log) Grow(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := int64(len(l.entries)); i < size; i++ {
		l.add(Entry(i))
	}
	l.size = size
}

// Add adds an entry and publishes the tree.
func (l *Log) Add(entry []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(entry)
	l.size = int64(len(l.entries))
}

func (l *Log) add(entry []byte) {
	l.entries = append(l.entries, entry)
	h := merkle.LeafHash(entry)
	for level := 0; ; level++ {
		if level == len(l.levels) {
			l.levels = append(l.levels, nil)
		}
		l.levels[level] = append(l.levels[level], h)
		n := len(l.levels[level])
		if n%merkle.TileWidth != 0 {
			return
		}
		edge, _ := merkle.Edge{}.Append(l.levels[level][n-merkle.TileWidth:])
		h = edge.Root()
	}
}

// Root is the root of the first size entries.
func (l *Log) Root(size int64) merkle.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.root(size)
}

func (l *Log) root(size int64) merkle.Hash {
	edge, _ := merkle.NewEdge(size, func(level int) ([]merkle.Hash, error) {
		n := merkle.HashesAt(level, size)
		return l.levels[level][n/merkle.TileWidth*merkle.TileWidth : n], nil
	})
	return edge.Root()
}

// Note is the signed checkpoint of a size.
func (l *Log) Note(size int64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.note(size)
}

func (l *Log) note(size int64) []byte {
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: l.Origin, Size: size, Root: l.root(size)}, l.signer)
	if err != nil {
		panic(err)
	}
	return note
}

// Replace has a handler answer for a path, such as "tile/0/000"; nil ends that.
func (l *Log) Replace(path string, h http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h == nil {
		delete(l.replace, path)
		return
	}
	l.replace[path] = h
}

// Before runs a handler before each request is answered.
func (l *Log) Before(h http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = h
}

// Asked is how often a path was asked for; "" counts all.
func (l *Log) Asked(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[path]
}

// ServeHTTP answers as a log does.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	l.mu.Lock()
	l.asked[path]++
	l.asked[""]++
	before, replaced := l.before, l.replace[path]
	l.mu.Unlock()
	if before != nil {
		before(w, r)
	}
	if replaced != nil {
		replaced(w, r)
		return
	}
	data := l.Resource(path)
	if data == nil {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

// Resource is what the log serves at a path, truly; nil if there is nothing.
func (l *Log) Resource(path string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if path == "checkpoint" {
		return l.note(l.size)
	}
	if b, err := merkle.ParseBundlePath(path); err == nil {
		return l.bundle(b)
	}
	t, err := merkle.ParseTilePath(path)
	begin := t.Index * merkle.TileWidth
	if err != nil || begin+int64(t.Width) > merkle.HashesAt(t.Level, int64(len(l.entries))) {
		return nil
	}
	return merkle.EncodeTile(l.levels[t.Level][begin : begin+int64(t.Width)])
}

func (l *Log) bundle(b merkle.Bundle) []byte {
	begin := b.Index * merkle.TileWidth
	if begin+int64(b.Width) > int64(len(l.entries)) {
		return nil
	}
	var data []byte
	for _, e := range l.entries[begin : begin+int64(b.Width)] {
		data, _ = merkle.AppendBundleEntry(data, e)
	}
	return data
}
