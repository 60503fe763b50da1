package growth

import (
	"fmt"
	"testing"

	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/memory"
)

// What is planned in steps of any width is taken by a strict engine, and leads
// to the same edge rows, whatever the steps were.
func TestStepsOfAnyWidth(t *testing.T) {
	const size = 65536 + 256 + 7
	var want []storage.Edge
	for _, step := range []int64{1000, 256, size, 4099} {
		edges := grow(t, size, step)
		if want == nil {
			want = edges
		}
		if fmt.Sprint(edges) != fmt.Sprint(want) {
			t.Errorf("steps of %d leave other edges", step)
		}
	}
}

// grow appends entries in steps, and returns the partial tiles that stand then.
func grow(t *testing.T, size, step int64) []storage.Edge {
	t.Helper()
	store := memory.New()
	l, err := store.CreateLog(t.Context(), storage.Log{Origin: "log.example"}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		t.Fatal(err)
	}
	var edge merkle.Edge
	for edge.Size() < size {
		tx, err := store.BeginAppend(t.Context(), l.ID)
		if err != nil {
			t.Fatal(err)
		}
		next, a := Plan(edge, rows(edge.Size(), min(edge.Size()+step, size)))
		if err := tx.Write(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		edge = next
	}
	var edges []storage.Edge
	for level := 1; level < edge.Levels(); level++ {
		e, err := store.Edge(t.Context(), l.ID, level)
		if err != nil || string(e.Hashes) != string(merkle.EncodeTile(edge.Partial(level))) {
			t.Fatalf("level %d: %v", level, err)
		}
		edges = append(edges, e)
	}
	if head, err := store.Head(t.Context(), l.ID); err != nil || head.Root != edge.Root() || head.IntegratedAt != size-1 {
		t.Fatalf("%+v: %v", head, err)
	}
	return edges
}

// rows are the entries [from, to), whose times are their indexes.
func rows(from, to int64) []storage.Entry {
	var list []storage.Entry
	for i := from; i < to; i++ {
		body := fmt.Appendf(nil, "entry %d", i)
		list = append(list, storage.Entry{Index: i, LeafHash: merkle.LeafHash(body), IntegratedAt: i, Body: body})
	}
	return list
}
