package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// result is what a load came to.
type result struct {
	ops   int64
	took  time.Duration
	times latencies
	err   error // the first one
}

func (r result) rate() float64 { return float64(r.ops) / r.took.Seconds() }

// warmUp is the part of a run's length that is not counted.
const warmUp = 0.15

// closedLoop has so many clients do op, each the next when the last is done,
// for d. What is done after the warm-up and before the end counts, whenever it
// began: else the slow would seem slower than they are, by one operation of
// each client. op is given the client's number and a number that no other call
// gets.
func closedLoop(ctx context.Context, clients int, d time.Duration, op func(ctx context.Context, client int, n int64) error) result {
	return restingLoop(ctx, clients, d, 0, op)
}

// restingLoop is closedLoop with clients that rest after each operation, which
// is no part of its time.
func restingLoop(ctx context.Context, clients int, d, rest time.Duration, op func(ctx context.Context, client int, n int64) error) result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	from, until := start.Add(time.Duration(warmUp*float64(d))), start.Add(d)
	var next atomic.Int64
	times := make([]latencies, clients)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				t := time.Now()
				if t.After(until) {
					return
				}
				if err := op(ctx, c, next.Add(1)-1); err != nil {
					errs[c] = err
					cancel()
					return
				}
				if done := time.Now(); done.After(from) && done.Before(until) {
					times[c] = append(times[c], done.Sub(t))
				}
				pause(ctx, rest)
			}
		})
	}
	wg.Wait()
	return collect(times, errs, until.Sub(from))
}

// pause returns after d, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// openLoop starts op at a fixed rate, whether or not the last ones are done,
// and takes each one's time from when it should have started.
func openLoop(ctx context.Context, perSecond float64, d time.Duration, op func(ctx context.Context, client int, n int64) error) result {
	interval := time.Duration(float64(time.Second) / perSecond)
	total := int(d / interval)
	times := make([]latencies, total)
	errs := make([]error, total)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range total {
		due := start.Add(time.Duration(i) * interval)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if errs[i] = op(ctx, i, int64(i)); errs[i] == nil {
				times[i] = latencies{time.Since(due)}
			}
		})
	}
	wg.Wait()
	return collect(times, errs, time.Since(start))
}

func collect(times []latencies, errs []error, took time.Duration) result {
	r := result{took: took, times: slices.Concat(times...)}
	r.ops = int64(len(r.times))
	slices.Sort(r.times)
	for _, err := range errs {
		if err != nil && r.err == nil {
			r.err = err
		}
	}
	return r
}
