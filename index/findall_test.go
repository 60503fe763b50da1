package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// counting counts the entries that are read of a store, and the reads of rows.
type counting struct {
	storage.Store
	mu            sync.Mutex
	entries, rows int
}

func (c *counting) EntriesAt(ctx context.Context, logID int64, indexes []int64) ([]storage.Entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries += len(indexes)
	return c.Store.EntriesAt(ctx, logID, indexes)
}

func (c *counting) IndexFind(ctx context.Context, logID, key, after int64, limit int) (storage.IndexState, []int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows++
	return c.Store.IndexFind(ctx, logID, key, after, limit)
}

// read is how many entries and pages of rows were read since the last time.
func (c *counting) read() (entries, rows int) {
	entries, rows = c.entries, c.rows
	c.entries, c.rows = 0, 0
	return entries, rows
}

// naive answers a query by looking at every entry of a test's own.
func naive(q Query, size int64) (leaves []Leaf) {
	for i := range size {
		keys := []entry.IndexKey{artifactKey(i / 2), signerKey(i % signers)}
		n := 0
		for _, c := range q.Clauses {
			if slices.ContainsFunc(c, func(k entry.IndexKey) bool { return slices.Contains(keys, k) }) {
				n++
			}
		}
		if q.All && n > 0 && n == len(q.Clauses) || !q.All && n > 0 {
			leaves = append(leaves, Leaf{i, merkle.LeafHash(body(i))})
		}
	}
	return leaves
}

// (In a bubble, searches do not rest.)
func TestFindAll(t *testing.T) { synctest.Test(t, testFindAll) }

func testFindAll(t *testing.T) {
	w := memoryWorld(t)
	size := w.grow(9000)
	x := w.rebuilt()
	random := func() Clause {
		var c Clause
		for range rand.IntN(4) {
			c = append(c, []entry.IndexKey{artifactKey(rand.Int64N(5000)), signerKey(rand.Int64N(signers + 1))}[rand.IntN(2)])
		}
		return c
	}
	queries := []Query{
		{},
		{All: true},
		{Clauses: []Clause{nil}},
		{Clauses: []Clause{nil, {signerKey(1)}}, All: true},
		{Clauses: []Clause{{signerKey(1)}}, All: true},
		{Clauses: []Clause{{signerKey(1), signerKey(2)}, {signerKey(2), signerKey(3)}}, All: true},
		{Clauses: []Clause{{signerKey(1)}, {signerKey(2)}}, All: true},
		{Clauses: []Clause{{signerKey(1)}, {artifactKey(4)}}, All: true},
		{Clauses: []Clause{{signerKey(0), signerKey(1), signerKey(2), signerKey(3)}, {signerKey(4), signerKey(5), signerKey(6)}}},
	}
	for range 20 {
		queries = append(queries, Query{[]Clause{random(), random(), random()}[:rand.IntN(4)], rand.IntN(2) == 0})
	}
	for _, q := range queries {
		asked := slices.ContainsFunc(q.Clauses, func(c Clause) bool { return len(c) > 0 })
		got, err := x.FindAll(t.Context(), q)
		if want := naive(q, size); err != nil || !slices.Equal(got.Leaves, want) {
			t.Errorf("%v: %d leaves, %v; not %d", q, len(got.Leaves), err, len(want))
		}
		if got.Size != size && (got.Size != -1 || asked && !q.All) {
			t.Errorf("%v: complete up to %d", q, got.Size)
		}
	}
}

// What is refused is refused before an entry is read, and what is asked for
// together is looked for where there is least of it.
func TestFindAllReadsLittle(t *testing.T) { synctest.Test(t, testFindAllReadsLittle) }

func testFindAllReadsLittle(t *testing.T) {
	store := &counting{Store: memory.New()}
	w := newWorld(t, store)
	bodies := make([][]byte, MaxAll+2) // all but one of one signer: one too many
	for i := range int64(len(bodies)) {
		bodies[i] = bodyOf(i/2, i*signers)
	}
	bodies[15] = bodyOf(7, 1)
	size := w.append(bodies...)
	w.publish(size)
	x := w.rebuilt()
	store.read()
	many, few, none := Clause{signerKey(0)}, Clause{artifactKey(7)}, Clause{artifactKey(size)}
	half := Clause{}
	for i := range int64(400) { // 800 entries
		half = append(half, artifactKey(i))
	}
	const full = MaxAll/pageRows + 1 // pages of what there is too much of
	for _, c := range []struct {
		query         Query
		found         int // -1: too many
		entries, rows int // at most
	}{
		{Query{[]Clause{many}, false}, -1, 0, full},
		{Query{[]Clause{many, few}, false}, -1, 0, full},
		{Query{[]Clause{few, many}, false}, -1, 0, full + 1},
		{Query{[]Clause{many, many, many}, true}, -1, 0, 3 * full},
		{Query{[]Clause{many, few}, true}, 1, 2, 2},
		{Query{[]Clause{few, many}, true}, 1, 2, 2},
		{Query{[]Clause{many, none, few}, true}, 0, 0, 2},
		{Query{[]Clause{few}, false}, 2, 2, 1},
		{Query{[]Clause{few, few}, false}, 2, 2, 2},
		{Query{[]Clause{half, half}, true}, 800, 800, 800},
		{Query{[]Clause{half[:200], half[200:]}, true}, 0, 0, 400},
	} {
		found, err := x.FindAll(t.Context(), c.query)
		if c.found < 0 && !errors.Is(err, ErrTooMany) || c.found >= 0 && (err != nil || len(found.Leaves) != c.found) {
			t.Errorf("%v: %d found, %v; not %d", c.query, len(found.Leaves), err, c.found)
		}
		if entries, rows := store.read(); entries > c.entries || rows > c.rows {
			t.Errorf("%v: %d entries and %d pages of rows were read; %d and %d do", c.query, entries, rows, c.entries, c.rows)
		}
	}
	// One less is not too many, and each is read once.
	late := newFakeLog()
	late.publish(size - 1)
	x = w.open(func(c *Config) { c.Log = late })
	for _, q := range []Query{{[]Clause{many, many}, true}, {[]Clause{many, many}, false}} {
		if found, err := x.FindAll(t.Context(), q); err != nil || len(found.Leaves) != MaxAll || found.Size != size-1 {
			t.Errorf("%v: %d up to %d, %v", q, len(found.Leaves), found.Size, err)
		}
		if entries, _ := store.read(); entries != MaxAll {
			t.Errorf("%v: %d entries were read", q, entries)
		}
	}
}

// Entries are read up to a number of bytes, whether they answer or not.
func TestFindAllBytes(t *testing.T) { synctest.Test(t, testFindAllBytes) }

func testFindAllBytes(t *testing.T) {
	store := &counting{Store: memory.New()}
	w := newWorld(t, store)
	const n = 1<<16 - 1
	large := make([]byte, n) // says nothing
	bodies := make([][]byte, MaxAllBytes/n+100)
	var rows []storage.IndexRow
	for i := range bodies {
		bodies[i] = large
		rows = append(rows, storage.IndexRow{Key: keyHash(signerKey(1)), Index: int64(i)})
	}
	w.publish(w.append(bodies...))
	st, err := store.IndexReset(t.Context(), w.id, storage.IndexState{}, format)
	if err == nil {
		err = store.IndexAppend(t.Context(), w.id, st, int64(len(bodies)), rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(nil).FindAll(t.Context(), Query{Clauses: []Clause{{signerKey(1)}}}); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if entries, _ := store.read(); entries > MaxAllBytes/n+readHits {
		t.Errorf("%d entries were read", entries)
	}
}

// A page of large entries ends early, and the next goes on after it.
func TestFindBytes(t *testing.T) {
	store := &counting{Store: memory.New()}
	w := newWorld(t, store)
	bodies := make([][]byte, 200)
	for i := range bodies {
		bodies[i] = fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},`+
			`"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}}`,
			base64Of(make([]byte, 32)), base64Of(make([]byte, 48000+i)), base64Of([]byte("key 0")))
	}
	w.publish(w.append(bodies...))
	x := w.rebuilt()
	store.read()
	first, err := x.Find(t.Context(), signerKey(0), -1, MaxFind)
	if err != nil || !first.More || len(first.Records) < 14 || len(first.Records) > 18 {
		t.Fatal(len(first.Records), first.More, err)
	}
	if entries, _ := store.read(); entries > 2*readHits {
		t.Errorf("%d entries were read", entries)
	}
	found := len(first.Records)
	for hits := first; hits.More; found += len(hits.Records) {
		last := hits.Records[len(hits.Records)-1].Index
		if hits, err = x.Find(t.Context(), signerKey(0), last, MaxFind); err != nil || hits.Records[0].Index != last+1 {
			t.Fatal(hits.Records[0].Index, err)
		}
	}
	if found != len(bodies) {
		t.Errorf("%d found", found)
	}
}

// Rows with the hash of another key are not found by several keys either.
func TestFindAllCollisions(t *testing.T) {
	w := memoryWorld(t)
	size := w.grow(1000)
	st, err := w.store.IndexReset(t.Context(), w.id, storage.IndexState{}, format)
	var rows []storage.IndexRow
	for i := range size { // all of them under the key of signer 3
		rows = append(rows, storage.IndexRow{Key: keyHash(signerKey(3)), Index: i})
	}
	if err == nil {
		err = w.store.IndexAppend(t.Context(), w.id, st, size, rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{[]Clause{{signerKey(3)}}, false}, {[]Clause{{signerKey(3)}, {signerKey(3), signerKey(2)}}, true}} {
		if found, err := w.open(nil).FindAll(t.Context(), q); err != nil || !slices.Equal(found.Leaves, naive(q, size)) {
			t.Errorf("%v: %d, %v", q, len(found.Leaves), err)
		}
	}
}

// blocked is a store whose reads of rows wait until they are let go.
type blocked struct {
	storage.Store
	begun, release chan struct{}
}

func (b *blocked) IndexFind(ctx context.Context, logID, key, after int64, limit int) (storage.IndexState, []int64, error) {
	b.begun <- struct{}{}
	select {
	case <-b.release:
		return b.Store.IndexFind(ctx, logID, key, after, limit)
	case <-ctx.Done():
		return storage.IndexState{}, nil, ctx.Err()
	}
}

// However many search, few read at a time; the others are turned away when they
// have waited, and go on as soon as they can.
func TestSearchesTakeTurns(t *testing.T) {
	one := func(ctx context.Context, x *Index) error {
		_, err := x.Find(ctx, signerKey(1), -1, 10)
		return err
	}
	all := func(ctx context.Context, x *Index) error {
		_, err := x.FindAll(ctx, Query{Clauses: []Clause{{signerKey(1)}}})
		return err
	}
	for name, c := range map[string]struct {
		search func(context.Context, *Index) error
		most   int
	}{"Find": {one, maxSteps}, "FindAll": {all, maxWide}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &blocked{memory.New(), make(chan struct{}, 100), make(chan struct{})}
				w := newWorld(t, store)
				w.grow(20)
				x := w.rebuilt()
				const searches = 12
				done := make(chan error, searches)
				for range searches {
					go func() { done <- c.search(t.Context(), x) }()
				}
				for range searches - c.most {
					if err := <-done; !errors.Is(err, ErrBusy) {
						t.Fatal(err)
					}
				}
				if n := len(store.begun); n != c.most {
					t.Fatalf("%d read at a time", n)
				}
				go func() { done <- c.search(t.Context(), x) }()
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				if err := c.search(gone, x); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				close(store.release)
				for range c.most + 1 {
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// slow is a store whose reads of entries take a while.
type slow struct{ storage.Store }

const slowRead = 10 * time.Millisecond

func (s slow) EntriesAt(ctx context.Context, logID int64, indexes []int64) ([]storage.Entry, error) {
	time.Sleep(slowRead)
	return s.Store.EntriesAt(ctx, logID, indexes)
}

// A search with many answers rests between its steps, the longer the slower they
// are: others have the database meanwhile.
func TestFindAllRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, slow{memory.New()})
		const steps = 5
		w.grow(steps * readHits * signers)
		x := w.rebuilt()
		begin := time.Now()
		if found, err := x.FindAll(t.Context(), Query{Clauses: []Clause{{signerKey(0)}}}); err != nil || len(found.Leaves) != steps*readHits {
			t.Fatal(len(found.Leaves), err)
		}
		if took, want := time.Since(begin), slowRead*(steps+(steps-1)*restFactor); took != want {
			t.Errorf("%d steps took %v, and not %v", steps, took, want)
		}
	})
}

func TestFindAllFails(t *testing.T) {
	var fail faulty.Op
	w := newWorld(t, faulty.Wrap(memory.New(), func(op faulty.Op) faulty.Fault {
		if op == fail {
			return faulty.Fail
		}
		return faulty.None
	}))
	w.grow(10)
	x := w.rebuilt()
	for _, fail = range []faulty.Op{faulty.IndexFind, faulty.EntriesAt} {
		for _, all := range []bool{true, false} {
			if _, err := x.FindAll(t.Context(), Query{[]Clause{{signerKey(0)}}, all}); !errors.Is(err, translog.ErrUnavailable) {
				t.Errorf("%s: %v", fail, err)
			}
		}
	}
	fail = ""
	if found, err := x.FindAll(t.Context(), Query{Clauses: []Clause{{signerKey(0)}}}); err != nil || found.Leaves[1].Hash != merkle.LeafHash(body(7)) {
		t.Error(found, err) // its turn was given back
	}
}
