package index

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"

	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/memory"
)

// world is a log in a store, whose entries a test appends and publishes.
type world struct {
	t     testing.TB
	store storage.Store
	id    int64
	log   *fakeLog
}

func newWorld(t testing.TB, store storage.Store) *world {
	t.Helper()
	l, err := store.CreateLog(t.Context(), storage.Log{Origin: "log.example"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, store: store, id: l.ID, log: newFakeLog()}
}

func memoryWorld(t testing.TB) *world { return newWorld(t, memory.New()) }

// fakeLog is what one replica knows to be published.
type fakeLog struct {
	mu      sync.Mutex
	size    int64
	changed chan struct{}
	recent  func(start, stop int64) []storage.Entry // nil: nothing is in memory
}

// Check has no tree to compare leaf hashes with.
func (l *fakeLog) Check(_ context.Context, entries []storage.Entry) error {
	for _, e := range entries {
		if merkle.LeafHash(e.Body) != e.LeafHash {
			return fmt.Errorf("%w: entry %d", translog.ErrDamaged, e.Index)
		}
	}
	return nil
}

func (l *fakeLog) Recent(start, stop int64) []storage.Entry {
	if l.recent == nil {
		return nil
	}
	return l.recent(start, stop)
}

func newFakeLog() *fakeLog { return &fakeLog{changed: make(chan struct{})} }

func (l *fakeLog) Published() (translog.Published, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return translog.Published{Size: l.size}, nil
}

func (l *fakeLog) AwaitNewer(ctx context.Context, than int64) (translog.Published, error) {
	for {
		l.mu.Lock()
		size, changed := l.size, l.changed
		l.mu.Unlock()
		if size > than {
			return translog.Published{Size: size}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return translog.Published{}, ctx.Err()
		}
	}
}

func (l *fakeLog) publish(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.size, l.changed = size, make(chan struct{})
}

// signers is how many keys the entries are signed by.
const signers = 7

// body is entry i's canonical bytes, except for the signature, which nobody
// checks here. Two entries in a row are of one artifact.
func body(i int64) []byte {
	return bodyOf(i/2, i)
}

// bodyOf is entry i's canonical bytes, of an artifact.
func bodyOf(artifact, i int64) []byte {
	digest := sha256.Sum256(fmt.Append(nil, "artifact ", artifact))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},`+
		`"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}}`,
		b64(digest[:]), b64(fmt.Append(nil, "signature ", i)), b64(fmt.Append(nil, "key ", i%signers)))
}

func artifactKey(n int64) entry.IndexKey {
	digest := sha256.Sum256(fmt.Append(nil, "artifact ", n))
	return entry.IndexKey{By: entry.ByArtifact, Value: "sha256:" + hex.EncodeToString(digest[:])}
}

func signerKey(n int64) entry.IndexKey {
	sum := sha256.Sum256(fmt.Append(nil, "key ", n))
	return entry.IndexKey{By: entry.ByPublicKey, Value: hex.EncodeToString(sum[:])}
}

// append appends entries with bodies, and returns the size.
func (w *world) append(bodies ...[]byte) int64 {
	w.t.Helper()
	ctx := w.t.Context()
	tx, err := w.store.BeginAppend(ctx, w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	head := tx.Head()
	a := storage.Append{Head: storage.Head{Size: head.Size + int64(len(bodies)), IntegratedAt: 1000}}
	for i, b := range bodies {
		a.Entries = append(a.Entries, storage.Entry{Index: head.Size + int64(i), LeafHash: merkle.LeafHash(b), IntegratedAt: 1000, Body: b})
	}
	if err := tx.Write(ctx, a); err != nil {
		w.t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		w.t.Fatal(err)
	}
	return a.Head.Size
}

// grow appends n of the tests' own entries, and publishes them.
func (w *world) grow(n int) int64 {
	w.t.Helper()
	head, err := w.store.Head(w.t.Context(), w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	bodies := make([][]byte, n)
	for i := range bodies {
		bodies[i] = body(head.Size + int64(i))
	}
	size := w.append(bodies...)
	w.publish(size)
	return size
}

// publish publishes a size, in the store too, where Rebuild reads it.
func (w *world) publish(size int64) {
	w.t.Helper()
	was, err := w.store.Published(w.t.Context(), w.id)
	if err == nil {
		_, err = w.store.Publish(w.t.Context(), w.id, storage.Published{Version: was.Version, Size: size, Note: []byte("note")})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.log.publish(size)
}

func (w *world) published() int64 {
	p, err := w.log.Published()
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Size
}

func (w *world) open(change func(*Config)) *Index {
	w.t.Helper()
	cfg := Config{Store: w.store, LogID: w.id, Log: w.log}
	if change != nil {
		change(&cfg)
	}
	x, err := Open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

// run runs an index, and returns what ends it.
func run(t testing.TB, x *Index) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// all pages through the hits of a key.
func all(t testing.TB, x *Index, key entry.IndexKey, limit int) (found []int64, size int64) {
	t.Helper()
	for after := int64(-1); ; {
		hits, err := x.Find(t.Context(), key, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, r := range hits.Records {
			bytes += len(r.Canonical)
		}
		if len(hits.Records) > limit || hits.More && len(hits.Records) < limit && bytes+1<<16 <= findBytes {
			t.Fatalf("%d hits of %d, more: %v", len(hits.Records), limit, hits.More)
		}
		for _, r := range hits.Records {
			if keys, err := entry.IndexKeys(r.Canonical); err != nil || !slices.Contains(keys, key) || r.Index <= after || r.Index >= hits.Size {
				t.Fatalf("entry %d after %d below %d has %v, %v", r.Index, after, hits.Size, keys, err)
			}
			after = r.Index
			found = append(found, r.Index)
		}
		if !hits.More {
			return found, hits.Size
		}
	}
}

// complete checks that an index knows all of the tests' own entries below a
// size, and nothing else.
func (w *world) complete(x *Index, size int64) {
	w.t.Helper()
	st, err := w.store.IndexState(w.t.Context(), w.id)
	if err != nil || st.Size != size || st.Format != format {
		w.t.Fatalf("%+v, %v; not %d in format %d", st, err, size, format)
	}
	check := func(key entry.IndexKey, has func(i int64) bool) {
		w.t.Helper()
		var want []int64
		for i := range size {
			if has(i) {
				want = append(want, i)
			}
		}
		if got, to := all(w.t, x, key, 97); !slices.Equal(got, want) || to != size {
			w.t.Fatalf("%v: entries %v up to %d; not %v up to %d", key, got, to, want, size)
		}
		// The rows are these too: nothing was written twice.
		_, rows, err := w.store.IndexFind(w.t.Context(), w.id, keyHash(key), -1, 1<<30)
		if err != nil || !slices.Equal(rows, want) {
			w.t.Fatalf("%v: rows %v, %v; not %v", key, rows, err, want)
		}
	}
	for n := range int64(signers) {
		check(signerKey(n), func(i int64) bool { return i%signers == n })
	}
	for n := int64(0); n <= size/2; n += 1 + size/100 {
		check(artifactKey(n), func(i int64) bool { return i/2 == n })
	}
}
