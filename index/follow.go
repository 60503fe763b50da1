package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/internal/wait"
	"indelible/storage"
)

const (
	leaseName = "index"
	// sweepRows is about how many rows of an old index are deleted at once.
	sweepRows = 5000
	// After a failure the follower waits, longer each time.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
	// releaseTimeout bounds giving the lease up at the end.
	releaseTimeout = 2 * time.Second
)

// Run follows the log until ctx ends, and returns nil. Of the replicas of a log
// one follows, by a lease: for economy only, since two would not harm the index.
func (x *Index) Run(ctx context.Context) error {
	f := &follower{x: x, leftovers: true}
	defer f.release(context.WithoutCancel(ctx))
	failed, complaint := time.Duration(0), ""
	for ctx.Err() == nil {
		delay, err := f.step(ctx)
		switch {
		case err == nil:
			failed, complaint = 0, ""
		case ctx.Err() != nil:
		case errors.Is(err, storage.ErrConflict): // another replica was faster
			f.stale, delay = true, x.cfg.Gather
		default:
			// A poisoned log stays so for long.
			if text := err.Error(); text != complaint {
				complaint = text
				x.cfg.Events.retrying("follow the log", err)
			}
			failed = min(max(firstPause, 2*failed), longestPause)
			f.stale, delay = true, failed
		}
		wait.For(ctx, delay)
	}
	return nil
}

// follower is what Run owns.
type follower struct {
	x          *Index
	state      storage.IndexState
	seen       bool // state was read
	stale      bool // state may have changed
	ahead      bool // state is ahead of the log
	told       int  // the newer format that the operator was told of
	leftovers  bool // there may be rows of old indexes
	last       time.Time
	held       bool
	leaseUntil time.Time // by our clock, from before we asked: never too late
	rows       []storage.IndexRow
}

// step does the next thing that is to do, and returns how long to wait after it.
// It waits itself while there is nothing to do.
func (f *follower) step(ctx context.Context) (time.Duration, error) {
	if err := f.look(ctx); err != nil {
		return 0, err
	}
	cfg := &f.x.cfg
	if f.state.Format > format {
		if f.told != f.state.Format {
			f.told = f.state.Format
			cfg.Events.newer(f.state.Format)
		}
		f.stale = true
		return cfg.LeaseTTL, nil
	}
	current := f.state.ID != 0 && f.state.Format == format && !f.ahead
	published := int64(0)
	if current {
		p, err := f.await(ctx)
		if err != nil || f.stale {
			return 0, err
		}
		published = p
	}
	held, err := f.hold(ctx)
	switch {
	case err != nil:
		return 0, err
	case !held: // its holder goes on; we look how far it is
		f.stale = true
		return cfg.LeaseTTL / 3, nil
	case !current:
		return 0, f.reset(ctx)
	case published > f.state.Size:
		if early := cfg.Gather - time.Since(f.last); early > 0 && published-f.state.Size < maxBatch {
			return early, nil
		}
		return 0, f.index(ctx, published)
	}
	return 0, f.sweep(ctx)
}

// look reads the state, if it may be another than the one known.
func (f *follower) look(ctx context.Context) error {
	if f.seen && !f.stale {
		return nil
	}
	st, err := f.x.cfg.Store.IndexState(ctx, f.x.cfg.LogID)
	if err != nil {
		return err
	}
	published, err := f.x.cfg.Log.Published()
	if err != nil {
		published.Size = 0 // then the head is read
	}
	err = f.x.checkAhead(ctx, st, published.Size)
	if f.ahead = errors.Is(err, ErrAhead); err != nil && !f.ahead {
		return err
	}
	f.state, f.seen, f.stale = st, true, false
	if !f.ahead {
		f.x.see(st)
	}
	return nil
}

// await waits for something to do, and returns the published size. It ends early,
// with the state stale, when the index is found to be ahead.
func (f *follower) await(ctx context.Context) (int64, error) {
	ctx, wake := context.WithCancel(ctx)
	defer wake()
	f.x.wake.Store(&wake)
	if f.stale = f.x.condemnedFor(f.state.ID) != nil; f.stale {
		return 0, nil
	}
	than := f.state.Size
	if f.leftovers {
		than = -1 // there is something to do in any case
	}
	p, err := f.x.cfg.Log.AwaitNewer(ctx, than)
	if f.stale = f.x.condemnedFor(f.state.ID) != nil; f.stale {
		return 0, nil
	}
	return p.Size, err
}

// hold takes or renews the lease, and reports whether it is ours.
func (f *follower) hold(ctx context.Context) (bool, error) {
	cfg, now := &f.x.cfg, time.Now()
	if f.held && now.Before(f.leaseUntil.Add(-cfg.LeaseTTL*2/3)) {
		return true, nil
	}
	lease, err := cfg.Store.Lease(ctx, cfg.LogID, leaseName, cfg.Replica, cfg.LeaseTTL)
	if err != nil {
		f.held = false
		return false, fmt.Errorf("ask for the lease: %w", err)
	}
	f.held, f.leaseUntil = lease.Held, now.Add(cfg.LeaseTTL)
	return f.held, nil
}

// release gives the lease up. If that fails it runs out by itself.
func (f *follower) release(ctx context.Context) {
	if !f.held {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := f.x.cfg.Store.Unlease(ctx, f.x.cfg.LogID, leaseName, f.x.cfg.Replica); err != nil {
		f.x.cfg.Events.retrying("give up the lease", err)
	}
}

func (f *follower) reset(ctx context.Context) error {
	st, err := f.x.cfg.Store.IndexReset(ctx, f.x.cfg.LogID, f.state, format)
	if err != nil {
		return err
	}
	if f.state.ID != 0 {
		f.x.cfg.Events.reset(format)
	}
	f.state, f.ahead, f.leftovers = st, false, true
	f.x.see(st)
	return nil
}

// index indexes what is published, or as much of it as one transaction takes.
func (f *follower) index(ctx context.Context, published int64) error {
	cfg, begin := &f.x.cfg, time.Now()
	next, all, err := advance(ctx, cfg.Store, cfg.LogID, f.x.read, f.state, published, f.rows)
	if err != nil {
		return err
	}
	cfg.Events.indexed(next.Size, int(next.Size-f.state.Size), len(all), time.Since(begin))
	f.state, f.rows, f.last = next, all, time.Now()
	f.x.see(next)
	if f.leftovers {
		return f.sweep(ctx)
	}
	return nil
}

// advance indexes entries from a state on, up to a size, as many as one
// transaction takes. What the database refuses is halved.
func advance(ctx context.Context, store storage.Store, logID int64, read reader, st storage.IndexState, size int64, into []storage.IndexRow) (storage.IndexState, []storage.IndexRow, error) {
	for most := int64(maxBatch); ; most /= 2 {
		next := st
		all, end, err := rows(ctx, read, st.Size, min(size, st.Size+most), into)
		if next.Size = end; err == nil {
			err = store.IndexAppend(ctx, logID, st, next.Size, all)
		}
		if most = min(most, next.Size-st.Size); !errors.Is(err, storage.ErrRefused) || most < 2 {
			return next, all, err
		}
	}
}

func (f *follower) sweep(ctx context.Context) (err error) {
	f.leftovers, err = f.x.cfg.Store.IndexSweep(ctx, sweepRows)
	return err
}
