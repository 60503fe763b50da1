//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/internal/outage"
)

// What a witness cannot cosign without makes it unready, though nobody asks it for
// a cosignature, and is a line in the log when it begins and when it ends.
func TestTheWitnessTriesWhatItNeeds(t *testing.T) {
	gone := errors.New("no space left on device")
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		ping, write func(context.Context) error
		within      time.Duration
		says        string
	}{
		"the database fails":   {ping: func(context.Context) error { return gone }, within: time.Second, says: gone.Error()},
		"the database hangs":   {ping: hangs, within: 4 * time.Second, says: "has not answered for 3s"},
		"it hangs and is deaf": {ping: func(context.Context) error { time.Sleep(time.Minute); return gone }, within: 5 * time.Second, says: "has not answered for 4s"},
		"it takes no writes":   {write: func(context.Context) error { return gone }, within: tryEvery, says: gone.Error()},
		"a write hangs":        {write: hangs, within: tryEvery + 3*time.Second, says: "has not answered for 3s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				var broken atomic.Bool
				try := func(f func(context.Context) error) func(context.Context) error {
					return func(ctx context.Context) error {
						if broken.Load() && f != nil {
							return f(ctx)
						}
						return nil
					}
				}
				l := newLights(outage.New(slog.New(slog.NewTextHandler(&said, nil))))
				if l.ready() == nil {
					t.Error("it is ready before it looked")
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); l.watch(ctx, needs{try(c.ping), try(c.write)}) }()
				synctest.Wait()
				if err := l.ready(); err != nil {
					t.Fatal(err)
				}
				broken.Store(true)
				time.Sleep(c.within)
				synctest.Wait()
				if err := l.ready(); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("after %s: %v", c.within, err)
				}
				time.Sleep(30 * time.Second)
				broken.Store(false)
				time.Sleep(time.Minute)
				synctest.Wait()
				if err := l.ready(); err != nil {
					t.Error(err)
				}
				cancel()
				<-done
				if text := said.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "the outage has ended") != 1 {
					t.Errorf("%s", text)
				}
			})
		})
	}
}

// A request that failed has the next look write, and a look that is due sooner than
// others costs no more than one a second.
func TestAFailedRequestRaisesDoubts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int64
		well := func(context.Context) error { return nil }
		l := newLights(outage.New(slog.New(slog.DiscardHandler)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.watch(ctx, needs{well, func(context.Context) error { writes.Add(1); return nil }})
		}()
		time.Sleep(100*time.Second + time.Millisecond)
		if n := writes.Load(); n > 11 {
			t.Errorf("%d writes in 100 s without trouble", n)
		}
		was := writes.Load()
		for range 1000 {
			l.doubts()
		}
		time.Sleep(time.Second)
		if n := writes.Load() - was; n != 1 {
			t.Errorf("%d writes after requests that failed", n)
		}
		cancel()
		<-done
	})
}
