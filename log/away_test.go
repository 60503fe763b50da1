package log

import (
	"context"
	"errors"
	"testing"
	"time"

	"indelible/storage/memory"
)

// A log whose witnesses go away while it runs appends what it is given. One that
// starts while they are away appends nothing: nobody has confirmed that it knows
// all that was signed. It says what it waits for, and goes on when they are back,
// with what another process left unpublished.
func TestAppendsNothingThoughTheWitnessIsAwayFromTheStart(t *testing.T) {
	w := newWorld(t, memory.New())
	c := newCosigning(t, w)
	c.fail = errors.New("the witness is away")
	cfg := w.config(t)
	cfg.Witness, cfg.DrainTimeout = c, time.Nanosecond
	// waits starts a log that must not append, and stops it.
	waits := func(size int64) {
		t.Helper()
		l, stop := start(t, cfg)
		got := addLater(t, l, "while it is away")
		poll(t, "it says what it waits for", func() bool { return errors.Is(l.Ready(), ErrUnwitnessed) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := l.Add(ctx, raw(t, "while it is away")); !errors.Is(err, ErrUnwitnessed) {
			t.Errorf("an add that is overdue is told: %v", err)
		}
		cancel()
		stop()
		if o := <-got; !errors.Is(o.err, ErrStopping) {
			t.Errorf("the add: %v", o.err)
		}
		if h, err := w.store.Head(t.Context(), cfg.Record.ID); err != nil || h.Size != size {
			t.Errorf("the database has size %d: %v", h.Size, err)
		}
	}
	waits(0)

	c.set(func() { c.fail = nil })
	l, stop := start(t, cfg)
	poll(t, "the first checkpoint", func() bool { return l.Ready() == nil })
	c.set(func() { c.fail = errors.New("the witness is away") })
	got := addLater(t, l, "the tail")
	w.durable(t, l, 1)
	if p, err := l.Published(); err != nil || p.Size != 0 {
		t.Errorf("it shows size %d without a cosignature: %v", p.Size, err)
	}
	stop()
	<-got
	waits(1)

	l, _ = start(t, cfg)
	got = addLater(t, l, "on the tail")
	c.set(func() { c.fail = nil })
	if o := <-got; o.err != nil || o.receipt.Index != 1 || !c.Enough(o.receipt.Checkpoint.Note) {
		t.Errorf("%+v", o)
	}
	checkWhole(t, l)
}
