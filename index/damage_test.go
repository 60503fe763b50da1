package index

import (
	"context"
	"errors"
	"slices"
	"testing"

	translog "indelible/log"
	"indelible/storage"
	"indelible/storage/memory"
)

// spoiling returns entry 7 with other bytes than it was logged with.
type spoiling struct{ storage.Store }

func spoil(entries []storage.Entry, err error) ([]storage.Entry, error) {
	entries = slices.Clone(entries)
	for i := range entries {
		if e := &entries[i]; e.Index == 7 {
			e.Body = body(14)
		}
	}
	return entries, err
}

func (s spoiling) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	return spoil(s.Store.Entries(ctx, logID, start, end))
}

func (s spoiling) EntriesAt(ctx context.Context, logID int64, indexes []int64) ([]storage.Entry, error) {
	return spoil(s.Store.EntriesAt(ctx, logID, indexes))
}

// A damaged entry is no answer to a search, and nothing is indexed of it.
func TestDamagedEntries(t *testing.T) {
	w := newWorld(t, memory.New())
	w.grow(20)
	x := w.rebuilt()
	sound := w.store
	w.store = spoiling{sound}
	x.cfg.Store = w.store
	if _, err := x.Find(t.Context(), signerKey(0), -1, 10); !errors.Is(err, translog.ErrDamaged) {
		t.Error(err)
	}
	if _, err := x.FindAll(t.Context(), Query{Clauses: []Clause{{signerKey(0)}}}); !errors.Is(err, translog.ErrDamaged) {
		t.Error(err)
	}
	if hits, err := x.Find(t.Context(), signerKey(1), -1, 10); err != nil || len(hits.Records) == 0 {
		t.Error(hits, err)
	}
	if err := Rebuild(t.Context(), w.store, w.id, nil); !errors.Is(err, translog.ErrDamaged) {
		t.Error(err)
	}
	if _, err := x.read(t.Context(), 0, 20); !errors.Is(err, translog.ErrDamaged) {
		t.Error(err)
	}
}
