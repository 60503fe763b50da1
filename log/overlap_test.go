package log

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"indelible/storage"
	"indelible/storage/memory"
)

// slowPublish publishes, once held, only what it is let through, and lies about
// the entries from one on when told.
type slowPublish struct {
	storage.Store
	held  atomic.Bool
	pass  chan struct{}
	wrong atomic.Bool
}

func (s *slowPublish) Publish(ctx context.Context, logID int64, p storage.Published) (int64, error) {
	if s.held.Load() {
		select {
		case <-s.pass:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return s.Store.Publish(ctx, logID, p)
}

func (s *slowPublish) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	entries, err := s.Store.Entries(ctx, logID, start, end)
	for i := range entries {
		if s.wrong.Load() && entries[i].Index >= 1 {
			entries[i].Body = []byte("another")
		}
	}
	return entries, err
}

// outcome is what an add came to.
type outcome struct {
	receipt Receipt
	err     error
}

func addLater(t *testing.T, l *Log, s string) <-chan outcome {
	t.Helper()
	e, got := raw(t, s), make(chan outcome, 1)
	go func() {
		r, err := l.Add(context.WithoutCancel(t.Context()), e)
		got <- outcome{r, err}
	}()
	return got
}

func startSlow(t *testing.T) (*slowPublish, *world, *Log) {
	t.Helper()
	w := newWorld(t, memory.New())
	s := &slowPublish{Store: w.store, pass: make(chan struct{}, 10)}
	cfg := w.config(t)
	cfg.Store = s
	l, _ := start(t, cfg)
	poll(t, "it is ready", func() bool { return l.Ready() == nil })
	s.held.Store(true)
	return s, w, l
}

// durable waits until so many entries are in the database.
func (w *world) durable(t *testing.T, l *Log, size int64) {
	t.Helper()
	poll(t, "entries are appended", func() bool {
		h, err := w.store.Head(t.Context(), l.cfg.Record.ID)
		return err == nil && h.Size == size
	})
}

func (w *world) knows(t *testing.T, size int64) {
	t.Helper()
	poll(t, "the register knows the head", func() bool {
		state, err := w.register.Read(t.Context())
		return err == nil && state.Newest.Size == size
	})
}

func TestTheNextHeadIsRegisteredWhileOneIsWritten(t *testing.T) {
	s, w, l := startSlow(t)
	first := addLater(t, l, "a")
	w.knows(t, 1)
	second := addLater(t, l, "b")
	w.knows(t, 2)
	if p, err := l.Published(); err != nil || p.Size != 0 {
		t.Fatalf("published %d, %v", p.Size, err)
	}
	s.pass <- struct{}{}
	if got := <-first; got.err != nil {
		t.Fatal(got.err)
	} else {
		checkReceipt(t, l, raw(t, "a"), got.receipt)
	}
	if p, err := l.Published(); err != nil || p.Size != 1 {
		t.Fatalf("published %d, %v", p.Size, err)
	}
	s.pass <- struct{}{}
	if got := <-second; got.err != nil {
		t.Fatal(got.err)
	}
	s.held.Store(false)
	add(t, l, "c")
	checkWhole(t, l)
}

func TestWhatIsFoundWhileOneIsWrittenPoisons(t *testing.T) {
	s, w, l := startSlow(t)
	first := addLater(t, l, "a")
	w.knows(t, 1)
	s.wrong.Store(true)
	second := addLater(t, l, "b")
	w.durable(t, l, 2)
	s.pass <- struct{}{}
	if got := <-first; got.err != nil {
		t.Fatalf("what was verified before was not published: %v", got.err)
	}
	if got := <-second; !errors.Is(got.err, ErrPoisoned) {
		t.Fatalf("an entry that is another one in the database: %v", got.err)
	}
	if p, err := l.Published(); err != nil || p.Size != 1 {
		t.Fatalf("published %d, %v", p.Size, err)
	}
	poll(t, "the register says it, and no other head", func() bool { // after those who wait were answered
		state, err := w.register.Read(t.Context())
		return err == nil && state.Newest.Size == 1 && state.Poisoned != ""
	})
}
