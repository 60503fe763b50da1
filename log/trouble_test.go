package log

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// A log that cannot publish says so all the time, and not now and then; and it
// asks the database less and less often.
func TestTroubleThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		var tried atomic.Int64
		w := newWorld(t, memory.New())
		cfg := w.config(t)
		cfg.Events = Events{}
		cfg.Store = faulty.Wrap(w.store, func(op faulty.Op) faulty.Fault {
			if op != faulty.Publish || !broken.Load() {
				return faulty.None
			}
			tried.Add(1)
			return faulty.Fail
		})
		l, stop := start(t, cfg)
		defer stop()
		synctest.Wait()
		broken.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := make(chan error, 1)
		go func() {
			_, err := l.Add(ctx, raw(t, "a"))
			got <- err
		}()
		synctest.Wait()
		for range 10_000 {
			if err := l.Ready(); !errors.Is(err, faulty.ErrInjected) {
				t.Fatalf("after %d attempts: %v", tried.Load(), err)
			}
			pause(ctx, time.Millisecond)
			synctest.Wait()
		}
		if n := tried.Load(); n > 30 { // 10 ms, doubling up to a second, each halved at most
			t.Errorf("it tried to publish %d times in 10 s", n)
		}
		broken.Store(false)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := l.Ready(); err != nil {
			t.Error(err)
		}
	})
}
