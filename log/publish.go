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
	leaseName = "publish"
	// idleRelease is after how long without work the lease is given up, so that
	// a replica that does have work need not wait for it to run out.
	idleRelease = 50 * time.Millisecond
	// watchEvery is how often at most a replica with waiters looks for the
	// publication of another, which holds the lease; see rhythm.
	watchEvery = 2 * time.Millisecond
	// askRegisterEvery is how often at most a replica that does not publish looks
	// whether the log was poisoned. The register may be far away.
	askRegisterEvery = 100 * time.Millisecond
	// historyEvery is how often a published checkpoint is kept for good.
	historyEvery = time.Second
	// readBackChunk is how many entries are read back at a time.
	readBackChunk = 512
)

// publisher turns durable tree heads into published checkpoints. Only its
// goroutine touches it, but for the list of batches that wait.
type publisher struct {
	l *Log

	// edge is the right edge of the verified tree: it begins at the register's
	// head, and was carried forward over entries read back and hashed.
	edge merkle.Edge
	// version is the row version of the published checkpoint as last seen.
	version int64
	// kept is when a checkpoint was last put into the history.
	kept time.Time

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
		err := p.step(ctx)
		p.settle(p.published())
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			wait = newBackoff()
			if !p.rest(ctx, appended) {
				return
			}
		default:
			p.failed(ctx, err)
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
	if err := p.judgeRemembered(ctx); err != nil {
		return err
	}
	if p.needs() <= p.published() {
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
	if now := time.Now(); now.Sub(p.asked) >= askRegisterEvery {
		if err := p.checkPoison(ctx); err != nil {
			return err
		}
		p.asked = now
	}
	return p.follow(ctx)
}

// idlePoisoned is the step of a poisoned log: nothing that waits will be
// published, and the poison is recorded if that failed before.
func (p *publisher) idlePoisoned(ctx context.Context) error {
	p.mu.Lock()
	p.waiting = nil
	p.mu.Unlock()
	if p.l.unrecorded() {
		p.l.recordPoison(ctx)
	}
	return nil
}

// holdLease takes or renews the lease, and reports whether it is ours.
func (p *publisher) holdLease(ctx context.Context) (bool, error) {
	cfg, now := p.l.cfg, time.Now()
	if p.lease.Held && now.Before(p.leaseUntil.Add(-cfg.LeaseTTL*2/3)) {
		return true, nil
	}
	if !p.lease.Held && now.Before(p.askAgain) {
		return false, nil
	}
	lease, err := cfg.Store.Lease(ctx, cfg.Record.ID, leaseName, cfg.Replica, cfg.LeaseTTL)
	if err != nil {
		p.lease = storage.Lease{}
		return false, fmt.Errorf("ask for the lease: %w", err)
	}
	p.lease, p.leaseUntil, p.askAgain = lease, now.Add(cfg.LeaseTTL), now.Add(5*watchEvery)
	return lease.Held, nil
}

// release gives the lease up. If that fails it runs out by itself.
func (p *publisher) release(ctx context.Context) {
	if !p.lease.Held {
		return
	}
	p.lease = storage.Lease{}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := p.l.cfg.Store.Unlease(ctx, p.l.cfg.Record.ID, leaseName, p.l.cfg.Replica); err != nil {
		p.l.cfg.Events.retrying("give up the lease", err)
	}
}

// checkPoison learns of poison that another replica found.
func (p *publisher) checkPoison(ctx context.Context) error {
	state, err := p.l.cfg.Register.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the register: %w", err)
	}
	if state.Poisoned != "" {
		return contradiction{state.Poisoned}
	}
	return nil
}

// publish brings the newest durable head through the guard to the public.
func (p *publisher) publish(ctx context.Context) error {
	start := time.Now()
	before := p.published()
	if err := p.advance(ctx); err != nil {
		return err
	}
	note, err := p.sign(ctx)
	if err != nil {
		return err
	}
	now := p.l.cfg.Now()
	pub := storage.Published{Version: p.version, Size: p.edge.Size(), Root: p.edge.Root(), Note: note, At: now.UnixMilli()}
	pub.Keep = start.Sub(p.kept) >= historyEvery
	version, err := p.l.cfg.Store.Publish(ctx, p.l.cfg.Record.ID, pub)
	if errors.Is(err, storage.ErrConflict) {
		return p.follow(ctx)
	}
	if err != nil {
		return fmt.Errorf("write the published checkpoint: %w", err)
	}
	if pub.Keep {
		p.kept = start
	}
	p.version = version
	p.l.show(newView(Published{Size: pub.Size, Root: pub.Root, Note: note, At: now}, p.edge))
	p.l.failing(stagePublish, nil)
	p.l.cfg.Events.published(pub.Size, pub.Size-before, time.Since(start))
	return nil
}

// advance carries the verified tree forward to the newest durable head, and
// the register with it.
func (p *publisher) advance(ctx context.Context) error {
	for {
		state, head, err := p.l.newest(ctx, p.edge.Size(), p.needs())
		if err != nil {
			return err
		}
		if state.Poisoned != "" {
			return contradiction{state.Poisoned} // another replica found it
		}
		registered := state.Newest
		// A head that another replica registered lies between ours and the
		// database's. Ours must pass through it.
		if registered.Size > p.edge.Size() {
			if err := p.readBack(ctx, registered.Size, registered.Root); err != nil {
				return err
			}
		}
		if err := p.readBack(ctx, head.Size, head.Root); err != nil {
			return err
		}
		next := guard.Head{Size: p.edge.Size(), Root: p.edge.Root(), Time: p.l.cfg.Now().UnixMilli()}
		if next.Same(registered) {
			return nil
		}
		err = p.l.cfg.Register.Advance(ctx, registered, next)
		if !errors.Is(err, guard.ErrMoved) {
			return err
		}
	}
}

// newest returns what the register knows and a durable head of the database, not
// behind it nor behind a size that was verified. A head of at least enough need
// not be the newest.
func (l *Log) newest(ctx context.Context, verified, enough int64) (guard.State, storage.Head, error) {
	state, err := l.cfg.Register.Read(ctx)
	if err != nil {
		return guard.State{}, storage.Head{}, fmt.Errorf("read the register: %w", err)
	}
	committed := l.committed.Load() // before the head is read, which must not be behind it
	if committed == nil {
		committed = &storage.Head{}
	}
	known := max(verified, committed.Size)
	head, err := l.headFrom(ctx, max(state.Newest.Size, known), func() (storage.Head, error) {
		return l.durable(ctx, *committed, max(enough, state.Newest.Size, verified))
	})
	if err != nil {
		return guard.State{}, storage.Head{}, fmt.Errorf("read the tree head: %w", err)
	}
	if err := forward(state.Newest, head); err != nil {
		return guard.State{}, storage.Head{}, err
	}
	if head.Size < known {
		return guard.State{}, storage.Head{}, rollback(head.Size, known)
	}
	return state, head, nil
}

// headFrom returns a tree head of at least a size that must be there, and a
// durable one where it is larger. A database that seems behind is asked again by
// a read that cannot be stale, and only that is believed.
func (l *Log) headFrom(ctx context.Context, least int64, durable func() (storage.Head, error)) (storage.Head, error) {
	head, err := l.cfg.Store.Head(ctx, l.cfg.Record.ID)
	if err == nil && head.Size < least {
		head, err = l.cfg.Store.LockedHead(ctx, l.cfg.Record.ID)
	}
	if err != nil || head.Size <= least {
		return head, err
	}
	again, err := durable()
	if err == nil && again.Size < least {
		err = fmt.Errorf("the database said size %d, and asked again %d: the second answer came from a server that lags, or the first was lost in a crash",
			head.Size, again.Size)
	}
	return again, err
}

// durable returns a head that no crash takes back: our own last commit, if that
// is enough, or one that the database was made to write down.
func (l *Log) durable(ctx context.Context, committed storage.Head, enough int64) (storage.Head, error) {
	if committed.Size > 0 && committed.Size >= enough {
		return committed, nil
	}
	return l.cfg.Store.DurableHead(ctx, l.cfg.Record.ID)
}

// forward is the guard's rule as far as sizes tell.
func forward(registered guard.Head, head storage.Head) error {
	switch {
	case head.Size < registered.Size:
		return contradictf("rollback: the database's tree head has size %d, and the register knows that size %d was signed: "+
			"the database was restored from an older copy, replaced, or failed over to a replica that lost commits", head.Size, registered.Size)
	case head.Size == registered.Size && head.Root != registered.Root:
		return contradictf("fork: at size %d the database's tree head has root %x, and the register knows that root %x was signed",
			head.Size, head.Root, registered.Root)
	}
	return nil
}

// readBack reads entries back from the database, from the verified edge up to
// size, hashes their bytes, and compares the root they lead to.
func (p *publisher) readBack(ctx context.Context, size int64, root merkle.Hash) error {
	edge := p.edge
	for edge.Size() < size {
		leaves, err := p.rehash(ctx, edge.Size(), min(size, edge.Size()+readBackChunk))
		if err != nil {
			return err
		}
		var full []merkle.FullTile
		edge, full = edge.Append(leaves)
		p.l.remember(full)
	}
	if got := edge.Root(); got != root {
		return contradictf("the entries in the database give the tree of size %d the root %x, and its head says %x", size, got, root)
	}
	p.edge = edge
	return nil
}

func (p *publisher) rehash(ctx context.Context, start, end int64) ([]merkle.Hash, error) {
	entries, err := p.l.cfg.Store.Entries(ctx, p.l.cfg.Record.ID, start, end)
	if err != nil {
		return nil, fmt.Errorf("read entries back: %w", err)
	}
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = merkle.LeafHash(e.Body)
		if leaves[i] != e.LeafHash {
			return nil, contradictf("entry %d does not hash to its leaf hash: the database says %x, its bytes give %x", e.Index, e.LeafHash, leaves[i])
		}
	}
	p.l.recent.put(entries)
	return leaves, nil
}

// sign makes the checkpoint of the verified edge, which the register holds.
func (p *publisher) sign(ctx context.Context) ([]byte, error) {
	c := checkpoint.Checkpoint{Origin: p.l.Origin(), Size: p.edge.Size(), Root: p.edge.Root()}
	signers := make([]checkpoint.Signer, len(p.l.cfg.Signers))
	for i, s := range p.l.cfg.Signers {
		signers[i] = s
	}
	note, err := checkpoint.Sign(c, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return p.witnessed(ctx, note)
}

// follow shows readers what another replica published, once it is proven to
// extend what they saw.
func (p *publisher) follow(ctx context.Context) error {
	p.l.follow.take()
	pub, err := p.l.cfg.Store.Published(ctx, p.l.cfg.Record.ID)
	if err != nil {
		return fmt.Errorf("read the published checkpoint: %w", err)
	}
	if pub.Version <= p.version {
		// An older row is a stale read; or the newer one was seen before it was
		// durable, and was lost in a crash. The next swap will tell.
		p.version = pub.Version
		p.l.failing(stagePublish, nil)
		return nil
	}
	seen, known := int64(-1), merkle.Edge{}
	if v := p.l.view.Load(); v != nil {
		seen, known = v.Size, v.edge
	}
	if pub.Size < seen {
		return nil // a stale read
	}
	v, err := p.l.open(ctx, pub, known)
	if err != nil {
		return err
	}
	p.version = pub.Version
	p.rhythm.beat(time.Now())
	if v.Size > p.edge.Size() {
		p.edge = v.edge
	}
	p.l.show(v)
	p.l.failing(stagePublish, nil)
	p.l.cfg.Events.followed(pub.Size)
	return nil
}

// open checks a published checkpoint of this log and makes a view of it.
func (l *Log) open(ctx context.Context, pub storage.Published, known merkle.Edge) (*view, error) {
	opened, err := checkpoint.Open(pub.Note, l.keys)
	if err != nil {
		return nil, contradictf("the checkpoint published at size %d is not this log's: %v", pub.Size, err)
	}
	if opened.Size != pub.Size || opened.Root != pub.Root {
		return nil, contradictf("the published checkpoint's row says size %d and root %x, its note size %d and root %x", pub.Size, pub.Root, opened.Size, opened.Root)
	}
	edge, err := extendEdge(ctx, l.rows(), known, pub.Size, pub.Root)
	if err != nil {
		return nil, err
	}
	return newView(Published{Size: pub.Size, Root: pub.Root, Note: pub.Note, At: time.UnixMilli(pub.At).UTC()}, edge), nil
}
