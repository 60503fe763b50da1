package log

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"indelible/storage"
	"indelible/storage/memory"
)

// away is a witness that cannot be reached, and says so after a while. enough is
// what it says of others' checkpoints.
type away struct {
	takes  time.Duration
	enough bool
}

func (a away) Cosign(ctx context.Context, _ []byte, _ Tree) ([]byte, error) {
	if !pause(ctx, a.takes) {
		return nil, ctx.Err()
	}
	return nil, errors.New("no witness can be reached from here")
}

func (a away) Enough([]byte) bool { return a.enough }

func (a away) Confirm(ctx context.Context, note []byte, tree Tree, _ func(context.Context) (int64, error)) error {
	_, err := a.Cosign(ctx, note, tree)
	return err
}

// witnessedBy starts a replica in a synctest bubble.
func (w *world) witnessedBy(t *testing.T, replica string, witness Witness, change ...func(*Config)) (*Log, func()) {
	t.Helper()
	cfg := w.config(t)
	cfg.Replica, cfg.Witness = replica, witness
	for _, f := range change {
		f(&cfg)
	}
	return start(t, cfg)
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A replica that cannot start, since its witnesses are out of its reach, leaves
// publishing to one that can: whether that one comes later or is at work.
func TestWhoCannotStartHandsOver(t *testing.T) {
	t.Run("the other comes later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, memory.New())
			_, stop := w.witnessedBy(t, "bad", away{time.Second, true})
			defer stop()
			pause(t.Context(), 100*time.Millisecond)
			l, stop := w.witnessedBy(t, "good", &slowly{})
			defer stop()
			if _, err := l.Add(within(t, time.Minute), raw(t, "x")); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("the other is at work", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, memory.New())
			l, stop := w.witnessedBy(t, "good", &slowly{})
			defer stop()
			if _, err := l.Add(within(t, time.Minute), raw(t, "x")); err != nil {
				t.Fatal(err)
			}
			_, stop = w.witnessedBy(t, "bad", away{time.Second, false})
			defer stop()
			pause(t.Context(), time.Second)
			if _, err := l.Add(within(t, time.Minute), raw(t, "y")); err != nil {
				t.Error(err)
			}
		})
	})
}

// slowLease is a database that takes a while for a lease that is renewed.
type slowLease struct {
	storage.Store
	takes time.Duration
	asked bool
}

func (s *slowLease) Lease(ctx context.Context, id int64, name, holder string, ttl time.Duration) (storage.Lease, error) {
	if s.asked && !pause(ctx, s.takes) {
		return storage.Lease{}, ctx.Err()
	}
	s.asked = true
	return s.Store.Lease(ctx, id, name, holder, ttl)
}

// mustBeFree takes the lease that a replica should have given up.
func (w *world) mustBeFree(t *testing.T, id int64) {
	t.Helper()
	got, err := w.store.Lease(t.Context(), id, PublishLease, "other", time.Second)
	if err != nil || !got.Held {
		t.Errorf("the lease is still %q's for %s: %v", got.Holder, got.Left, err)
	}
}

// A renewal that is cut off because the witnesses answered does not make a replica
// forget that it has the lease.
func TestTheLeaseIsGivenUpAfterARenewalThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		slow := func(c *Config) { c.Store = &slowLease{Store: w.store, takes: 300 * time.Millisecond} }
		l, stop := w.witnessedBy(t, "a", &slowly{takes: 1100 * time.Millisecond}, slow)
		defer stop()
		if _, err := l.AwaitNewer(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		pause(t.Context(), 4*idleRelease)
		w.mustBeFree(t, l.cfg.Record.ID)
	})
}

func TestTheLeaseIsGivenUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		l, stop := w.witnessedBy(t, "a", &slowly{takes: 20 * time.Second}, func(c *Config) { c.DrainTimeout = time.Second })
		pause(t.Context(), time.Minute)
		got := addLater(t, l, "x")
		pause(t.Context(), time.Second)
		stop()
		if o := <-got; !errors.Is(o.err, ErrStopping) {
			t.Error(o.err)
		}
		w.mustBeFree(t, l.cfg.Record.ID)
	})
}

// A renewal that hangs is a lease that is lost when it runs out.
func TestARenewalThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, memory.New()), &slowly{takes: 20 * time.Second}
		_, stop := w.witnessedBy(t, "hangs", s, func(c *Config) { c.Store = &slowLease{Store: w.store, takes: time.Hour} })
		defer stop()
		pause(t.Context(), time.Millisecond)
		_, stop = w.witnessedBy(t, "well", s)
		defer stop()
		pause(t.Context(), time.Minute)
		if s.most.Load() != 1 {
			t.Errorf("%d replicas asked the witnesses at once", s.most.Load())
		}
	})
}

// The lease can be lost before the first checkpoint is published, to a replica
// that then goes away.
func TestTheLeaseIsLostAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		l, stop := w.witnessedBy(t, "a", &slowly{takes: 20 * time.Second})
		defer stop()
		pause(t.Context(), 100*time.Millisecond)
		if err := w.store.Unlease(t.Context(), l.cfg.Record.ID, PublishLease, "a"); err != nil {
			t.Fatal(err)
		}
		w.mustBeFree(t, l.cfg.Record.ID)
		pause(t.Context(), 2*time.Minute)
		if _, err := l.Published(); err != nil {
			t.Errorf("two minutes later nothing is published: %v", err)
		}
	})
}

// What is published already does not wait for the witnesses of what is not.
func TestAPublishedEntryDoesNotWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, memory.New()), &slowly{}
		l, stop := w.witnessedBy(t, "a", s)
		defer stop()
		add(t, l, "a")
		s.takes = 30 * time.Second
		other := addLater(t, l, "b")
		pause(t.Context(), time.Second)
		if r, err := l.Add(within(t, time.Second), raw(t, "a")); err != nil || !r.Duplicate {
			t.Error(err)
		}
		if o := <-other; o.err != nil {
			t.Error(o.err)
		}
	})
}

// Two replicas of an idle log whose policies differ, as while a policy is
// changed, leave each other's checkpoint alone.
func TestReplicasOfTwoPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		one, two := newCosigning(t, w), newCosigning(t, w)
		two.key = cosignerOf(t, "witness.example/w2", 10)
		a, stop := w.witnessedBy(t, "a", one)
		defer stop()
		add(t, a, "x")
		b, stop := w.witnessedBy(t, "b", two)
		defer stop()
		pause(t.Context(), 10*time.Second)
		asked := one.count() + two.count()
		for range 100 {
			pause(t.Context(), time.Second)
			if err := errors.Join(a.Ready(), b.Ready()); err != nil {
				t.Fatal(err)
			}
		}
		if more := one.count() + two.count() - asked; more != 0 {
			t.Errorf("idle for 100 s, they asked the witnesses %d times", more)
		}
	})
}
