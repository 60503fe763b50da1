package fair

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// load is clients that each have so many steps waiting all the time. A step takes
// a millisecond for each unit.
type load struct {
	client  string
	callers int
	cost    int
}

// run returns how many units each client got in some seconds.
func run(t *testing.T, p *Pool, length time.Duration, loads ...load) map[string]int {
	t.Helper()
	got := make(map[string]int)
	var mu sync.Mutex
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range loads {
		for range l.callers {
			wg.Go(func() {
				for ctx.Err() == nil {
					err := p.Do(ctx, l.client, l.cost, func() {
						time.Sleep(time.Duration(l.cost) * time.Millisecond)
						mu.Lock()
						got[l.client] += l.cost
						mu.Unlock()
					})
					if err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	return got
}

// TestShares: who waits gets an equal share of the time, whatever the others
// send, and how much at a time.
func TestShares(t *testing.T) {
	for _, workers := range []int{1, 2} {
		for _, attackers := range []int{4, 64} {
			synctest.Test(t, func(t *testing.T) {
				p := New(workers, 1024)
				total := workers * 10_000
				got := run(t, p, 10*time.Second, load{"neighbour", 4, 1}, load{"attacker", attackers, 35})
				if got["neighbour"] < total*45/100 || got["attacker"] < total*45/100 {
					t.Errorf("%d workers, %d callers: of %d units: %v", workers, attackers, total, got)
				}
			})
		}
	}
}

// TestOneAtATime: a client that always has one step at most gets its share too,
// and one that comes back has not escaped from what it took before.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := run(t, New(1, 1024), 10*time.Second, load{"a", 1, 1}, load{"b", 1, 35}, load{"c", 64, 10})
		// a comes back when its step is done: it waits for one step of another each time.
		if got["a"] < 300 || got["b"] > 5_000 || got["c"] < 3_300 {
			t.Errorf("%v", got)
		}
	})
}

// TestAClientAlone has all workers.
func TestAClientAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := run(t, New(2, 64), 10*time.Second, load{"a", 8, 10}); got["a"] < 19_900 {
			t.Errorf("%v", got)
		}
	})
}

// TestOrder: a new client comes before the steps that others have waiting, and a
// client's steps stay in their order.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1, 64)
		release := make(chan struct{})
		var order []string // the one worker's
		var wg sync.WaitGroup
		begin := func(client, name string, cost int) {
			wg.Go(func() {
				if err := p.Do(t.Context(), client, cost, func() { order = append(order, name); <-release }); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		begin("a", "a0", 10)
		for i := range 3 {
			begin("a", fmt.Sprint("a", i+1), 10)
		}
		begin("b", "b0", 1)
		begin("b", "b1", 1)
		close(release)
		wg.Wait()
		if got := fmt.Sprint(order); got != "[a0 b0 b1 a1 a2 a3]" {
			t.Error(got)
		}
		if len(p.queue) != 0 || p.waiting != 0 || p.idle != 1 {
			t.Errorf("%d clients in the queue, %d steps, %d idle workers are left", len(p.queue), p.waiting, p.idle)
		}
	})
}

// TestPlaces: clients that take all the places they can leave some to others.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := New(1, 64)
		var wg sync.WaitGroup
		wait := func(client string) bool {
			done := make(chan error, 1)
			wg.Go(func() { done <- p.Do(ctx, client, 1, func() { <-ctx.Done() }) })
			synctest.Wait()
			select {
			case err := <-done:
				if !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
				return false
			default:
				return true
			}
		}
		wait("a") // has the worker
		for i, most := range []int{32, 16, 8, 4} {
			client, n := string(rune('a'+i)), 0
			for wait(client) {
				n++
			}
			if n != most {
				t.Errorf("%s has %d waiting; %d are half of what was free", client, n, most)
			}
		}
		if !wait("new") {
			t.Error("there is no place for a client that has none waiting")
		}
		cancel()
		wg.Wait()
		if p.waiting != 0 || p.idle != 1 || len(p.queue) != 0 {
			t.Errorf("%d wait, %d workers are idle, %d clients are in the queue", p.waiting, p.idle, len(p.queue))
		}
	})
}

// TestEnds: a step whose context ends is not done, and its place is free at once.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1, 2)
		release := make(chan struct{})
		go p.Do(t.Context(), "a", 1, func() { <-release })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Do(ctx, "b", 1, func() { t.Error("it was done") }) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := p.Do(ctx, "b", 1, func() { t.Error("it was done") }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		done := false
		if err := p.Do(t.Context(), "c", 1, func() { done = true }); err != nil || !done {
			t.Error(done, err)
		}
	})
}

// TestAPanicGivesTheWorkerBack.
func TestAPanicGivesTheWorkerBack(t *testing.T) {
	p := New(1, 2)
	func() {
		defer func() { recover() }()
		p.Do(t.Context(), "a", 1, func() { panic("x") })
	}()
	if err := p.Do(t.Context(), "a", 1, func() {}); err != nil || p.idle != 1 {
		t.Error(p.idle, err)
	}
}

// TestMemory: clients that are gone are forgotten.
func TestMemory(t *testing.T) {
	p := New(2, 8)
	for i := range 1000 {
		if err := p.Do(t.Context(), fmt.Sprint(i), 1, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.clients); n > 2*8 {
		t.Errorf("%d clients are remembered", n)
	}
}

func BenchmarkDo(b *testing.B) {
	p := New(2, 1024)
	b.ReportAllocs()
	for b.Loop() {
		p.Do(b.Context(), "client", 1, func() {})
	}
}
