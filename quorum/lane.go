package quorum

import (
	"context"
	"errors"
	"sync"
	"time"

	"indelible/checkpoint"
)

// errSuperseded: a newer checkpoint took the place of one that was waiting for
// a slow witness.
var errSuperseded = errors.New("still busy with an older checkpoint, and asked for a newer one next")

// lane is one witness. It is asked for one checkpoint at a time.
type lane struct {
	w       *Witnesses
	witness checkpoint.PolicyWitness

	mu      sync.Mutex
	busy    bool
	next    *round // the newest that waits
	nextCtx context.Context

	// Used by the goroutine that is busy:
	size      int64     // what the witness cosigned last, as far as we know
	notBefore time.Time // when it wants to be asked again
}

func newLane(w *Witnesses, pw checkpoint.PolicyWitness) *lane {
	return &lane{w: w, witness: pw}
}

// ask has the witness asked, now or as soon as it has answered.
func (l *lane) ask(ctx context.Context, r *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		if l.next != nil {
			l.next.answer <- answer{lane: l, err: errSuperseded}
		}
		l.next, l.nextCtx = r, ctx
		return
	}
	l.busy = true
	go l.run(ctx, r)
}

// run asks until nothing waits.
func (l *lane) run(ctx context.Context, r *round) {
	for r != nil {
		start := time.Now()
		signatures, err := l.cosign(ctx, r)
		if l.w.cfg.Answered != nil {
			l.w.cfg.Answered(l.witness.Name, time.Since(start), err)
		}
		r.answer <- answer{l, signatures, err}
		ctx, r = l.take()
	}
}

// take returns the round that waits; nil if there is none, and then the lane is
// free.
func (l *lane) take() (context.Context, *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, r := l.nextCtx, l.next
	l.nextCtx, l.next = nil, nil
	l.busy = r != nil
	return ctx, r
}
