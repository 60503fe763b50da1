package places

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(2)
		take := func(ctx context.Context) (*Place, time.Duration, error) {
			begin := time.Now()
			l, err := p.Take(ctx)
			return l, time.Since(begin), err
		}
		var held []*Place
		cut := make([]chan struct{}, 2)
		for i := range 2 {
			l, took, err := take(t.Context())
			if err != nil || took != 0 {
				t.Fatal(took, err)
			}
			held = append(held, l)
			cut[i] = make(chan struct{})
		}
		// Nobody waits for a client, so that nobody gives up its place.
		if _, took, err := take(t.Context()); !errors.Is(err, ErrBusy) || took != MaxWait {
			t.Errorf("after %s: %v", took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := take(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// Who waits the longest gives it up, once that lasts too long.
		for i, l := range held {
			l.Waits(func() { close(cut[i]) })
			time.Sleep(time.Millisecond)
		}
		go func() {
			<-cut[0]
			if !held[0].Settled() {
				t.Error("it does not know that it was cut")
			}
			held[0].Leave()
		}()
		third, took, err := take(t.Context())
		if err != nil || took < Patience-time.Second/4 || took > 2*Patience {
			t.Fatalf("after %s: %v", took, err)
		}
		if held[1].Settled() {
			t.Error("both were cut")
		}
		third.Leave()
		held[1].Leave()
		if len(p.taken) != 0 || p.waiting.Len() != 0 {
			t.Errorf("%d places are taken, %d wait", len(p.taken), p.waiting.Len())
		}
	})
}
