package log

import (
	"context"
	"fmt"
	"time"

	"indelible/storage"
)

// PublishLease names the lease of the replica that publishes. Whoever else holds
// it keeps all replicas from publishing for as long.
const PublishLease = "publish"

// idleRelease is after how long without work the lease is given up, so that a
// replica that does have work need not wait for it to run out.
const idleRelease = 50 * time.Millisecond

// holdLease takes or renews the lease, and reports whether it is ours.
func (p *publisher) holdLease(ctx context.Context) (bool, error) {
	cfg, now := p.l.cfg, time.Now()
	if p.leased(now) {
		return true, nil
	}
	if !p.lease.Held && now.Before(p.askAgain) {
		return false, nil
	}
	lease, err := cfg.Store.Lease(ctx, cfg.Record.ID, PublishLease, cfg.Replica, cfg.LeaseTTL)
	if err != nil {
		p.lease.Held = true // maybe: what may be ours is given up, or runs out
		return false, fmt.Errorf("ask for the lease: %w", err)
	}
	p.lease, p.leaseUntil, p.askAgain = lease, time.Time{}, now.Add(5*watchEvery)
	if lease.Held {
		p.leaseUntil = now.Add(cfg.LeaseTTL)
	}
	return lease.Held, nil
}

// leased reports whether the lease is ours, and need not be renewed yet.
func (p *publisher) leased(now time.Time) bool {
	return p.lease.Held && now.Before(p.leaseUntil.Add(-p.l.cfg.LeaseTTL*2/3))
}

// release gives the lease up, and it may be asked for again at once. If that
// fails it runs out by itself.
func (p *publisher) release(ctx context.Context) {
	if !p.lease.Held {
		return
	}
	p.lease, p.leaseUntil, p.askAgain = storage.Lease{}, time.Time{}, time.Time{}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := p.l.cfg.Store.Unlease(ctx, p.l.cfg.Record.ID, PublishLease, p.l.cfg.Replica); err != nil {
		p.l.cfg.Events.retrying(stepRelease, err)
	}
}

// keepLease renews the lease until ctx ends, or ends it when the lease is lost.
// Until it returns, the lease is its own.
func (p *publisher) keepLease(ctx context.Context, end context.CancelCauseFunc) {
	for pause(ctx, p.l.cfg.LeaseTTL/6) {
		// Before it runs out for the others, and not when.
		last := p.leaseUntil.Add(-p.l.cfg.LeaseTTL / 6)
		held, err := p.renew(ctx, last)
		if !held && (err == nil || !time.Now().Before(last)) {
			end(errLeaseLost)
			return
		}
	}
}

// renew gives the database until a time to renew the lease.
func (p *publisher) renew(ctx context.Context, until time.Time) (bool, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return p.holdLease(ctx)
}
