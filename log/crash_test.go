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

// crashing is a log on a database that another replica writes to, and that can
// be made to refuse to say what is durable.
type crashing struct {
	*world
	memory *memory.Store
	logID  int64
	mute   atomic.Bool
	shut   atomic.Bool // it appends nothing either
}

func newCrashing(t *testing.T) (*crashing, Config) {
	t.Helper()
	c := &crashing{memory: memory.New()}
	c.world = newWorld(t, c.memory)
	cfg := c.config(t)
	c.logID = cfg.Record.ID
	cfg.Store = faulty.Wrap(c.memory, func(op faulty.Op) faulty.Fault {
		if c.mute.Load() && (op == faulty.DurableHead || op == faulty.TxTouch) {
			return faulty.Fail
		}
		if c.shut.Load() && (op == faulty.BeginAppend || op == faulty.TxWrite) {
			return faulty.Fail
		}
		return faulty.None
	})
	return c, cfg
}

// other appends as another replica does, whose commit is seen and not durable.
func (c *crashing) other(t *testing.T, names ...string) {
	t.Helper()
	tx, err := c.memory.BeginAppend(t.Context(), c.logID)
	if err != nil {
		t.Fatal(err)
	}
	head := tx.Head()
	edge, err := loadEdge(t.Context(), tx, head.Size)
	if err != nil {
		t.Fatal(err)
	}
	var items []*item
	for i, name := range names {
		e := raw(t, name)
		items = append(items, &item{leaf: e.LeafHash(), body: e.Canonical(), index: head.Size + int64(i)})
	}
	_, write := plan(edge, items, head.IntegratedAt)
	if err := tx.Write(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (c *crashing) registered(t *testing.T) int64 {
	t.Helper()
	state, err := c.register.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.Newest.Size
}

// Another replica's entries were seen, and were lost in a crash before they were
// durable; others took their places. That is no rollback, and no fork: nobody
// was promised anything.
func TestSeenAndLost(t *testing.T) {
	for name, after := range map[string][]string{"shorter": nil, "as long": {"y0", "y1", "y2"}, "longer": {"y0", "y1", "y2", "y3", "y4"}} {
		t.Run(name, func(t *testing.T) {
			c, cfg := newCrashing(t)
			l, _ := start(t, cfg)
			add(t, l, "a")
			crash := c.memory.Remember(c.logID)
			c.other(t, "x0", "x1", "x2")
			c.mute.Store(true)
			// It is in the log already, as far as can be seen; but whether it
			// stays nobody can say.
			got := make(chan Receipt, 1)
			e := raw(t, "x1")
			go func() {
				r, err := l.Add(context.WithoutCancel(t.Context()), e)
				if err != nil {
					t.Error(err)
				}
				got <- r
			}()
			poll(t, "asked", func() bool { return l.Ready() != nil })
			if n := c.registered(t); n != 1 {
				t.Fatalf("size %d was registered before it was durable", n)
			}
			c.shut.Store(true) // the other replica is the first to append again
			crash()
			if after != nil {
				c.other(t, after...)
			}
			c.mute.Store(false)
			c.shut.Store(false)
			r := <-got
			checkReceipt(t, l, e, r)
			if want := int64(1 + len(after)); r.Index != want {
				t.Errorf("index %d; want %d", r.Index, want)
			}
			add(t, l, "and on")
			checkWhole(t, l)
		})
	}
}

// While another replica's last entries may be lost yet, one's own are published.
func TestOwnEntriesDoNotWaitForOthers(t *testing.T) {
	c, cfg := newCrashing(t)
	g := gate{make(chan error, 100)}
	cfg.Witness = g
	l, _ := start(t, cfg)
	g.pass <- nil
	if _, err := l.AwaitNewer(deadline(t), -1); err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t)
	var got []chan Receipt
	for i, name := range []string{"first", "second"} {
		got = append(got, make(chan Receipt, 1))
		go func() {
			r, err := l.Add(context.WithoutCancel(t.Context()), raw(t, name))
			if err != nil {
				t.Error(err)
			}
			got[i] <- r
		}()
		poll(t, "durable", func() bool {
			h, err := c.memory.Head(ctx, c.logID)
			return err == nil && h.Size == int64(i+1)
		})
	}
	// The first is with the witness; when the second's turn comes, there is more
	// to see.
	c.mute.Store(true)
	crash := c.memory.Remember(c.logID)
	c.other(t, "x0", "x1")
	g.pass <- nil
	g.pass <- nil
	checkReceipt(t, l, raw(t, "first"), <-got[0])
	checkReceipt(t, l, raw(t, "second"), <-got[1])
	if n := c.registered(t); n != 2 {
		t.Fatalf("size %d was registered before it was durable", n)
	}
	crash()
	c.mute.Store(false)
	for range 10 {
		g.pass <- nil
	}
	if r := add(t, l, "next"); r.Index != 2 {
		t.Errorf("index %d", r.Index)
	}
}

// What a process was told was committed cannot be lost without its noticing.
func TestCommittedAndLost(t *testing.T) {
	c, cfg := newCrashing(t)
	l, _ := start(t, cfg)
	add(t, l, "a")
	crash := c.memory.Remember(c.logID)
	add(t, l, "b")
	crash()
	if _, err := l.Add(deadline(t), raw(t, "c")); err == nil {
		t.Fatal("it appended to a database that lost what it had acknowledged")
	}
}

// A published checkpoint that was seen and lost does not keep a replica from
// publishing.
func TestPublishedSeenAndLost(t *testing.T) {
	c, cfg := newCrashing(t)
	followed := make(chan int64, 100)
	cfg.FollowEvery, cfg.Events.Followed = time.Millisecond, func(size int64) { followed <- size }
	l, _ := start(t, cfg)
	add(t, l, "a")
	now, err := c.memory.Published(t.Context(), c.logID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.memory.Publish(t.Context(), c.logID, now); err != nil {
		t.Fatal(err)
	}
	<-followed
	c.memory.Unpublish(c.logID, now)
	add(t, l, "b")
}

// A replica that did not append for long knows what others published.
func TestRollbackBehindOthersPublications(t *testing.T) {
	c, cfg := newCrashing(t)
	cfg.Replica, cfg.FollowEvery = "one", time.Millisecond
	one, _ := start(t, cfg)
	add(t, one, "a")
	crash := c.memory.Remember(c.logID)
	other := cfg
	other.Replica = "two"
	two, stop := start(t, other)
	for _, name := range []string{"b", "c"} {
		add(t, two, name)
	}
	stop()
	if _, err := one.AwaitNewer(deadline(t), 2); err != nil {
		t.Fatal(err)
	}
	crash()
	if _, err := one.Add(deadline(t), raw(t, "d")); !errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
	if h, err := c.memory.Head(t.Context(), c.logID); err != nil || h.Size != 1 {
		t.Errorf("it appended to a database that was put back: %+v, %v", h, err)
	}
}

// Who had an answer from one replica finds the entry on every other at once.
func TestWhatAnotherPublished(t *testing.T) {
	synctest.Test(t, whatAnotherPublished) // readers do not wait for long
}

func whatAnotherPublished(t *testing.T) {
	_, cfg := newCrashing(t)
	cfg.Replica, cfg.FollowEvery = "one", time.Hour
	one, _ := start(t, cfg)
	add(t, one, "a")
	other := cfg
	other.Replica = "two"
	two, _ := start(t, other)
	for i, read := range []func(Receipt) error{
		func(r Receipt) error { _, err := one.Entry(deadline(t), r.Index); return err },
		func(r Receipt) error { _, _, _, err := one.EntryWithProof(deadline(t), r.Index); return err },
		func(r Receipt) error { _, err := one.Lookup(deadline(t), r.LeafHash); return err },
		func(r Receipt) error { _, _, _, err := one.LookupWithProof(deadline(t), r.LeafHash); return err },
		func(r Receipt) error { _, err := one.InclusionProof(deadline(t), r.Index, r.Proof.Size); return err },
		func(r Receipt) error { _, err := one.ConsistencyProof(deadline(t), 1, r.Proof.Size); return err },
	} {
		if err := read(add(t, two, string(rune('b'+i)))); err != nil {
			t.Errorf("read %d: %v", i, err)
		}
	}
	if _, err := one.Entry(deadline(t), 1000); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
