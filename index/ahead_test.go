package index

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/entry"
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

// notSearched wants a search refused, with the way out.
func (w *world) notSearched(x *Index) {
	w.t.Helper()
	for _, key := range []entry.IndexKey{signerKey(0), artifactKey(1 << 40)} {
		_, err := x.Find(w.t.Context(), key, -1, 10)
		if !errors.Is(err, ErrAhead) || !strings.Contains(err.Error(), "logserver index rebuild") {
			w.t.Fatalf("%v", err)
		}
	}
}

// TestAheadAtTheStart: nothing is searched, not even when the log has grown past
// what the index says, until the index is made anew.
func TestAheadAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		w.grow(10)
		w.rebuilt()
		w.edit(13)
		var told []error
		x := w.open(func(c *Config) { c.Events.Retrying = func(_ string, err error) { told = append(told, err) } })
		w.notSearched(x) // before it follows
		stop := run(t, x)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(told) != 1 || !strings.Contains(told[0].Error(), "it says that it has 13 entries, and the log has 10") || x.Known() != 0 {
			t.Errorf("told %v, known %d", told, x.Known())
		}
		w.grow(10)
		time.Sleep(time.Minute)
		w.notSearched(x)
		if err := Rebuild(t.Context(), w.store, w.id, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.complete(x, 20)
		w.grow(5)
		w.reaches(25)
		w.complete(x, 25)
		stop()
	})
}

// TestAheadWhileFollowing: a search finds it at once, the follower with what is
// published next.
func TestAheadWhileFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		x := w.open(nil)
		stop := run(t, x)
		w.reaches(w.grow(10))
		w.edit(1000)
		w.notSearched(x)
		w.grow(1)
		time.Sleep(time.Minute)
		w.notSearched(x)
		w.grow(2000) // the size does not show it any more
		time.Sleep(time.Minute)
		w.notSearched(x)
		if err := Rebuild(t.Context(), w.store, w.id, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.complete(x, 2011)
		stop()
	})
}
