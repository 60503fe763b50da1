package log

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"indelible/guard"
	"indelible/internal/growth"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/memory"
)

// lagging is a database whose lock is given, while past is set, by a server that
// lags.
type lagging struct {
	storage.Store
	past atomic.Pointer[storage.Head]
	mute atomic.Bool // the head cannot be read again
}

type laggingAppender struct {
	storage.Appender
	head storage.Head
}

func (a laggingAppender) Head() storage.Head { return a.head }

func (l *lagging) BeginAppend(ctx context.Context, logID int64) (storage.Appender, error) {
	tx, err := l.Store.BeginAppend(ctx, logID)
	if past := l.past.Load(); err == nil && past != nil {
		return laggingAppender{tx, *past}, nil
	}
	return tx, err
}

var errMute = errors.New("the server is read-only")

func (l *lagging) LockedHead(ctx context.Context, logID int64) (storage.Head, error) {
	if l.mute.Load() {
		return storage.Head{}, errMute
	}
	return l.Store.LockedHead(ctx, logID)
}

// A locked head that is behind is read again before it is believed: the lock may
// have been a lagging server's.
func TestLaggingLock(t *testing.T) {
	for name, mute := range map[string]bool{"read again": false, "not to be read again": true} {
		t.Run(name, func(t *testing.T) {
			store := &lagging{Store: memory.New()}
			w := newWorld(t, store)
			cfg := w.config(t)
			l, _ := start(t, cfg)
			add(t, l, "a")
			past, err := store.Head(t.Context(), cfg.Record.ID)
			if err != nil {
				t.Fatal(err)
			}
			add(t, l, "b")
			store.mute.Store(mute)
			store.past.Store(&past)
			got := make(chan error, 1)
			go func() {
				_, err := l.Add(context.WithoutCancel(t.Context()), raw(t, "c"))
				got <- err
			}()
			want := "a tree head of size 1 was read, when it has size 2"
			if mute {
				want = "a tree head of size 1 was read, when size 2 is known, and cannot be read again: " + errMute.Error()
			}
			poll(t, want, func() bool { err := l.Ready(); return err != nil && strings.Contains(err.Error(), want) })
			if errors.Is(l.Ready(), ErrPoisoned) {
				t.Fatal(l.Ready())
			}
			store.past.Store(nil)
			if err := <-got; err != nil {
				t.Fatal(err)
			}
			checkWhole(t, l)
		})
	}
}

// laggingRegister reads from a server that lags.
type laggingRegister struct {
	guard.Register
	past guard.State
}

func (l laggingRegister) Read(context.Context) (guard.State, error) { return l.past, nil }

// A register that seems older than the log at start is asked again in a way that
// cannot be stale.
func TestLaggingRegister(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	past, err := w.register.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, stop := start(t, cfg)
	add(t, l, "a")
	stop()
	cfg = w.config(t)
	cfg.Register = laggingRegister{w.register, past}
	l, _ = start(t, cfg)
	poll(t, "the log is ready", func() bool { return l.Ready() == nil })
	if p, err := l.Published(); err != nil || p.Size != 1 {
		t.Fatalf("%v, %v", p, err)
	}
}

// laggingEdges answers from the past as often as it is told.
type laggingEdges struct {
	storage.Store
	past  map[int]storage.Edge // by level
	times atomic.Int64
}

func (l *laggingEdges) Edge(ctx context.Context, logID int64, level int) (storage.Edge, error) {
	if e, ok := l.past[level]; ok && l.times.Add(-1) >= 0 {
		return e, nil
	}
	return l.Store.Edge(ctx, logID, level)
}

// The tree head may be read from a server that is up to date, and its tiles from
// one that lags: they are too short, and nothing is wrong with the log.
func TestLaggingTiles(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	cfg := w.config(t)
	l, stop := start(t, cfg)
	addRange(t, l, 0, 300)
	past, err := store.Edge(t.Context(), cfg.Record.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	addRange(t, l, 300, 600)
	stop()
	cfg = w.config(t)
	lagging := &laggingEdges{Store: store, past: map[int]storage.Edge{1: past}}
	lagging.times.Store(3)
	cfg.Store, cfg.Events = lagging, Events{}
	l, _ = start(t, cfg)
	poll(t, "the log is ready", func() bool { return l.Ready() == nil })
	if lagging.times.Load() > 0 {
		t.Fatal("nothing lagged")
	}
	add(t, l, "another")
	checkWhole(t, l)
}

// laggingDurable says what is durable from the past, as often as it is told.
type laggingDurable struct {
	storage.Store
	past  storage.Head
	times atomic.Int64
}

func (l *laggingDurable) DurableHead(ctx context.Context, logID int64) (storage.Head, error) {
	if l.times.Add(-1) >= 0 {
		return l.past, nil
	}
	return l.Store.DurableHead(ctx, logID)
}

// Of two questions about the tree head, the second may go to a server that lags.
func TestLaggingDurableHead(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	l, stop := start(t, w.config(t))
	past, err := store.Head(t.Context(), l.cfg.Record.ID)
	if err != nil {
		t.Fatal(err)
	}
	addRange(t, l, 0, 3)
	stop()
	appendUnpublished(t, l, "d")
	cfg := w.config(t)
	lagging := &laggingDurable{Store: store, past: past}
	lagging.times.Store(2)
	cfg.Store, cfg.Events = lagging, Events{}
	l, _ = start(t, cfg)
	poll(t, "the log is ready", func() bool { return l.Ready() == nil })
	if lagging.times.Load() >= 0 {
		t.Fatal("nothing lagged")
	}
	checkWhole(t, l)
}

// appendUnpublished commits an entry that nobody publishes.
func appendUnpublished(t *testing.T, l *Log, s string) {
	t.Helper()
	tx, err := l.cfg.Store.BeginAppend(t.Context(), l.cfg.Record.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	head, body := tx.Head(), raw(t, s).Canonical()
	edge, err := loadEdge(t.Context(), tx, head.Size)
	if err != nil {
		t.Fatal(err)
	}
	_, write := growth.Plan(edge, []storage.Entry{{Index: head.Size, LeafHash: merkle.LeafHash(body), IntegratedAt: head.IntegratedAt, Body: body}})
	if err := errors.Join(tx.Write(t.Context(), write), tx.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
}
