package log

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/storage/memory"
)

// A log that is given a policy does not go on showing what it published before.
func TestWhatLacksTheQuorumIsNotShown(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	l, stop := start(t, cfg)
	e := raw(t, "a")
	add(t, l, "a")
	stop()

	c := newCosigning(t, w)
	c.fail = errors.New("the witness is away")
	cfg.Witness = c
	l, _ = start(t, cfg)
	poll(t, "it is in trouble", func() bool { return errors.Is(l.Ready(), ErrUnwitnessed) })
	if p, err := l.Published(); err == nil {
		t.Errorf("it shows size %d without a cosignature", p.Size)
	}
	if _, err := l.Lookup(deadline(t), e.LeafHash()); !errors.Is(err, ErrUnwitnessed) {
		t.Errorf("Lookup: %v", err)
	}
	again := addLater(t, l, "a")
	c.set(func() { c.fail = nil })
	if got := <-again; got.err != nil || !got.receipt.Duplicate || !c.Enough(got.receipt.Checkpoint.Note) {
		t.Errorf("the same entry again: %+v", got)
	}
	if c.cosignedAt(t, l) == 0 {
		t.Error("it shows a checkpoint without a cosignature")
	}
}

// A replica that has no policy does not make the others show what it publishes.
func TestAReplicaWithoutThePolicy(t *testing.T) {
	w := newWorld(t, memory.New())
	c := newCosigning(t, w)
	witnessed, without := w.config(t), w.config(t)
	witnessed.Witness, witnessed.FollowEvery = c, 5*time.Millisecond
	a, _ := start(t, witnessed)
	b, stop := start(t, without)
	poll(t, "both are ready", func() bool { return a.Ready() == nil && b.Ready() == nil })
	for i := range 10 {
		add(t, b, string(rune('a'+i)))
		if c.cosignedAt(t, a) == 0 {
			t.Fatal("it shows a checkpoint without a cosignature")
		}
	}
	stop()
	poll(t, "the whole log is cosigned", func() bool { p, err := a.Published(); return err == nil && p.Size == 10 })
	if c.cosignedAt(t, a) == 0 {
		t.Fatal("it shows a checkpoint without a cosignature")
	}
	poll(t, "it is well", func() bool { return a.Ready() == nil })
}

// slowly is a witness that takes its time, and counts who asks at once.
type slowly struct {
	takes     time.Duration
	now, most atomic.Int64
}

func (s *slowly) Cosign(ctx context.Context, note []byte, _ Tree) ([]byte, error) {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
	}
	if !pause(ctx, s.takes) {
		return nil, ctx.Err()
	}
	return note, nil
}

func (*slowly) Enough([]byte) bool { return true }

func (*slowly) Confirm(context.Context, []byte, Tree, func(context.Context) (int64, error)) error {
	return nil
}

// Waiting for witnesses longer than a lease lasts makes no second publisher.
func TestOnePublisherHoweverSlowTheWitnesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		s := &slowly{takes: 20 * time.Second}
		var logs []*Log
		for range 3 {
			cfg := w.config(t)
			cfg.Witness = s
			l, stop := start(t, cfg)
			defer stop()
			logs = append(logs, l)
		}
		var wg sync.WaitGroup
		for i, l := range logs {
			wg.Go(func() {
				if _, err := l.Add(t.Context(), raw(t, string(rune('a'+i)))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s.most.Load() != 1 {
			t.Errorf("%d replicas asked the witnesses at once", s.most.Load())
		}
	})
}
