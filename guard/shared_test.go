package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// copies is a cell in a store that may answer from an older copy of it, or show
// what a crash then takes back.
type copies struct {
	Cell // nil: what a test does not use panics

	now       Tagged
	shown     *Tagged // what Load answers with, where it is not now
	confirmed int
}

func (c *copies) Load(context.Context) (Tagged, error) {
	if c.shown != nil {
		return *c.shown, nil
	}
	return c.now, nil
}

func (c *copies) Confirm(context.Context) (Tagged, error) {
	c.confirmed++
	return c.now, nil
}

func (c *copies) Swap(_ context.Context, was Tagged, next Text) (string, error) {
	if was.Mark != c.now.Mark {
		return "", ErrMoved
	}
	c.now = Tagged{Text: next}
	return "", nil
}

func (c *copies) Where() string { return "in a test" }

// write is another process's.
func (c *copies) write(head Head) {
	state := c.now.State
	state.Newest = head
	c.now = Tagged{Text: c.now.written(state)}
}

func headOf(size int64) Head { return Head{Size: size, Root: [32]byte{byte(size)}, Time: size} }

func openCopies(t *testing.T) (*copies, *Shared) {
	t.Helper()
	c := &copies{now: Tagged{Text: NewText("log.example", NewID())}}
	r, err := OpenShared(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// A server that lags is not believed that the register went back, and is when
// the store confirms it.
func TestReadFromAnOlderCopy(t *testing.T) {
	c, r := openCopies(t)
	older := c.now
	if err := r.Advance(t.Context(), Empty(), headOf(5)); err != nil {
		t.Fatal(err)
	}
	c.shown = &older
	if got, err := r.Read(t.Context()); err != nil || got.Newest != headOf(5) {
		t.Fatalf("%v, %v", got, err)
	}
	c.now = older
	if _, err := r.Read(t.Context()); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "it went back: it knows size 0") {
		t.Fatal(err)
	}
}

// What another process wrote, and a crash took back before it was durable, is
// not missed afterwards.
func TestWriteOfAnotherThatWasLost(t *testing.T) {
	c, r := openCopies(t)
	if err := r.Advance(t.Context(), Empty(), headOf(5)); err != nil {
		t.Fatal(err)
	}
	durable := c.now
	c.write(headOf(6))
	seen := c.now
	c.shown, c.now = &seen, durable // it crashes before it is confirmed
	for range 2 {
		if got, err := r.Read(t.Context()); err != nil || got.Newest != headOf(5) {
			t.Fatalf("%v, %v", got, err)
		}
		c.shown = nil
	}
	c.now = seen // written, and confirmed
	if got, err := r.Read(t.Context()); err != nil || got.Newest != headOf(6) {
		t.Fatalf("%v, %v", got, err)
	}
	c.now = durable
	if _, err := r.Read(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

// One process alone pays nothing for it.
func TestOwnWritesNeedNoConfirmation(t *testing.T) {
	c, r := openCopies(t)
	c.confirmed = 0
	for size := int64(1); size < 10; size++ {
		state, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Advance(t.Context(), state.Newest, headOf(size)); err != nil {
			t.Fatal(err)
		}
	}
	if c.confirmed != 0 {
		t.Fatalf("confirmed %d times", c.confirmed)
	}
	if got, err := r.Confirm(t.Context()); err != nil || got.Newest != headOf(9) || c.confirmed != 1 {
		t.Fatalf("%v, %v, confirmed %d times", got, err, c.confirmed)
	}
}

// Who watches another's publications makes sure of them once a second, and of
// poison at once.
func TestWatcherSeldomConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := openCopies(t)
		c.confirmed = 0
		const seconds = 10
		for i := range int64(seconds * 10) {
			c.write(headOf(i + 1))
			if why, err := r.Poisoned(t.Context()); err != nil || why != "" {
				t.Fatalf("%q, %v", why, err)
			}
			time.Sleep(time.Second / 10)
		}
		if c.confirmed > seconds {
			t.Errorf("in %d seconds it was confirmed %d times", seconds, c.confirmed)
		}
		if known := r.known().State.Newest.Size; known < seconds*10-10 {
			t.Errorf("it knows size %d, a second after size %d", known, seconds*10)
		}
		state := c.now.State
		state.Poisoned = "a fork"
		c.now = Tagged{Text: c.now.written(state)}
		if why, err := r.Poisoned(t.Context()); err != nil || why != "a fork" {
			t.Fatalf("%q, %v", why, err)
		}
	})
}

// Who watches an idle log confirms nothing.
func TestWatcherOfAnIdleLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := openCopies(t)
		c.confirmed = 0
		for range 10 {
			time.Sleep(2 * sureEvery)
			if why, err := r.Poisoned(t.Context()); err != nil || why != "" {
				t.Fatalf("%q, %v", why, err)
			}
		}
		if c.confirmed != 0 {
			t.Errorf("it was confirmed %d times", c.confirmed)
		}
	})
}

// Who watches misses what it was sure of, and does not believe a server that
// lags, nor poison that is not there.
func TestWatcherOfAnOlderCopy(t *testing.T) {
	c, r := openCopies(t)
	older := c.now
	if err := r.Advance(t.Context(), Empty(), headOf(5)); err != nil {
		t.Fatal(err)
	}
	poisoned := older
	poisoned.Text = older.written(State{Newest: headOf(6), Poisoned: "lost in a crash"})
	for _, shown := range []*Tagged{&older, &poisoned} {
		c.shown = shown
		if why, err := r.Poisoned(t.Context()); err != nil || why != "" {
			t.Fatalf("%q, %v", why, err)
		}
	}
	c.shown, c.now = nil, older
	if _, err := r.Poisoned(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}
