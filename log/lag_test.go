package log

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"indelible/guard"
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
