package log

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
)

const (
	// watchEvery is how often at most a replica with waiters looks for the
	// publication of another, which holds the lease; see rhythm.
	watchEvery = 2 * time.Millisecond
	// askRegisterEvery is how often at most a replica that does not publish looks
	// whether the log was poisoned. The register may be far away.
	askRegisterEvery = 100 * time.Millisecond
	// historyEvery is how often a published checkpoint is kept for good.
	historyEvery = time.Second
)

// publisher turns durable tree heads into published checkpoints. Only its
// goroutine touches it, and those that it starts and waits for, which own a part
// meanwhile; except for the list of batches that wait.
type publisher struct {
	l *Log

	// edge is the right edge of the verified tree: it begins at the register's
	// head, and was carried forward over entries read back and hashed.
	edge merkle.Edge
	// registered is the edge's head, as the register has it.
	registered guard.Head
	// began is when the edge was last carried forward.
	began time.Time
	// version is the row version of the published checkpoint as last seen, and
	// uncosigned whether that one must not be shown.
	version    int64
	uncosigned bool
	apart      bool // the row has another note of the tree that we show
	// owed is the size that was durable when the log started, to be published
	// though nobody waits for it: an empty log has its first checkpoint.
	owed int64
	// kept is when a checkpoint was last put into the history.
	kept time.Time
	// confirmed is the size of the newest head that the witnesses confirmed, and
	// led whether they did when this replica first held the lease.
	confirmed int64
	led       bool

	lease      storage.Lease
	leaseUntil time.Time // by our clock, from before we asked: never too late
	askAgain   time.Time // when to ask again for a lease that another holds
	rhythm     rhythm    // of the publications of another
	asked      time.Time // when the register was last asked whether the log is poisoned

	mu      sync.Mutex
	waiting []*batch      // appended, not yet published
	wake    chan struct{} // capacity 1
}

// take accepts an appended batch, which is settled when its entries are
// published.
func (p *publisher) take(b *batch) {
	if b.needs <= p.published() {
		p.l.queue.settle(b, nil)
		return
	}
	p.mu.Lock()
	p.waiting = append(p.waiting, b)
	p.mu.Unlock()
	p.rouse()
}

// rouse ends the publisher's rest.
func (p *publisher) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// needs is the published size that the waiting batches ask for; -1 for none.
func (p *publisher) needs() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := int64(-1)
	for _, b := range p.waiting {
		size = max(size, b.needs)
	}
	return size
}

// due is the size that is to be published.
func (p *publisher) due() int64 { return max(p.needs(), p.owed) }

// settle answers the batches that the published size covers.
func (p *publisher) settle(size int64) {
	p.mu.Lock()
	var done []*batch
	rest := p.waiting[:0]
	for _, b := range p.waiting {
		if b.needs <= size {
			done = append(done, b)
		} else {
			rest = append(rest, b)
		}
	}
	clear(p.waiting[len(rest):])
	p.waiting = rest
	p.mu.Unlock()
	for _, b := range done {
		p.l.queue.settle(b, nil)
	}
}

// run publishes until appended is closed and nothing waits, or ctx ends.
func (p *publisher) run(ctx context.Context, appended <-chan struct{}) {
	defer p.release(context.WithoutCancel(ctx))
	wait := newBackoff()
	for {
		version := p.version
		err := p.step(ctx)
		p.settle(p.published())
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			// Somebody published, or there is nothing to publish. That another
			// replica has the lease mends nothing yet.
			if p.version != version || p.due() <= p.published() {
				wait = newBackoff()
				p.l.failing(stagePublish, nil)
			}
			if !p.rest(ctx, appended) {
				return
			}
		default:
			p.failed(ctx, err)
			// Another replica may reach the register or the witnesses that we do not.
			p.release(ctx)
			if p.done(appended) || !wait.sleep(ctx) {
				return
			}
		}
	}
}

// done reports whether nothing waits, and nothing will.
func (p *publisher) done(appended <-chan struct{}) bool {
	select {
	case <-appended:
		return p.needs() <= p.published()
	default:
		return false
	}
}

// failed decides what an error means: poison, or another try.
func (p *publisher) failed(ctx context.Context, err error) {
	if reason, ok := contradicts(err); ok {
		p.l.poison(ctx, reason)
		return
	}
	p.l.failing(stagePublish, err)
}

// rest waits until there is something to do. It reports false when there never
// will be again.
func (p *publisher) rest(ctx context.Context, appended <-chan struct{}) bool {
	if p.needs() > p.published() {
		if p.leased(time.Now()) {
			return true // a batch came since
		}
		// Another replica holds the lease and publishes for us.
		return pause(ctx, p.rhythm.wait())
	}
	idle := time.NewTimer(p.idle())
	defer idle.Stop()
	select {
	case <-p.wake:
	case <-idle.C:
		p.release(ctx)
	case <-appended:
		return !p.done(appended)
	case <-ctx.Done():
		return false
	}
	return true
}

// idle is how long to rest when nothing waits.
func (p *publisher) idle() time.Duration {
	if p.lease.Held {
		return idleRelease
	}
	return p.l.cfg.FollowEvery
}

func (p *publisher) published() int64 {
	if v := p.l.view.Load(); v != nil {
		return v.Size
	}
	return -1
}

// step publishes what is durable, if it is for us to publish, or else sees
// what another replica published.
func (p *publisher) step(ctx context.Context) error {
	if p.l.refusal() != nil {
		return p.idlePoisoned(ctx)
	}
	if err := p.judgeClaims(ctx); err != nil {
		return err
	}
	if !p.l.confirmed.Load() {
		if err := p.confirm(ctx); err != nil {
			return err
		}
	}
	if p.due() <= p.published() {
		// Not while entries wait, nor at once when a cosignature has come (it is
		// no reason to wake up): the next checkpoint will mostly take this one's
		// place, and a write of its own would hold that up.
		if err := p.mergeLate(ctx); err != nil {
			return err
		}
		if !p.stale() {
			return p.watch(ctx)
		}
	}
	held, err := p.holdLease(ctx)
	if held && !p.led {
		if err := p.confirmFirst(ctx); err != nil {
			return err
		}
		held, err = p.holdLease(ctx) // that may have taken long
	}
	if err != nil {
		return err
	}
	if !held {
		return p.watch(ctx)
	}
	return p.publish(ctx)
}

// watch sees what another replica published, and now and then whether it found
// a reason to stop: who publishes reads the register for each checkpoint, and
// who watches need not read it as often as it looks.
func (p *publisher) watch(ctx context.Context) error {
	unread := p.checkPoison(ctx)
	if _, ok := contradicts(unread); ok {
		return unread
	}
	// What another replica published, it registered, and it is shown even while
	// we cannot ask the register ourselves.
	return errors.Join(p.follow(ctx), unread)
}

// idlePoisoned is the step of a poisoned log: nothing that waits will be
// published, and the poison is recorded if that failed before.
func (p *publisher) idlePoisoned(ctx context.Context) error {
	p.mu.Lock()
	p.waiting, p.owed = nil, -1
	p.mu.Unlock()
	if p.l.unrecorded() {
		p.l.recordPoison(ctx)
	}
	return nil
}

// checkPoison learns of poison that another replica found.
func (p *publisher) checkPoison(ctx context.Context) error {
	now := time.Now()
	if now.Sub(p.asked) < askRegisterEvery {
		return nil
	}
	reason, err := p.l.cfg.Register.Poisoned(ctx)
	if err != nil {
		return fmt.Errorf("read the register: %w", err)
	}
	if reason != "" {
		return contradiction{reason}
	}
	p.asked = now
	return nil
}

// publish brings durable heads through the guard to the public, as long as there
// is another one and the lease is sure.
func (p *publisher) publish(ctx context.Context) error {
	err := p.advance(ctx)
	for more := true; more && err == nil; {
		more, err = p.publishEdge(ctx)
		more = more && p.l.refusal() == nil && p.leased(time.Now())
	}
	if errors.Is(err, errLeaseLost) {
		return p.watch(ctx)
	}
	return err
}

// publishEdge publishes the verified edge, which the register holds. While the
// database writes that, the next head goes through the guard: entries wait for
// the longer of the two, and not for both. It reports whether there is a next.
func (p *publisher) publishEdge(ctx context.Context) (more bool, err error) {
	note, err := p.sign(ctx)
	if err != nil {
		return false, err
	}
	now := p.l.cfg.Now()
	v := newView(Published{Size: p.edge.Size(), Root: p.edge.Root(), Note: note, At: now}, p.edge)
	began, written, next := p.began, make(chan struct{}), make(chan error, 1)
	go func() { next <- p.advanceWhile(ctx, written) }()
	err = p.write(ctx, v, began)
	close(written)
	ahead := <-next
	if errors.Is(err, storage.ErrConflict) {
		err = p.follow(ctx) // another replica was quicker
	}
	return p.edge.Size() > p.published(), errors.Join(err, ahead)
}

// advanceWhile carries the verified tree forward once, if there is reason to
// before a write has ended. Until it returns, the edge is its own.
func (p *publisher) advanceWhile(ctx context.Context, written <-chan struct{}) error {
	for p.needs() <= p.edge.Size() {
		select {
		case <-p.wake:
		case <-written:
			return nil
		}
	}
	return p.advance(ctx)
}

// write makes a checkpoint public.
func (p *publisher) write(ctx context.Context, v *view, began time.Time) error {
	before := p.published()
	pub := storage.Published{Version: p.version, Size: v.Size, Root: v.Root, Note: v.Note, At: v.At.UnixMilli()}
	pub.Keep = began.Sub(p.kept) >= historyEvery
	version, err := p.l.cfg.Store.Publish(ctx, p.l.cfg.Record.ID, pub)
	if err != nil {
		return fmt.Errorf("write the published checkpoint: %w", err)
	}
	if pub.Keep {
		p.kept = began
	}
	p.version, p.uncosigned, p.apart = version, false, false
	p.l.show(v)
	p.settle(v.Size)
	p.l.failing(stagePublish, nil)
	p.l.cfg.Events.published(v.Size, v.Size-before, time.Since(began))
	return nil
}

// sign makes the checkpoint of the verified edge, which the register holds.
func (p *publisher) sign(ctx context.Context) ([]byte, error) {
	note, err := p.l.signed(guard.Head{Size: p.edge.Size(), Root: p.edge.Root(), Time: p.registered.Time})
	if err != nil {
		return nil, err
	}
	return p.witnessed(ctx, note)
}

// signed makes the checkpoint of a head that the register holds.
func (l *Log) signed(h guard.Head) ([]byte, error) {
	var signers []checkpoint.Signer
	for _, s := range l.cfg.Signers {
		signers = append(signers, s)
	}
	for _, s := range l.cfg.Cosigners {
		signers = append(signers, s.Signer(func() int64 { return l.timeOf(h) / 1000 }))
	}
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: l.Origin(), Size: h.Size, Root: h.Root}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return note, nil
}
