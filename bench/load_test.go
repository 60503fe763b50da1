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

// A client's rest is no part of its operations' times.
func TestRestingLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each, rest = 10 * time.Millisecond, 30 * time.Millisecond
		r := restingLoop(t.Context(), 10, 20*time.Second+time.Millisecond, rest, func(ctx context.Context, _ int, _ int64) error {
			pause(ctx, each)
			return nil
		})
		if r.rate() < 240 || r.rate() > 260 || r.err != nil {
			t.Errorf("%.0f a second, %v", r.rate(), r.err)
		}
		if got := r.times.at(0.99); got != each {
			t.Errorf("p99 is %v", got)
		}
	})
}

// Whoever rests is woken when it is over.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		pause(ctx, time.Hour)
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
