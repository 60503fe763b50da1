package quorum

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/mirror/push"
)

// errSuperseded: a newer checkpoint took the place of one that was waiting for
// a slow witness.
var errSuperseded = errors.New("still busy with an older checkpoint, and asked for a newer one next")

const (
	// firstRest is for how long a witness that failed once is not asked, and
	// maxRest for how long one that fails again and again.
	firstRest = time.Second
	maxRest   = time.Minute
)

// lane is one witness. It is asked for one checkpoint at a time.
type lane struct {
	w       *Witnesses
	witness checkpoint.PolicyWitness
	mirror  *push.Client // nil: it is a witness alone

	mu      sync.Mutex
	busy    bool
	next    *round // the newest that waits
	nextCtx context.Context

	failures  int       // since it cosigned last
	notBefore time.Time // it is not asked before
	alone     bool      // it asked for that itself
	last      error     // why it did not cosign
	claim     *Claim    // what it said since it cosigned last

	// Used by the goroutine that is busy:
	size  int64 // what the witness cosigned last, as far as we know
	lacks int64 // the first entry that the mirror does not have
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
		r.answer <- l.cosign(ctx, r)
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

// resting is why the witness is not asked at present; nil if it may be.
func (l *lane) resting() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := time.Until(l.notBefore).Round(time.Millisecond)
	switch {
	case wait <= 0:
		return nil
	case l.alone:
		return fmt.Errorf("it asked to be left alone for another %s: %w", wait, l.last)
	}
	return fmt.Errorf("%w (it is asked again in %s)", l.last, wait)
}

// claimed is what the witness said since it cosigned last; nil for nothing.
func (l *lane) claimed() *Claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claim
}

// leaveAlone is for a witness that says when it wants to be asked again.
func (l *lane) leaveAlone(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alone, l.notBefore = d > 0, time.Now().Add(d)
}

// settle keeps the cosignature of a witness, or lets one rest that failed: for
// about a second, and each time longer, up to 30 to 60 s.
func (l *lane) settle(r *round, signatures []checkpoint.Signature, err error) {
	if err == nil {
		l.w.keep(r, l, signatures)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.failures, l.notBefore, l.alone, l.last, l.claim = 0, time.Time{}, false, nil, nil
		return
	case errors.Is(err, errProof), errors.Is(err, errAhead) && !r.confirm:
		return // the witness is well
	}
	rest := min(firstRest<<min(l.failures, 10), maxRest)
	rest -= rand.N(rest / 2) // so that a log's replicas, and many logs, do not ask in step
	l.failures++
	l.last = err
	if until := time.Now().Add(rest); until.After(l.notBefore) {
		l.notBefore, l.alone = until, false
	}
}
