package index

import (
	"context"
	"fmt"
	"testing"

	"indelible/storage"
	"indelible/storage/memory"
)

// narrow is a database whose statements take so many rows of an index.
type narrow struct {
	storage.Store
	most, refused int
}

func (n *narrow) IndexAppend(ctx context.Context, logID int64, was storage.IndexState, to int64, rows []storage.IndexRow) error {
	if len(rows) > n.most {
		n.refused++
		return fmt.Errorf("%d rows: %w", len(rows), storage.ErrRefused)
	}
	return n.Store.IndexAppend(ctx, logID, was, to, rows)
}

// What the database refuses is indexed in smaller steps, and nothing is passed
// over.
func TestRefused(t *testing.T) {
	store := &narrow{Store: memory.New(), most: 100}
	w := newWorld(t, store)
	size := w.grow(3000)
	x := w.rebuilt()
	w.complete(x, size)
	if store.refused == 0 {
		t.Error("nothing was refused")
	}
	store.most = 0
	w.grow(8)
	store.refused = 0
	st, err := store.IndexState(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := advance(t.Context(), store, w.id, stored(store, w.id), st, size+8, nil); err == nil || store.refused != 4 {
		t.Errorf("%d tries, %v", store.refused, err)
	}
}
