package bytecache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func sizeOf(_ int, v string) int64 { return int64(len(v)) }

func value(n int) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return string(make([]byte, n)), nil }
}

func TestStaysWithinItsBound(t *testing.T) {
	const limit = 10 * (1000 + overhead)
	c := New(limit, sizeOf)
	for i := range 1000 {
		if v, err := c.Get(t.Context(), i, value(1000)); err != nil || len(v) != 1000 {
			t.Fatal(len(v), err)
		}
		if c.Bytes() > limit {
			t.Fatalf("%d bytes of %d", c.Bytes(), limit)
		}
	}
	for i := range 1000 {
		if _, ok := c.Peek(i); ok != (i >= 990) {
			t.Fatalf("%d there: %v", i, ok)
		}
	}
	if v, err := c.Get(t.Context(), 5000, value(limit)); err != nil || len(v) != limit {
		t.Fatal("a value bigger than the cache was not handed out")
	}
	if _, ok := c.Peek(5000); ok {
		t.Fatal("a value bigger than the cache was kept")
	}
}

func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := New(2*(1+overhead), sizeOf)
	c.Add(1, "a")
	c.Add(2, "b")
	c.Peek(1)
	c.Add(3, "c")
	if _, ok := c.Peek(2); ok {
		t.Fatal("2 is still there")
	}
	if v, _ := c.Peek(1); v != "a" {
		t.Fatal("1 is gone")
	}
	c.Add(1, "d")
	if v, _ := c.Peek(1); v != "d" || c.Bytes() != 2*(1+overhead) {
		t.Fatalf("%q, %d bytes", v, c.Bytes())
	}
}

func TestOneLoadServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1<<20, sizeOf)
		release := make(chan struct{})
		var loads atomic.Int32
		slow := func(context.Context) (string, error) {
			loads.Add(1)
			<-release
			return "x", nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		get := func() {
			if v, err := c.Get(t.Context(), 1, slow); v != "x" || err != nil {
				t.Error(v, err)
			}
		}
		wg.Go(get)
		synctest.Wait() // this one loads
		for range 4 {
			wg.Go(get)
		}
		wg.Go(func() {
			if _, err := c.Get(ctx, 1, slow); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if loads.Load() != 1 {
			t.Fatalf("%d loads", loads.Load())
		}
	})
}

func TestALoadNobodyWaitsForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1<<20, sizeOf)
		ctx, cancel := context.WithCancel(t.Context())
		ended := false
		stuck := func(ctx context.Context) (string, error) {
			<-ctx.Done()
			ended = true
			return "late", ctx.Err()
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := c.Get(ctx, 1, stuck); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if v, err := c.Get(t.Context(), 1, value(3)); len(v) != 3 || err != nil {
			t.Fatalf("the next one got %q, %v", v, err)
		}
		synctest.Wait()
		if !ended {
			t.Fatal("the load goes on")
		}
	})
}

// Who runs a load has its own time for it, however many others come meanwhile.
func TestWhoLoadsMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1<<20, sizeOf)
		hangs := func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, others := make(chan error), sync.WaitGroup{}
		go func() {
			_, err := c.Get(ctx, 1, hangs)
			first <- err
		}()
		synctest.Wait()
		for range 5 {
			others.Go(func() {
				if v, err := c.Get(t.Context(), 1, value(3)); len(v) != 3 || err != nil {
					t.Errorf("another got %q, %v", v, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		others.Wait()
	})
}

func TestALoadThatPanicsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1<<20, sizeOf)
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() {
				if recover() != "broken" {
					t.Error("the panic was lost")
				}
			}()
			c.Get(t.Context(), 1, func(context.Context) (string, error) {
				<-release
				panic("broken")
			})
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := c.Get(t.Context(), 1, value(3)); !errors.Is(err, errPanicked) {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(release)
		wg.Wait()
		if v, err := c.Get(t.Context(), 1, value(3)); len(v) != 3 || err != nil {
			t.Fatalf("the next one got %q, %v", v, err)
		}
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	c := New(1<<20, sizeOf)
	bad := errors.New("bad")
	if _, err := c.Get(t.Context(), 1, func(context.Context) (string, error) { return "", bad }); !errors.Is(err, bad) {
		t.Fatal(err)
	}
	if v, err := c.Get(t.Context(), 1, value(3)); len(v) != 3 || err != nil {
		t.Fatal(v, err)
	}
}

func BenchmarkPeek(b *testing.B) {
	c := New(1<<20, sizeOf)
	c.Add(1, "x")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Peek(1)
		}
	})
}
