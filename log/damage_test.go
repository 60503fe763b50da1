package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/memory"
)

// rotten is a database whose rows were changed behind the log's back.
type rotten struct {
	storage.Store

	mu    sync.Mutex
	entry func(*storage.Entry)
	tile  func(level int, index int64, data []byte)
	gone  int64 // the entry that was deleted; 0: none was
	edge  bool  // partial tiles were changed
}

// rot changes how rows are read from now on.
func (r *rotten) rot(change func(*rotten)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *rotten) spoil(e storage.Entry) storage.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Body = bytes.Clone(e.Body)
	if r.entry != nil {
		r.entry(&e)
	}
	return e
}

func (r *rotten) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	r.mu.Lock()
	gone := r.gone
	r.mu.Unlock()
	if gone > 0 && start <= gone && gone < end-1 {
		return nil, fmt.Errorf("there is an entry %d and no entry %d: %w", gone+1, gone, storage.ErrCorrupt)
	}
	if gone > 0 && gone == end-1 {
		return nil, fmt.Errorf("the last 1 are not there: %w", storage.ErrNotFound)
	}
	all, err := r.Store.Entries(ctx, logID, start, end)
	all = slices.Clone(all)
	for i := range all {
		all[i] = r.spoil(all[i])
	}
	return all, err
}

func (r *rotten) EntryByLeaf(ctx context.Context, logID int64, hash storage.Hash) (storage.Entry, error) {
	e, err := r.Store.EntryByLeaf(ctx, logID, hash)
	return r.spoil(e), err
}

func (r *rotten) Edge(ctx context.Context, logID int64, level int) (storage.Edge, error) {
	e, err := r.Store.Edge(ctx, logID, level)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Hashes = bytes.Clone(e.Hashes); r.edge && err == nil {
		e.Hashes[0] ^= 1
	}
	return e, err
}

func (r *rotten) LeafHashes(ctx context.Context, logID, start, end int64) ([]storage.Hash, error) {
	all, err := r.Store.LeafHashes(ctx, logID, start, end)
	all = slices.Clone(all)
	for i := range all {
		all[i] = r.spoil(storage.Entry{Index: start + int64(i), LeafHash: all[i], Body: []byte{0}}).LeafHash
	}
	return all, err
}

func (r *rotten) Tile(ctx context.Context, logID int64, level int, index int64) ([]byte, error) {
	data, err := r.Store.Tile(ctx, logID, level, index)
	data = bytes.Clone(data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tile != nil {
		r.tile(level, index, data)
	}
	return data, err
}

// rottenSize makes a log with full tiles, of level 0, and partial ones.
const rottenSize = 700

// newRotten makes a log of some size, whose process has nothing in memory.
func newRotten(t *testing.T) (*rotten, *Log, *[]error) { return newScrubbed(t, 0) }

// newScrubbed is newRotten with a scrub.
func newScrubbed(t *testing.T, scrubRate int64) (*rotten, *Log, *[]error) {
	t.Helper()
	r := &rotten{Store: memory.New()}
	w := newWorld(t, r)
	l, stop := start(t, w.config(t))
	for at := 0; at < rottenSize; at += 100 {
		addMany(t, l, at, 100)
	}
	stop()
	cfg := w.config(t)
	cfg.ScrubRate = scrubRate
	told, mu := &[]error{}, sync.Mutex{}
	cfg.Events.Damaged = func(_ int, err error) {
		mu.Lock()
		defer mu.Unlock()
		*told = append(*told, err)
	}
	l, _ = start(t, cfg)
	if _, err := l.AwaitNewer(deadline(t), rottenSize-1); err != nil {
		t.Fatal(err)
	}
	return r, l, told
}

func addMany(t *testing.T, l *Log, from, n int) {
	t.Helper()
	all := make([]string, n)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { add(t, l, fmt.Sprint("entry ", from+i)) })
	}
	wg.Wait()
}

// What the database returns otherwise than it was logged is served by no read;
// everything else is.
func TestDamagedEntriesAreNotServed(t *testing.T) {
	const bad = 300
	for name, change := range map[string]func(*storage.Entry){
		"bytes":               func(e *storage.Entry) { e.Body[0] ^= 1 },
		"bytes and leaf hash": func(e *storage.Entry) { e.Body[0] ^= 1; e.LeafHash = merkle.LeafHash(e.Body) },
		"leaf hash":           func(e *storage.Entry) { e.LeafHash[31] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r, l, told := newRotten(t)
			ctx := deadline(t)
			good, err := l.Entry(ctx, bad)
			if err != nil {
				t.Fatal(err)
			}
			r.rot(func(r *rotten) {
				r.entry = func(e *storage.Entry) {
					if e.Index == bad {
						change(e)
					}
				}
			})
			checkDamaged(t, l, bad, good)
			if !slices.ContainsFunc(l.Damaged(), func(s string) bool { return strings.Contains(s, "entry 300 ") }) || len(l.Damaged()) != 1 || len(*told) != 1 {
				t.Errorf("found %q, and told %v", l.Damaged(), *told)
			}
			checkOthers(t, l, bad)
		})
	}
}

// checkDamaged asks for a damaged entry in every way.
func checkDamaged(t *testing.T, l *Log, bad int64, good Record) {
	t.Helper()
	ctx := deadline(t)
	for name, read := range map[string]func() error{
		"Entry":           func() error { _, err := l.Entry(ctx, bad); return err },
		"EntryWithProof":  func() error { _, _, _, err := l.EntryWithProof(ctx, bad); return err },
		"Lookup":          func() error { _, err := l.Lookup(ctx, good.LeafHash); return err },
		"LookupWithProof": func() error { _, _, _, err := l.LookupWithProof(ctx, good.LeafHash); return err },
		"Entries":         func() error { _, _, err := l.Entries(ctx, bad, 10); return err },
		"Bundle":          func() error { _, err := l.Bundle(ctx, merkle.Bundle{Index: 1, Width: 256}); return err },
		"partial Bundle":  func() error { _, err := l.Bundle(ctx, merkle.Bundle{Index: 1, Width: 45}); return err },
		"Check": func() error {
			rows, err := l.cfg.Store.Entries(ctx, l.cfg.Record.ID, bad, bad+1)
			if err != nil {
				return err
			}
			return l.Check(ctx, rows)
		},
	} {
		if err := read(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("entry %d is not served", bad)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkOthers asks for what stands beside a damaged entry.
func checkOthers(t *testing.T, l *Log, bad int64) {
	t.Helper()
	ctx := deadline(t)
	records, _, err := l.Entries(ctx, bad-5, 100)
	if err != nil || len(records) != 5 {
		t.Errorf("%d entries are listed before the damaged one: %v", len(records), err)
	}
	for _, index := range []int64{0, bad - 1, bad + 1, rottenSize - 1} {
		if _, _, _, err := l.EntryWithProof(ctx, index); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	for _, b := range []merkle.Bundle{{Index: 0, Width: 256}, {Index: 1, Width: 44}, {Index: 2, Width: 188}} {
		if _, err := l.Bundle(ctx, b); err != nil {
			t.Errorf("%s: %v", b.Path(), err)
		}
	}
	add(t, l, "and it takes more")
	for err := l.Ready(); err != nil; err = l.Ready() { // it has just been started
		if !pause(ctx, time.Millisecond) {
			t.Fatal(err)
		}
	}
}

// A damaged tile is served by none of the reads, and no proof is made from it.
func TestDamagedTilesAreNotServed(t *testing.T) {
	r, l, told := newRotten(t)
	ctx := deadline(t)
	r.rot(func(r *rotten) {
		r.tile = func(level int, index int64, data []byte) {
			if level == 0 && index == 1 {
				data[100] ^= 1
			}
		}
	})
	for name, read := range map[string]func() error{
		"Tile":             func() error { _, err := l.Tile(ctx, merkle.Tile{Index: 1, Width: 256}); return err },
		"partial Tile":     func() error { _, err := l.Tile(ctx, merkle.Tile{Index: 1, Width: 7}); return err },
		"InclusionProof":   func() error { _, err := l.InclusionProof(ctx, 257, 0); return err },
		"ConsistencyProof": func() error { _, err := l.ConsistencyProof(ctx, 300, 0); return err },
		"EntryWithProof":   func() error { _, _, _, err := l.EntryWithProof(ctx, 257); return err },
		"an add": func() error {
			_, err := l.Add(ctx, raw(t, "entry 300"))
			return err
		},
	} {
		if err := read(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "tile/0/001") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.InclusionProof(ctx, 5, 0); err != nil {
		t.Error(err)
	}
	if len(*told) != 1 {
		t.Errorf("told %v", *told)
	}
}

// An entry that was deleted is named, and those around it are served.
func TestDeletedEntry(t *testing.T) {
	r, l, _ := newRotten(t)
	ctx := deadline(t)
	r.rot(func(r *rotten) { r.gone = 300 })
	if _, err := l.Bundle(ctx, merkle.Bundle{Index: 1, Width: 256}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "entry 300 ") {
		t.Error(err)
	}
	if _, err := l.Entry(ctx, 299); err != nil {
		t.Error(err)
	}
}
