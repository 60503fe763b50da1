package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The rate does not depend on how long an operation takes, for as long as all
// clients together do as much.
func TestClosedLoopCountsWhatIsDone(t *testing.T) {
	for _, c := range []struct {
		clients int
		each    time.Duration
	}{{10, 10 * time.Millisecond}, {1000, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			r := closedLoop(t.Context(), c.clients, 20*time.Second+time.Millisecond, func(ctx context.Context, client int, _ int64) error {
				select {
				case <-time.After(c.each):
				case <-ctx.Done():
				}
				return nil
			})
			if r.rate() < 980 || r.rate() > 1020 || r.err != nil {
				t.Errorf("%d clients, %v each: %.0f a second, %v", c.clients, c.each, r.rate(), r.err)
			}
			if got := r.times.at(0.5); got != c.each {
				t.Errorf("p50 is %v", got)
			}
		})
	}
}
