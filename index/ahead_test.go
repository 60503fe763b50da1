package index

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/entry"
	"indelible/storage"
)

// edit sets the index's cursor, as an operator does who edits the database.
func (w *world) edit(size int64) {
	w.t.Helper()
	st, err := w.store.IndexState(w.t.Context(), w.id)
	if err == nil {
		err = w.store.IndexAppend(w.t.Context(), w.id, st, size, nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// notSearched wants a search refused, and not answered with what is wrong.
func (w *world) notSearched(x *Index) {
	w.t.Helper()
	for _, key := range []entry.IndexKey{signerKey(0), artifactKey(1 << 40)} {
		if _, err := x.Find(w.t.Context(), key, -1, 10); !errors.Is(err, ErrAhead) || !strings.Contains(err.Error(), "being rebuilt") {
			w.t.Fatalf("%v", err)
		}
	}
	if x.Known() != 0 {
		w.t.Errorf("known %d", x.Known())
	}
}

// heals waits until an index is the log's again.
func (w *world) heals(x *Index, size int64) {
	w.t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	w.complete(x, size)
	if x.Known() != size {
		w.t.Errorf("known %d of %d", x.Known(), size)
	}
}

// TestAheadAtTheStart: nothing is searched, and the operator told once, until
// the index is rebuilt, which is done by whoever follows.
func TestAheadAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		w.grow(10)
		w.rebuilt()
		w.edit(13)
		var told []error
		x := w.open(func(c *Config) { c.Events.Ahead = func(why error) { told = append(told, why) } })
		w.notSearched(x)
		w.grow(10) // its size does not show it any more
		w.notSearched(x)
		stop := run(t, x)
		w.heals(x, 20)
		if len(told) != 1 || !strings.Contains(told[0].Error(), "it says that it has 13 entries, and the log has 10") {
			t.Errorf("told %v", told)
		}
		w.reaches(w.grow(5))
		w.complete(x, 25)
		stop()
	})
}

// TestAheadFollowed: who follows finds it by itself, and what it did is there
// after a restart.
func TestAheadFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		w.grow(10)
		w.rebuilt()
		w.edit(1000)
		stop := run(t, w.open(nil))
		time.Sleep(time.Minute)
		stop()
		w.grow(2000)
		x := w.open(nil)
		stop = run(t, x)
		w.heals(x, 2010)
		stop()
	})
}

// TestAheadWhileFollowing: a search finds it at once, on whichever replica, with
// nothing added; the follower with what is published next.
func TestAheadWhileFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		x, other := w.open(nil), w.open(nil)
		stop, stopOther := run(t, x), run(t, other)
		w.reaches(w.grow(10))
		time.Sleep(time.Minute) // both wait for more
		for _, found := range []*Index{x, other} {
			w.edit(1000)
			w.notSearched(found)
			w.heals(found, 10)
		}
		w.edit(1000)
		w.grow(1)
		w.heals(x, 11)
		w.heals(other, 11)
		stop()
		stopOther()
	})
}

// TestAheadOfAStaleReplica: what is behind is then not the log, and the index
// stays.
func TestAheadOfAStaleReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		w.grow(10)
		w.rebuilt()
		w.log.publish(4) // all that this replica knows
		was, err := w.store.IndexState(t.Context(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		x := w.open(func(c *Config) {
			c.Store = staleHead{w.store}
			c.Events.Ahead = func(why error) { t.Error(why) }
		})
		stop := run(t, x)
		if hits, err := x.Find(t.Context(), signerKey(0), -1, 10); err != nil || hits.Size != 4 {
			t.Errorf("%+v, %v", hits, err)
		}
		time.Sleep(time.Minute)
		if st, err := w.store.IndexState(t.Context(), w.id); err != nil || st != was {
			t.Errorf("%+v, %v; it was %+v", st, err, was)
		}
		stop()
	})
}

// staleHead shows an old head to who does not lock it.
type staleHead struct{ storage.Store }

func (s staleHead) Head(ctx context.Context, logID int64) (storage.Head, error) {
	head, err := s.Store.Head(ctx, logID)
	head.Size /= 2
	return head, err
}
