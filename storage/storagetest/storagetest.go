// Package storagetest is the conformance suite of the storage contract. An
// engine is done when it passes.
package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/storage"
)

// Run runs the suite. open returns an empty database, new for each test.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"logs are found as they were created", (*suite).logs},
		{"poison stays until it is cleared", (*suite).poison},
		{"keys are added, and a register is replaced once", (*suite).identity},
		{"a register is replaced between two appends", (*suite).replaced},
		{"an append is read back", (*suite).appendAndRead},
		{"a rollback leaves nothing", (*suite).rollback},
		{"big and many entries", (*suite).bigAppend},
		{"leaf hashes are looked up whole", (*suite).lookup},
		{"appends take turns", (*suite).turns},
		{"what was seen is made durable", (*suite).touches},
		{"two that race lose nothing", (*suite).race},
		{"edges are replaced and removed", (*suite).edges},
		{"logs do not see each other", (*suite).isolation},
		{"the published checkpoint is swapped", (*suite).publish},
		{"leases", (*suite).lease},
		{"a cancelled context ends a wait", (*suite).cancel},
		{"what breaks the contract is refused", (*suite).breaches},
		{"a transaction that failed does not commit", (*suite).failed},
		{"a range may end anywhere", (*suite).farRanges},
		{"a log that is not there", (*suite).noLog},
		{"of two that create a log one does", (*suite).createRace},
		{"of two that publish one does", (*suite).publishRace},
		{"entries are read by their indexes", (*suite).entriesAt},
		{"a fact is set once", (*suite).setOnce},
		{"the search index grows and is started again", (*suite).index},
		{"the search index finds what a list finds", (*suite).indexFinds},
		{"of two that write the search index one does", (*suite).indexRace},
		{"a breach leaves the search index as it was", (*suite).indexBreaches},
		{"old search indexes are swept", (*suite).indexSweep},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, store: open(t)}
			defer s.store.Close()
			c.test(s)
		})
	}
}

type suite struct {
	*testing.T
	store storage.Store
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("%v, not %v", err, want)
	}
}

func hash(parts ...any) storage.Hash { return sha256.Sum256(fmt.Append(nil, parts...)) }

func (s *suite) create(origin string) storage.Log {
	s.Helper()
	l, err := s.store.CreateLog(s.Context(), storage.Log{
		Instance: "0123456789abcdef0123456789abcdef", Origin: origin, Keys: []string{"k1", "k2"}, Register: "r-" + origin,
		CreatedAt: time.UnixMilli(1_700_000_000_123).UTC(),
	}, storage.Head{Root: hash("empty")})
	s.ok(err)
	return l
}

// batch makes n entries after head, with bodies of a size.
func batch(head storage.Head, n, size int) storage.Append {
	a := storage.Append{Head: storage.Head{Size: head.Size + int64(n), IntegratedAt: head.IntegratedAt + 5}}
	a.Head.Root = hash("root", a.Head.Size)
	a.Head.Range = []storage.Hash{hash("range", a.Head.Size), hash("range2", a.Head.Size)}
	for i := range n {
		index := head.Size + int64(i)
		body := make([]byte, size)
		copy(body, fmt.Append(nil, "entry ", index))
		a.Entries = append(a.Entries, storage.Entry{Index: index, LeafHash: hash("leaf", index), IntegratedAt: a.Head.IntegratedAt, Body: body})
	}
	return a
}

// append appends n entries in one transaction.
func (s *suite) append(logID int64, n, size int) storage.Append {
	s.Helper()
	tx, err := s.store.BeginAppend(s.Context(), logID)
	s.ok(err)
	a := batch(tx.Head(), n, size)
	s.ok(tx.Write(s.Context(), a))
	s.ok(tx.Commit(s.Context()))
	s.ok(tx.Rollback()) // does nothing after Commit
	return a
}

func (s *suite) logs() {
	ctx := s.Context()
	_, err := s.store.FindLog(ctx, "a")
	s.is(err, storage.ErrNotFound)
	a, b := s.create("a"), s.create("B/ö")
	if a.ID == b.ID {
		s.Fatalf("two logs have id %d", a.ID)
	}
	_, err = s.store.CreateLog(ctx, storage.Log{Origin: "a", Instance: "x", Register: "x"}, storage.Head{})
	s.is(err, storage.ErrExists)
	got, err := s.store.FindLog(ctx, "B/ö")
	s.ok(err)
	if fmt.Sprint(got) != fmt.Sprint(b) || len(got.Keys) != 2 || !got.CreatedAt.Equal(b.CreatedAt) {
		s.Fatalf("found %+v, created %+v", got, b)
	}
	_, err = s.store.FindLog(ctx, "A")
	s.is(err, storage.ErrNotFound) // names are told apart by their bytes
	all, err := s.store.Logs(ctx)
	s.ok(err)
	if len(all) != 2 || all[0].ID >= all[1].ID {
		s.Fatalf("%+v", all)
	}
	h, err := s.store.Head(ctx, a.ID)
	s.ok(err)
	if h.Size != 0 || h.Root != hash("empty") || len(h.Range) != 0 {
		s.Fatalf("a new log's head is %+v", h)
	}
	_, err = s.store.Head(ctx, 999)
	s.is(err, storage.ErrNotFound)
	_, err = s.store.BeginAppend(ctx, 999)
	s.is(err, storage.ErrNotFound)
}

func (s *suite) poison() {
	ctx, l := s.Context(), s.create("a")
	s.ok(s.store.Poison(ctx, l.ID, "first 'reason' \n ö"))
	s.ok(s.store.Poison(ctx, l.ID, "second"))
	got, err := s.store.FindLog(ctx, "a")
	s.ok(err)
	if got.Poisoned != "first 'reason' \n ö" {
		s.Fatalf("%q", got.Poisoned)
	}
	s.ok(s.store.ClearPoison(ctx, l.ID))
	if got, _ = s.store.FindLog(ctx, "a"); got.Poisoned != "" {
		s.Fatalf("%q", got.Poisoned)
	}
}

func (s *suite) identity() {
	ctx, l, other := s.Context(), s.create("a"), s.create("b")
	s.ok(s.store.AddKey(ctx, l.ID, "a+00000001+third"))
	s.ok(s.store.AddKey(ctx, l.ID, "a+00000001+third"))
	s.is(s.store.AddKey(ctx, 999, "x"), storage.ErrNotFound)
	if n := s.outcomes(func(i int) error { return s.store.AddKey(ctx, l.ID, fmt.Sprint("key ", i)) }, nil); n != 4 {
		s.Fatalf("%d of 4 keys were added", n)
	}
	at := s.append(l.ID, 3, 20).Head
	n := s.outcomes(func(i int) error {
		return s.store.ReplaceRegister(ctx, l.ID, l.Register, fmt.Sprint("register ", i), at)
	}, storage.ErrConflict)
	s.is(s.store.ReplaceRegister(ctx, 999, "x", "y", at), storage.ErrNotFound)
	got, err := s.store.FindLog(ctx, "a")
	s.ok(err)
	if n != 1 || len(got.Keys) != len(l.Keys)+5 || got.Keys[len(l.Keys)] != "a+00000001+third" || !strings.HasPrefix(got.Register, "register ") {
		s.Fatalf("%d replaced the register: %+v", n, got)
	}
	// Not of a log that has grown, or has another tree; and the head is as it was.
	for _, head := range []storage.Head{{Size: 2, Root: at.Root}, {Size: 3}, {}} {
		s.is(s.store.ReplaceRegister(ctx, l.ID, got.Register, "another", head), storage.ErrConflict)
	}
	at.Register = got.Register
	for _, read := range []func(context.Context, int64) (storage.Head, error){s.store.Head, s.store.LockedHead, s.store.DurableHead} {
		if h, err := read(ctx, l.ID); err != nil || fmt.Sprint(h) != fmt.Sprint(at) {
			s.Fatalf("%+v, %v; it was %+v", h, err, at)
		}
	}
	if got, err = s.store.FindLog(ctx, "b"); err != nil || fmt.Sprint(got) != fmt.Sprint(other) {
		s.Fatalf("%+v, %v", got, err)
	}
}

// replaced has the register replaced while the log grows. A head beyond the one
// it was replaced at is seen with the new one.
func (s *suite) replaced() {
	ctx, l := s.Context(), s.create("a")
	s.append(l.ID, 1, 20)
	done, seen := make(chan struct{}), []storage.Head{}
	var work sync.WaitGroup
	work.Go(func() {
		defer close(done)
		for range 30 {
			s.append(l.ID, 1, 20)
		}
	})
	work.Go(func() {
		for i := 0; ; i++ {
			h, err := []func(context.Context, int64) (storage.Head, error){s.store.Head, s.store.DurableHead}[i%2](ctx, l.ID)
			if err != nil {
				s.Error(err)
				return
			}
			seen = append(seen, h)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	var at storage.Head
	for {
		var err error
		at, err = s.store.Head(ctx, l.ID)
		s.ok(err)
		if err = s.store.ReplaceRegister(ctx, l.ID, l.Register, "new", at); err == nil {
			break
		}
		s.is(err, storage.ErrConflict)
	}
	work.Wait()
	for _, h := range seen {
		if h.Size > at.Size && h.Register != "new" || h.Size < at.Size && h.Register != l.Register {
			s.Fatalf("replaced at size %d; a head of size %d has %q", at.Size, h.Size, h.Register)
		}
	}
}

func (s *suite) appendAndRead() {
	ctx, l := s.Context(), s.create("a")
	first := s.append(l.ID, 3, 20)
	second := s.append(l.ID, 700, 20)
	for _, read := range []func(context.Context, int64) (storage.Head, error){s.store.Head, s.store.LockedHead, s.store.DurableHead, s.store.DurableHead} {
		h, err := read(ctx, l.ID)
		s.ok(err)
		second.Head.Register = l.Register
		if fmt.Sprint(h) != fmt.Sprint(second.Head) {
			s.Fatalf("head %+v, written %+v", h, second.Head)
		}
	}
	entries, err := s.store.Entries(ctx, l.ID, 1, 5)
	s.ok(err)
	want := append(first.Entries[1:3:3], second.Entries[:2]...)
	if len(entries) != 4 {
		s.Fatalf("%d entries", len(entries))
	}
	for i, e := range entries {
		w := want[i]
		if e.Index != w.Index || e.LeafHash != w.LeafHash || e.IntegratedAt != w.IntegratedAt || !bytes.Equal(e.Body, w.Body) {
			s.Fatalf("entry %+v, written %+v", e, w)
		}
	}
	hashes, err := s.store.LeafHashes(ctx, l.ID, 0, 703)
	s.ok(err)
	if len(hashes) != 703 || hashes[702] != hash("leaf", 702) {
		s.Fatalf("%d hashes", len(hashes))
	}
	none, err := s.store.Entries(ctx, l.ID, 703, 703)
	if s.ok(err); len(none) != 0 {
		s.Fatal("an empty range has entries")
	}
	_, err = s.store.Entries(ctx, l.ID, 700, 704)
	s.is(err, storage.ErrNotFound)
	_, err = s.store.LeafHashes(ctx, l.ID, 703, 704)
	s.is(err, storage.ErrNotFound)
	if _, err = s.store.Entries(ctx, l.ID, 5, 4); err == nil {
		s.Fatal("a range that ends before it begins")
	}
}

func (s *suite) rollback() {
	ctx, l := s.Context(), s.create("a")
	tx, err := s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	a := batch(tx.Head(), 5, 20)
	a.Tiles = []storage.Tile{{Level: 0, Index: 0, Hashes: make([]byte, 8192)}}
	s.ok(tx.Write(ctx, a))
	s.ok(tx.Rollback())
	h, err := s.store.Head(ctx, l.ID)
	if s.ok(err); h.Size != 0 {
		s.Fatalf("size %d", h.Size)
	}
	_, err = s.store.Entries(ctx, l.ID, 0, 1)
	s.is(err, storage.ErrNotFound)
	_, err = s.store.Tile(ctx, l.ID, 0, 0)
	s.is(err, storage.ErrNotFound)
	s.append(l.ID, 1, 20) // the lock is free again
}

func (s *suite) bigAppend() {
	ctx, l := s.Context(), s.create("a")
	s.append(l.ID, 3000, 30)
	s.append(l.ID, 200, 65535)
	s.append(l.ID, 1, 1)
	entries, err := s.store.Entries(ctx, l.ID, 2999, 3201)
	s.ok(err)
	if len(entries[1].Body) != 65535 || len(entries[201].Body) != 1 || entries[200].Index != 3199 {
		s.Fatalf("bodies of %d and %d bytes", len(entries[1].Body), len(entries[201].Body))
	}
}

func (s *suite) lookup() {
	ctx, l := s.Context(), s.create("a")
	tx, err := s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	a := batch(tx.Head(), 1500, 20)
	// The same first 8 bytes, which is what the index has.
	twin := a.Entries[7].LeafHash
	twin[31] ^= 1
	a.Entries[8].LeafHash = twin
	other := twin
	other[30] ^= 1
	s.ok(tx.Write(ctx, a))
	s.ok(tx.Commit(ctx))
	var hashes []storage.Hash
	for _, e := range a.Entries {
		hashes = append(hashes, e.LeafHash)
	}
	hashes = append(hashes, other, hash("nowhere"), twin)
	leaves, err := s.store.FindLeaves(ctx, l.ID, hashes)
	s.ok(err)
	at := map[storage.Hash]int64{}
	for _, f := range leaves {
		at[f.Hash] = f.Index
		if f.IntegratedAt != a.Head.IntegratedAt {
			s.Fatalf("%+v", f)
		}
	}
	if len(leaves) != 1500 || at[twin] != 8 || at[a.Entries[7].LeafHash] != 7 {
		s.Fatalf("%d found, twins at %d and %d", len(leaves), at[a.Entries[7].LeafHash], at[twin])
	}
	if none, err := s.store.FindLeaves(ctx, l.ID, nil); err != nil || len(none) != 0 {
		s.Fatal(none, err)
	}
	for _, i := range []int{0, 7, 8, 1499} {
		if e, err := s.store.EntryByLeaf(ctx, l.ID, a.Entries[i].LeafHash); err != nil || !reflect.DeepEqual(e, a.Entries[i]) {
			s.Fatalf("%+v, not %+v, %v", e, a.Entries[i], err)
		}
	}
	for _, h := range []storage.Hash{other, hash("nowhere")} {
		if e, err := s.store.EntryByLeaf(ctx, l.ID, h); !errors.Is(err, storage.ErrNotFound) {
			s.Fatalf("%+v, %v", e, err)
		}
	}
	tx, err = s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	defer tx.Rollback()
	if leaves, err = tx.FindLeaves(ctx, []storage.Hash{twin}); err != nil || len(leaves) != 1 || leaves[0].Index != 8 {
		s.Fatal(leaves, err)
	}
}

func (s *suite) turns() {
	ctx, l := s.Context(), s.create("a")
	first, err := s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	size := make(chan int64)
	go func() {
		second, err := s.store.BeginAppend(ctx, l.ID)
		if err != nil {
			s.Error(err)
			size <- -1
			return
		}
		defer second.Rollback()
		size <- second.Head().Size
	}()
	select {
	case n := <-size:
		s.Fatalf("the second append began beside the first, at size %d", n)
	case <-time.After(100 * time.Millisecond):
	}
	s.ok(first.Write(ctx, batch(first.Head(), 2, 20)))
	s.ok(first.Commit(ctx))
	if n := <-size; n != 2 {
		s.Fatalf("the second append began at size %d", n)
	}
}

// touches: an append that has nothing to write can be committed, and the head
// can be asked for beside one that holds the lock.
func (s *suite) touches() {
	ctx, l := s.Context(), s.create("a")
	s.append(l.ID, 3, 20)
	for range 2 {
		tx, err := s.store.BeginAppend(ctx, l.ID)
		s.ok(err)
		s.ok(tx.Touch(ctx))
		s.ok(tx.Commit(ctx))
	}
	tx, err := s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	defer tx.Rollback()
	if h, err := s.store.DurableHead(ctx, l.ID); err != nil || h.Size != 3 {
		s.Fatalf("%+v, %v", h, err)
	}
	s.ok(tx.Touch(ctx))
	s.ok(tx.Write(ctx, batch(tx.Head(), 2, 20)))
	s.ok(tx.Commit(ctx))
	if h, err := s.store.DurableHead(ctx, l.ID); err != nil || h.Size != 5 {
		s.Fatalf("%+v, %v", h, err)
	}
}

func (s *suite) race() {
	ctx, l := s.Context(), s.create("a")
	const workers, each = 4, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				tx, err := s.store.BeginAppend(ctx, l.ID)
				if err == nil {
					err = errors.Join(tx.Write(ctx, batch(tx.Head(), 3, 20)), tx.Commit(ctx))
				}
				if err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	h, err := s.store.Head(ctx, l.ID)
	s.ok(err)
	if h.Size != 3*workers*each {
		s.Fatalf("size %d", h.Size)
	}
	_, err = s.store.Entries(ctx, l.ID, 0, h.Size)
	s.ok(err)
}

func (s *suite) edges() {
	ctx, l := s.Context(), s.create("a")
	write := func(edges []storage.Edge, tiles []storage.Tile) {
		s.Helper()
		tx, err := s.store.BeginAppend(ctx, l.ID)
		s.ok(err)
		a := batch(tx.Head(), 1, 20)
		a.Edges, a.Tiles = edges, tiles
		s.ok(tx.Write(ctx, a))
		s.ok(tx.Commit(ctx))
	}
	_, err := s.store.Edge(ctx, l.ID, 1)
	s.is(err, storage.ErrNotFound)
	row := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 32*n) }
	write([]storage.Edge{{Level: 1, Index: 0, Hashes: row(1)}, {Level: 2, Index: 0, Hashes: row(3)}}, nil)
	write([]storage.Edge{{Level: 1, Index: 5, Hashes: row(255)}}, []storage.Tile{{Level: 1, Index: 4, Hashes: row(256)}})
	e, err := s.store.Edge(ctx, l.ID, 1)
	s.ok(err)
	if e.Level != 1 || e.Index != 5 || !bytes.Equal(e.Hashes, row(255)) {
		s.Fatalf("level %d index %d, %d bytes", e.Level, e.Index, len(e.Hashes))
	}
	tile, err := s.store.Tile(ctx, l.ID, 1, 4)
	if s.ok(err); !bytes.Equal(tile, row(256)) {
		s.Fatalf("a tile of %d bytes", len(tile))
	}
	_, err = s.store.Tile(ctx, l.ID, 1, 5)
	s.is(err, storage.ErrNotFound)
	tx, err := s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	if e, err = tx.Edge(ctx, 2); err != nil || len(e.Hashes) != 96 {
		s.Fatal(len(e.Hashes), err)
	}
	if tile, err = tx.Tile(ctx, 1, 4); err != nil || len(tile) != 8192 {
		s.Fatal(len(tile), err)
	}
	if hs, err := tx.LeafHashes(ctx, 0, 2); err != nil || hs[1] != hash("leaf", 1) {
		s.Fatal(hs, err)
	}
	s.ok(tx.Rollback())
	write([]storage.Edge{{Level: 1, Index: 6}}, nil)
	_, err = s.store.Edge(ctx, l.ID, 1)
	s.is(err, storage.ErrNotFound)
}

func (s *suite) isolation() {
	ctx, a, b := s.Context(), s.create("a"), s.create("b")
	s.append(a.ID, 3, 20)
	h, err := s.store.Head(ctx, b.ID)
	if s.ok(err); h.Size != 0 {
		s.Fatalf("the other log has size %d", h.Size)
	}
	if found, err := s.store.FindLeaves(ctx, b.ID, []storage.Hash{hash("leaf", 0)}); err != nil || len(found) != 0 {
		s.Fatal(found, err)
	}
	held, err := s.store.BeginAppend(ctx, a.ID)
	s.ok(err)
	defer held.Rollback()
	_, err = s.store.Head(ctx, a.ID) // reads do not wait for the append
	s.ok(err)
}

func (s *suite) publish() {
	ctx, l := s.Context(), s.create("a")
	p, err := s.store.Published(ctx, l.ID)
	if s.ok(err); p.Version != 0 {
		s.Fatalf("%+v", p)
	}
	put := func(version, size int64, keep bool) (int64, error) {
		return s.store.Publish(ctx, l.ID, storage.Published{
			Version: version, Size: size, Root: hash("root", size), Note: fmt.Append(nil, "note ", size, " ", version), At: 1000 + size, Keep: keep,
		})
	}
	v, err := put(0, 0, true)
	s.ok(err)
	_, err = put(0, 1, true)
	s.is(err, storage.ErrConflict)
	v, err = put(v, 5, true)
	s.ok(err)
	_, err = put(v, 4, true)
	s.is(err, storage.ErrConflict)
	_, err = put(v-1, 6, true)
	s.is(err, storage.ErrConflict)
	_, err = s.store.Publish(ctx, l.ID, storage.Published{Version: v, Size: 5, Root: hash("another root"), Note: []byte("x")})
	s.is(err, storage.ErrConflict)
	v, err = put(v, 5, true) // the same size, with more cosignatures
	s.ok(err)
	v, err = put(v, 9, false)
	s.ok(err)
	p, err = s.store.Published(ctx, l.ID)
	s.ok(err)
	if p.Keep || p.Version != v || p.Size != 9 || p.Root != hash("root", 9) || p.At != 1009 || !bytes.HasPrefix(p.Note, []byte("note 9")) {
		s.Fatalf("%+v", p)
	}
	history, err := s.store.PublishedHistory(ctx, l.ID, 0, 10)
	s.ok(err)
	for _, h := range history {
		if h.Version != 0 || h.Keep {
			s.Fatalf("a checkpoint of the past has no row version: %+v", h)
		}
	}
	if len(history) != 2 || history[0].Size != 0 || history[1].Size != 5 || string(history[1].Note) != "note 5 2" || history[1].Root != hash("root", 5) {
		s.Fatalf("%+v", history)
	}
	if history, err = s.store.PublishedHistory(ctx, l.ID, 1, 1); err != nil || len(history) != 1 || history[0].Size != 5 {
		s.Fatal(history, err)
	}
}

func (s *suite) lease() {
	ctx, l := s.Context(), s.create("a")
	take := func(holder string, ttl time.Duration) storage.Lease {
		s.Helper()
		lease, err := s.store.Lease(ctx, l.ID, "publish", holder, ttl)
		s.ok(err)
		return lease
	}
	if got := take("one", time.Minute); !got.Held || got.Holder != "one" || got.Left <= 50*time.Second || got.Left > time.Minute {
		s.Fatalf("%+v", got)
	}
	first := take("one", time.Minute)
	if got := take("two", time.Hour); got.Held || got.Holder != "one" || got.Epoch != first.Epoch || got.Left <= 0 || got.Left > time.Minute {
		s.Fatalf("%+v", got)
	}
	s.ok(s.store.Unlease(ctx, l.ID, "publish", "two")) // not its own
	if got := take("two", time.Minute); got.Held {
		s.Fatalf("%+v", got)
	}
	s.ok(s.store.Unlease(ctx, l.ID, "publish", "one"))
	if got := take("two", 50*time.Millisecond); !got.Held || got.Epoch != first.Epoch+1 {
		s.Fatalf("%+v", got)
	}
	end := time.Now().Add(20 * time.Second)
	for !take("one", time.Minute).Held {
		if time.Now().After(end) {
			s.Fatal("a lease does not run out")
		}
	}
}

func (s *suite) cancel() {
	l := s.create("a")
	held, err := s.store.BeginAppend(s.Context(), l.ID)
	s.ok(err)
	defer held.Rollback()
	ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
	defer cancel()
	if tx, err := s.store.BeginAppend(ctx, l.ID); err == nil {
		tx.Rollback()
		s.Fatal("a second append began beside the first")
	}
}

// breaches writes what the contract forbids. Nothing of it may stay.
func (s *suite) breaches() {
	l := s.create("a")
	s.append(l.ID, 3, 20)
	for name, breach := range map[string]func(*storage.Append){
		"a gap before the first":   func(a *storage.Append) { shift(a.Entries, 1); a.Head.Size++ },
		"an index that is taken":   func(a *storage.Append) { shift(a.Entries, -1); a.Head.Size-- },
		"a gap between two":        func(a *storage.Append) { shift(a.Entries[2:], 1); a.Head.Size++ },
		"two in the wrong order":   func(a *storage.Append) { a.Entries[0], a.Entries[1] = a.Entries[1], a.Entries[0] },
		"a head that is too small": func(a *storage.Append) { a.Head.Size-- },
		"a head that is too big":   func(a *storage.Append) { a.Head.Size++ },
		"no entries":               func(a *storage.Append) { a.Entries, a.Head.Size = nil, 3 },
		"time that goes back":      func(a *storage.Append) { a.Entries[0].IntegratedAt = 1 },
		"a head of another time":   func(a *storage.Append) { a.Head.IntegratedAt++ },
		"an empty body":            func(a *storage.Append) { a.Entries[1].Body = nil },
		"a body too long":          func(a *storage.Append) { a.Entries[1].Body = make([]byte, 65536) },
		"a tile that is not full":  func(a *storage.Append) { a.Tiles = []storage.Tile{{Hashes: make([]byte, 255*32)}} },
		"an edge that is full":     func(a *storage.Append) { a.Edges = []storage.Edge{{Level: 1, Hashes: make([]byte, 256*32)}} },
		"an edge of part of one":   func(a *storage.Append) { a.Edges = []storage.Edge{{Level: 1, Hashes: make([]byte, 33)}} },
		"an edge of level 0":       func(a *storage.Append) { a.Edges = []storage.Edge{{Level: 0, Hashes: make([]byte, 32)}} },
	} {
		tx, err := s.store.BeginAppend(s.Context(), l.ID)
		s.ok(err)
		a := batch(tx.Head(), 4, 20)
		breach(&a)
		if err := tx.Write(s.Context(), a); !errors.Is(err, storage.ErrCorrupt) {
			s.Errorf("%s: %v, not %v", name, err, storage.ErrCorrupt)
		}
		if err := tx.Commit(s.Context()); err == nil {
			s.Errorf("%s: it was committed", name)
		}
		s.hasSize(l.ID, 3)
	}
	s.append(l.ID, 1, 20)
}

func shift(entries []storage.Entry, by int64) {
	for i := range entries {
		entries[i].Index += by
	}
}

// hasSize checks the head and that the rows end with it.
func (s *suite) hasSize(logID, size int64) {
	s.Helper()
	h, err := s.store.Head(s.Context(), logID)
	if s.ok(err); h.Size != size {
		s.Fatalf("size %d, not %d", h.Size, size)
	}
	_, err = s.store.LeafHashes(s.Context(), logID, 0, size)
	s.ok(err)
	_, err = s.store.LeafHashes(s.Context(), logID, size, size+1)
	s.is(err, storage.ErrNotFound)
}

// failed commits after a failure, which a caller should not do. A part of what
// was to be written would be a gap.
func (s *suite) failed() {
	ctx, l := s.Context(), s.create("a")
	tile := storage.Tile{Level: 0, Index: 0, Hashes: make([]byte, 8192)}
	for name, second := range map[string]func(storage.Appender, storage.Append) error{
		"a second write": func(tx storage.Appender, a storage.Append) error { return tx.Write(ctx, a) },
		"a range that is none": func(tx storage.Appender, _ storage.Append) error {
			_, err := tx.LeafHashes(ctx, 5, 4)
			return err
		},
	} {
		tx, err := s.store.BeginAppend(ctx, l.ID)
		s.ok(err)
		a := batch(tx.Head(), 300, 20)
		s.ok(tx.Write(ctx, a))
		if second(tx, a) == nil {
			s.Fatalf("%s was taken", name)
		}
		if tx.Commit(ctx) == nil {
			s.Fatalf("%s: and then it was committed", name)
		}
		s.ok(tx.Rollback())
		s.hasSize(l.ID, 0)
	}
	// What is not there is an answer, and no failure.
	tx, err := s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	_, err = tx.Tile(ctx, 0, 0)
	s.is(err, storage.ErrNotFound)
	_, err = tx.Edge(ctx, 1)
	s.is(err, storage.ErrNotFound)
	a := batch(tx.Head(), 1, 20)
	a.Tiles = []storage.Tile{tile}
	s.ok(tx.Write(ctx, a))
	s.ok(tx.Commit(ctx))
	s.hasSize(l.ID, 1)
	// A tile is written once.
	tx, err = s.store.BeginAppend(ctx, l.ID)
	s.ok(err)
	a = batch(tx.Head(), 1, 20)
	a.Tiles = []storage.Tile{tile}
	if tx.Write(ctx, a) == nil {
		s.Fatal("a tile was written over")
	}
	if tx.Commit(ctx) == nil {
		s.Fatal("the entries beside it were committed")
	}
	s.hasSize(l.ID, 1)
	// What has ended takes nothing more.
	if tx.Write(ctx, batch(storage.Head{Size: 1}, 1, 20)) == nil {
		s.Fatal("a write without the lock was taken")
	}
}

func (s *suite) farRanges() {
	ctx, l := s.Context(), s.create("a")
	s.append(l.ID, 3, 20)
	for _, end := range []int64{4, 1 << 32, math.MaxInt64} {
		_, err := s.store.Entries(ctx, l.ID, 0, end)
		s.is(err, storage.ErrNotFound)
		_, err = s.store.LeafHashes(ctx, l.ID, 1, end)
		s.is(err, storage.ErrNotFound)
	}
	for _, start := range []int64{-1, math.MinInt64} {
		if _, err := s.store.Entries(ctx, l.ID, start, 2); err == nil {
			s.Fatalf("a range from %d", start)
		}
		if _, err := s.store.LeafHashes(ctx, l.ID, start, 2); err == nil {
			s.Fatalf("a range from %d", start)
		}
	}
}

// noLog changes a log that is not there: nothing may seem to have worked.
func (s *suite) noLog() {
	const none = 999
	ctx := s.Context()
	_, err := s.store.Head(ctx, none)
	s.is(err, storage.ErrNotFound)
	_, err = s.store.LockedHead(ctx, none)
	s.is(err, storage.ErrNotFound)
	s.is(s.store.Poison(ctx, none, "reason"), storage.ErrNotFound)
	s.is(s.store.ClearPoison(ctx, none), storage.ErrNotFound)
	_, err = s.store.Publish(ctx, none, storage.Published{Note: []byte("note")})
	s.is(err, storage.ErrNotFound)
	_, err = s.store.Lease(ctx, none, "publish", "one", time.Minute)
	s.is(err, storage.ErrNotFound)
	all, err := s.store.Logs(ctx)
	if s.ok(err); len(all) != 0 {
		s.Fatalf("%+v", all)
	}
}

// outcomes runs f from several goroutines at once, and counts what came of it.
func (s *suite) outcomes(f func(i int) error, want error) (succeeded int) {
	s.Helper()
	results := make(chan error)
	const workers = 4
	for i := range workers {
		go func() { results <- f(i) }()
	}
	for range workers {
		err := <-results
		if err == nil {
			succeeded++
		} else if !errors.Is(err, want) {
			s.Errorf("%v, not %v", err, want)
		}
	}
	return succeeded
}

func (s *suite) createRace() {
	create := func(origin string) error {
		_, err := s.store.CreateLog(s.Context(), storage.Log{Origin: origin, Instance: "i", Register: "r"}, storage.Head{Root: hash("empty")})
		return err
	}
	if n := s.outcomes(func(int) error { return create("same") }, storage.ErrExists); n != 1 {
		s.Errorf("%d created the same log", n)
	}
	if n := s.outcomes(func(i int) error { return create(fmt.Sprint("other ", i)) }, nil); n != 4 {
		s.Errorf("%d of 4 created a log of their own", n)
	}
	all, err := s.store.Logs(s.Context())
	s.ok(err)
	ids := map[int64]bool{}
	for _, l := range all {
		ids[l.ID] = true
	}
	if len(all) != 5 || len(ids) != 5 {
		s.Fatalf("%+v", all)
	}
}

func (s *suite) publishRace() {
	l := s.create("a")
	for version := range int64(3) {
		n := s.outcomes(func(i int) error {
			_, err := s.store.Publish(s.Context(), l.ID, storage.Published{
				Version: version, Size: version, Root: hash("root", version), Note: fmt.Append(nil, "by ", i), Keep: true,
			})
			return err
		}, storage.ErrConflict)
		if n != 1 {
			s.Fatalf("%d replaced version %d", n, version)
		}
	}
	history, err := s.store.PublishedHistory(s.Context(), l.ID, 0, 10)
	if s.ok(err); len(history) != 3 {
		s.Fatalf("%+v", history)
	}
}
