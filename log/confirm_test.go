package log

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/checkpoint"
	"indelible/storage"
	"indelible/storage/memory"
)

// size is how much the database holds of the log.
func (w *world) size(t *testing.T) int64 {
	t.Helper()
	rec, err := w.store.FindLog(t.Context(), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	h, err := w.store.Head(t.Context(), rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	return h.Size
}

// still reports that nothing more than a size was appended, registered or
// published.
func (w *world) still(t *testing.T, size int64) {
	t.Helper()
	state, err := w.register.Read(t.Context())
	if err != nil || state.Poisoned != "" {
		t.Fatalf("%+v, %v", state, err)
	}
	rec, err := w.store.FindLog(t.Context(), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := w.store.Published(t.Context(), rec.ID)
	if got := w.size(t); err != nil || got != size || state.Newest.Size != size || pub.Size != size {
		t.Errorf("size %d is in the database, %d in the register, %d published, and all should be %d: %v", got, state.Newest.Size, pub.Size, size, err)
	}
}

// A log whose witness cosigned more than the register knows, and shows nothing,
// appends and signs nothing, serves its readers, and goes on when the witness
// confirms it. Nothing is poisoned: there is no proof.
func TestNothingIsAppendedOverAWitnessThatKnowsMore(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	c := newCosigning(t, w)
	cfg.Witness, cfg.DrainTimeout = c, time.Nanosecond
	l, stop := start(t, cfg)
	add(t, l, "a")
	stop()
	seen := c.seen
	c.seen = checkpoint.Checkpoint{Origin: testOrigin, Size: 7} // of what was restored together
	for range 2 {
		l, stop = start(t, cfg)
		got := addLater(t, l, "b")
		poll(t, "it says why", func() bool {
			err := l.Ready()
			return errors.Is(err, ErrUnwitnessed) && strings.Contains(err.Error(), "it cosigned size 7, and size 1 is known")
		})
		if r, err := l.Entry(t.Context(), 0); err != nil || r.Index != 0 {
			t.Errorf("reads do not go on: %v", err)
		}
		w.still(t, 1)
		stop()
		if o := <-got; !errors.Is(o.err, ErrStopping) {
			t.Errorf("%+v", o)
		}
	}
	l, _ = start(t, cfg)
	poll(t, "it is held", func() bool { return errors.Is(l.Ready(), ErrUnwitnessed) })
	c.set(func() { c.seen = seen })
	add(t, l, "b")
	poll(t, "it is ready", func() bool { return l.Ready() == nil })
	checkWhole(t, l)
}

// A start asks once, for what is published.
func TestAStartAsksOnce(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	c := newCosigning(t, w)
	cfg.Witness = c
	for i := range int64(3) {
		l, stop := start(t, cfg)
		add(t, l, string(rune('a'+i)))
		if want := []int64{0, 1, 2}[:i+1]; !slices.Equal(c.after, want) {
			t.Errorf("start %d: asked for sizes %v, not %v", i, c.after, want)
		}
		stop()
	}
}

// A server that ended after a witness had cosigned, and before the checkpoint was
// published, goes on: the register knows that head.
func TestCosignedAndNotPublished(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	c := newCosigning(t, w)
	cfg.Witness, cfg.DrainTimeout = c, time.Nanosecond
	s := &unpublishing{Store: w.store}
	cfg.Store = s
	l, stop := start(t, cfg)
	add(t, l, "a")
	s.fail = true
	got := addLater(t, l, "b")
	poll(t, "the witness cosigned it", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.seen.Size == 2
	})
	stop()
	<-got
	cfg.Store = w.store
	l, _ = start(t, cfg)
	if r := add(t, l, "c"); r.Index != 2 {
		t.Errorf("index %d", r.Index)
	}
	if !slices.Equal(c.after, []int64{0, 2}) {
		t.Errorf("asked for sizes %v", c.after)
	}
	checkWhole(t, l)
}

// unpublishing cannot publish when it fails.
type unpublishing struct {
	storage.Store
	fail bool
}

func (u *unpublishing) Publish(ctx context.Context, logID int64, p storage.Published) (int64, error) {
	if u.fail {
		return 0, errors.New("the database is away")
	}
	return u.Store.Publish(ctx, logID, p)
}

// A claim that comes while a log runs stops it until all witnesses confirm it; what
// the register knows by then is no claim.
func TestAClaimStopsARunningLog(t *testing.T) {
	for name, test := range map[string]struct {
		claim Claim
		holds bool
	}{
		"more than the register knows": {Claim{Witness: "w2", Size: 3}, true},
		"another tree":                 {Claim{Witness: "w2", Other: true}, true},
		"what the register knows":      {Claim{Witness: "w2", Size: 2}, false},
		"nothing":                      {Claim{Witness: "w2"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, memory.New())
			cfg := w.config(t)
			c := newCosigning(t, w)
			cfg.Witness = c
			l, _ := start(t, cfg)
			add(t, l, "a")
			add(t, l, "b")
			c.set(func() { c.fail = errors.New("it is away") })
			l.Ahead(test.claim)
			if !test.holds {
				c.set(func() { c.fail = nil })
				add(t, l, "c")
				if len(c.after) != 1 {
					t.Errorf("confirmed %v", c.after)
				}
				return
			}
			poll(t, "it is held", func() bool { return errors.Is(l.Ready(), ErrUnwitnessed) })
			got := addLater(t, l, "c")
			w.still(t, 2)
			c.set(func() { c.fail = nil })
			if o := <-got; o.err != nil || o.receipt.Index != 2 {
				t.Errorf("%+v", o)
			}
			if !slices.Equal(c.after, []int64{0, 2}) {
				t.Errorf("confirmed %v", c.after)
			}
		})
	}
}

// Two replicas. One starts beside the other at work: what that one published
// meanwhile is no reason to stop. One that has watched asks again before it
// publishes for the first time.
func TestReplicasAreConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		c := newCosigning(t, w)
		cfg := w.config(t)
		cfg.Witness = c
		a, stopA := start(t, cfg)
		defer stopA()
		second := w.config(t)
		watches := &racing{cosigning: c, before: func() { add(t, a, "while it asks") }} // the first time
		second.Witness = watches
		b, stopB := start(t, second)
		defer stopB()
		time.Sleep(time.Minute)
		if err := b.Ready(); err != nil {
			t.Fatal(err)
		}
		add(t, a, "and after")
		time.Sleep(time.Minute)
		watches.before = func() {
			got := addLater(t, b, "and again")
			time.Sleep(time.Second)
			if n := w.size(t); n != 3 {
				t.Errorf("size %d was appended while the witnesses are asked, and not 3", n)
			}
			go func() { <-got }()
		}
		add(t, b, "by the other")
		add(t, b, "at last")
		if !slices.Equal(watches.asked, []int64{0, 2}) {
			t.Errorf("it asked for sizes %v", watches.asked)
		}
	})
}

// A claim that comes while a log is being confirmed counts, whatever the witnesses that
// were asked say: nothing is appended before they were asked once more.
func TestAClaimDuringConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		cfg := w.config(t)
		r := &racing{cosigning: newCosigning(t, w)}
		cfg.Witness = r
		started, added := make(chan *Log, 1), make(chan (<-chan outcome), 1)
		r.before = func() {
			if len(r.asked) == 0 {
				l := <-started
				added <- addLater(t, l, "a")
				l.Ahead(Claim{Witness: "w2", Size: 3})
			}
			time.Sleep(time.Second)
			if n := w.size(t); n != 0 {
				t.Errorf("size %d was appended over a claim", n)
			}
		}
		l, stop := start(t, cfg)
		started <- l
		o := <-<-added
		stop()
		if o.err != nil || len(r.asked) != 2 {
			t.Errorf("%+v, asked for sizes %v", o, r.asked)
		}
	})
}

// A replica that was cut off while its log went on and was restored with its
// register asks before it publishes.
func TestAReplicaThatMissedWhatWasSigned(t *testing.T) {
	w := newWorld(t, memory.New())
	c := newCosigning(t, w)
	cfg := w.config(t)
	cfg.Witness = c
	a, stopA := start(t, cfg)
	add(t, a, "a")
	second := w.config(t)
	second.Witness = c
	b, _ := start(t, second)
	poll(t, "both are ready", func() bool { return b.Ready() == nil })
	add(t, a, "b")
	poll(t, "it follows", func() bool { p, err := b.Published(); return err == nil && p.Size == 2 })
	stopA()
	seen := c.seen
	c.set(func() { c.seen.Size = 9 })
	got := addLater(t, b, "c")
	poll(t, "it is held", func() bool { return errors.Is(b.Ready(), ErrUnwitnessed) })
	state, err := w.register.Read(t.Context())
	if err != nil || state.Newest.Size != 2 {
		t.Errorf("size %d is registered: %v", state.Newest.Size, err)
	}
	c.set(func() { c.seen = seen })
	if o := <-got; o.err != nil {
		t.Error(o.err)
	}
}

// racing is a witness that does something before it answers.
type racing struct {
	*cosigning
	before func()
	asked  []int64
}

func (r *racing) Confirm(ctx context.Context, note []byte, tree Tree, known func(context.Context) (int64, error)) error {
	o, err := checkpoint.Open(note, r.log)
	if err != nil {
		return err
	}
	r.before()
	r.asked = append(r.asked, o.Size)
	return r.cosigning.Confirm(ctx, note, tree, known)
}
