package log

import (
	"context"
	"errors"
	"testing"
	"time"

	"indelible/storage/memory"
)

// A log that starts while its witnesses are away appends what it is given, says
// what it waits for, and publishes all of it when they are back: what another
// process left unpublished, and the first checkpoint.
func TestAppendsThoughTheWitnessIsAwayFromTheStart(t *testing.T) {
	w := newWorld(t, memory.New())
	c := newCosigning(t, w)
	c.fail = errors.New("the witness is away")
	cfg := w.config(t)
	cfg.Witness, cfg.DrainTimeout = c, time.Nanosecond
	for i, name := range []string{"on an empty log", "on a tail that was not published"} {
		l, stop := start(t, cfg)
		got := addLater(t, l, name)
		w.durable(t, l, int64(i+1))
		if p, err := l.Published(); err == nil {
			t.Errorf("it shows size %d without a cosignature", p.Size)
		}
		poll(t, "it says what it waits for", func() bool { return errors.Is(l.Ready(), ErrUnwitnessed) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := l.Add(ctx, raw(t, name)); !errors.Is(err, ErrUnwitnessed) {
			t.Errorf("an add that is overdue is told: %v", err)
		}
		cancel()
		stop()
		if o := <-got; !errors.Is(o.err, ErrStopping) {
			t.Errorf("the add: %v", o.err)
		}
	}
	l, _ := start(t, cfg)
	got := addLater(t, l, "on both")
	w.durable(t, l, 3)
	c.set(func() { c.fail = nil })
	if o := <-got; o.err != nil || o.receipt.Index != 2 || !c.Enough(o.receipt.Checkpoint.Note) {
		t.Errorf("%+v", o)
	}
	checkWhole(t, l)
}
