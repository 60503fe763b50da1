package main

import (
	"context"
	"fmt"
	"time"

	"indelible/internal/wait"
	translog "indelible/log"
	"indelible/storage"
)

const (
	// aloneFor is for how long a command keeps replicas from publishing, unless it
	// asks again.
	aloneFor = 10 * time.Second
	// longLease is longer than the lease of any replica.
	longLease = time.Minute
)

// alone takes the lease of the replica that publishes, so that none does while
// the log is changed: it is refused while one is at work. One that ended without
// giving its lease up is waited for, which takes seconds. Replicas without work
// hold none, and are not seen here.
func (p *program) alone(ctx context.Context, o *opened, what string) (release func(), err error) {
	holder := what + " by " + operator()
	holder = holder[:min(len(holder), 200)] // bytes; a replica's name has at most 255
	lease, err := o.store.Lease(ctx, o.record.ID, translog.PublishLease, holder, aloneFor)
	if err == nil && !lease.Held && lease.Left <= longLease {
		fmt.Fprintf(p.stderr, "Replica %q may be publishing. If it has ended, its lease runs out in %s; waiting for that.\n", lease.Holder, lease.Left.Round(time.Millisecond))
		if err := runsOut(ctx, lease); err != nil {
			return nil, err
		}
		lease, err = o.store.Lease(ctx, o.record.ID, translog.PublishLease, holder, aloneFor)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask whether a replica publishes: %w", err)
	case !lease.Held:
		return nil, fmt.Errorf("replica %q publishes at present: stop it, and all others, and run this again (if it has ended, its lease runs out in %s)",
			lease.Holder, lease.Left.Round(time.Millisecond))
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := o.store.Unlease(ctx, o.record.ID, translog.PublishLease, holder); err != nil {
			fmt.Fprintf(p.stderr, "replicas publish after %s: %v\n", aloneFor, err) // it runs out by itself
		}
	}, nil
}

// runsOut waits for as long as a lease may last.
func runsOut(ctx context.Context, lease storage.Lease) error {
	return wait.For(ctx, lease.Left+50*time.Millisecond)
}
