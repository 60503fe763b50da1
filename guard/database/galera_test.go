package database

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
)

// wins are the heads that writers were told are registered.
type wins struct {
	t *testing.T

	mu   sync.Mutex
	head map[int64]guard.Head // by size
	of   map[int]int          // how many, by writer
	last int64
}

func (w *wins) won(writer int, h guard.Head) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.head[h.Size]; ok && other.Root != h.Root {
		w.t.Errorf("size %d was won twice: roots %x and %x", h.Size, other.Root, h.Root)
	}
	w.head[h.Size] = h
	w.of[writer]++
	w.last = max(w.last, h.Size)
}

func (w *wins) count(writer int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of[writer]
}

func (w *wins) largest() guard.Head {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head[w.last]
}

// write advances the register by one, again and again, each time to a head of
// the writer's own. What it confirms must not be older than what any writer won.
func (w *wins) write(ctx context.Context, writer int, r *guard.Shared) {
	for ctx.Err() == nil {
		sure := w.largest()
		state, err := r.Read(ctx)
		switch {
		case errors.Is(err, guard.ErrCorrupt):
			w.t.Error(err)
			return
		case err != nil:
			continue
		case state.Newest.Size < sure.Size && !w.confirmed(ctx, writer, r, sure):
			return
		}
		size := state.Newest.Size + 1
		next := guard.Head{Size: size, Root: sha256.Sum256(fmt.Append(nil, writer, size, time.Now())), Time: size}
		if err := r.Advance(ctx, state.Newest, next); err == nil {
			w.won(writer, next)
		}
	}
}

// confirmed makes sure of a read that seems stale, as that of a node which stood
// still may be.
func (w *wins) confirmed(ctx context.Context, writer int, r *guard.Shared, sure guard.Head) bool {
	state, err := r.Confirm(ctx)
	if err == nil && state.Newest.Size < sure.Size {
		w.t.Errorf("writer %d was sure of size %d, when size %d was registered", writer, state.Newest.Size, sure.Size)
		return false
	}
	return true
}

// Writers at three nodes race, while one node is killed, one cut off and one
// stands still: each size is won at most once, nobody is sure of what is older
// than what was won before, and all go on when their nodes are back.
func TestWritersOnGalera(t *testing.T) {
	ctx := context.Background()
	cluster, err := dbtest.StartCluster(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Remove() })
	dsn := newDatabase(t, cluster.Nodes[0], "registers")
	registers := []*guard.Shared{create(t, dsn, guardtest.Origin)}
	for _, n := range cluster.Nodes[1:] {
		registers = append(registers, openAt(t, strings.Replace(dsn, cluster.Nodes[0].Addr(), n.Addr(), 1)))
	}
	w := &wins{t: t, head: map[int64]guard.Head{}, of: map[int]int{}}
	racing, stop := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for i, r := range registers {
		writers.Go(func() { w.write(racing, i, r) })
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	goOn := func(what string, writers ...int) {
		t.Helper()
		for _, i := range writers {
			before := w.count(i)
			for end := time.Now().Add(6 * time.Minute); w.count(i) < before+10; {
				if time.Now().After(end) {
					t.Fatalf("%s: writer %d won %d times, after %d", what, i, w.count(i), before)
				}
				<-time.After(5 * time.Millisecond)
			}
		}
	}
	goOn("all is well", 0, 1, 2)
	must(cluster.Nodes[2].Kill())
	goOn("node 2 was killed", 0, 1)
	must(cluster.Rejoin(ctx, 2))
	goOn("node 2 is back", 0, 1, 2)
	must(cluster.Isolate(ctx, 1, true))
	goOn("node 1 is cut off", 0, 2)
	must(cluster.Isolate(ctx, 1, false))
	goOn("node 1 is back", 0, 1, 2)
	must(cluster.Freeze(0, true))
	goOn("node 0 stands still", 1, 2)
	must(cluster.Freeze(0, false))
	goOn("node 0 goes on", 0, 1, 2)
	stop()
	writers.Wait()
	t.Logf("won: %v", w.of)
	for i, r := range registers {
		got, err := r.Confirm(ctx)
		if last := w.largest(); err != nil || got.Newest.Size < last.Size || got.Newest.Size == last.Size && got.Newest != last {
			t.Errorf("node %d knows size %d, and size %d was won: %v", i, got.Newest.Size, last.Size, err)
		}
	}
}

// openAt opens the register at a node that may not have its row yet.
func openAt(t *testing.T, dsn string) *guard.Shared {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		r, err := Open(t.Context(), dsn, mysqldb.Access{}, guardtest.Origin)
		if err == nil {
			t.Cleanup(func() { r.Close() })
			return r
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
