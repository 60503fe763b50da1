package log

import (
	"context"
	"fmt"

	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
)

// recover finds out where the log stands, for as long as that takes. A poisoned
// log is recovered as well, for its readers. It reports false when ctx ended
// first.
func (l *Log) recover(ctx context.Context, a *appender, p *publisher) bool {
	a.out, p.wake = p, make(chan struct{}, 1)
	l.claims.onPut(p.rouse)
	l.follow.onPut(p.rouse)
	for wait := newBackoff(); ; {
		err := l.start(ctx, a, p)
		if err == nil {
			l.failing(stageStart, nil)
			return true
		}
		if reason, ok := contradicts(err); ok {
			l.poison(ctx, reason)
			l.showOld(ctx, p)
			return true
		}
		l.failing(stageStart, err)
		if !wait.sleep(ctx) {
			return false
		}
	}
}

// start compares the register, the database's head and the published
// checkpoint, and sets the two stages at work where they agree.
func (l *Log) start(ctx context.Context, a *appender, p *publisher) error {
	if err := l.checkRecord(ctx); err != nil {
		return err
	}
	state, head, err := l.newest(ctx, 0, -1)
	if err != nil {
		return err
	}
	registered := state.Newest
	p.edge, err = l.edgeOf(ctx, registered)
	if err != nil {
		return err
	}
	a.sure = p.edge
	if a.edge, err = extendEdge(ctx, l.rows(), p.edge, head.Size, head.Root); err != nil {
		return err
	}
	if err := l.checkPublished(ctx, p, registered); err != nil {
		return err
	}
	// Not published here: that may take until witnesses come back, and appending
	// does not wait for them.
	p.owed = head.Size
	return nil
}

// checkRecord makes sure that the database still holds the log we were
// configured for, and learns whether it is poisoned.
func (l *Log) checkRecord(ctx context.Context) error {
	want := l.cfg.Record
	got, err := l.cfg.Store.FindLog(ctx, want.Origin)
	if err != nil {
		return fmt.Errorf("find log %q in the database: %w", want.Origin, err)
	}
	if got.ID != want.ID || got.Instance != want.Instance {
		return contradictf("the database holds another log by the name %q: instance %s with register %s, not %s with %s",
			want.Origin, got.Instance, got.Register, want.Instance, want.Register)
	}
	if _, err := l.ours(storage.Head{Register: got.Register}, nil); err != nil {
		return err
	}
	state, err := l.cfg.Register.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the register: %w", err)
	}
	switch {
	case state.Poisoned != "":
		l.poison(ctx, state.Poisoned)
	case got.Poisoned != "":
		l.poison(ctx, got.Poisoned)
	}
	return nil
}

// edgeOf loads the right edge at the register's head, and so proves that the
// database's tree contains it.
func (l *Log) edgeOf(ctx context.Context, registered guard.Head) (merkle.Edge, error) {
	edge, err := loadEdge(ctx, l.rows(), registered.Size)
	if err != nil {
		return edge, err
	}
	if got := edge.Root(); got != registered.Root {
		return edge, contradictf("fork: the database's tree of size %d has root %x, and the register knows that root %x was signed",
			registered.Size, got, registered.Root)
	}
	return edge, nil
}

// checkPublished shows the published checkpoint, if there is one and it may be
// shown. Nothing is published that is not registered first, so a checkpoint
// beyond the register means that the register is not what it was, or not the
// log's only one.
func (l *Log) checkPublished(ctx context.Context, p *publisher, registered guard.Head) error {
	pub, err := l.cfg.Store.Published(ctx, l.cfg.Record.ID)
	if err != nil {
		return fmt.Errorf("read the published checkpoint: %w", err)
	}
	if pub.Version == 0 {
		return nil
	}
	if err := l.registerKnows(ctx, registered, pub.Size); err != nil {
		return err
	}
	return l.showPublished(ctx, p, pub)
}

// registerKnows makes sure that the register's newest head, as it was read, is
// not behind a published size.
func (l *Log) registerKnows(ctx context.Context, registered guard.Head, published int64) error {
	if published <= registered.Size {
		return nil
	}
	// Another replica may have gone on between the two reads, and the register's
	// server may lag behind.
	state, err := l.cfg.Register.Confirm(ctx)
	if err != nil {
		return fmt.Errorf("read the register: %w", err)
	}
	if registered = state.Newest; published > registered.Size {
		return contradictf("the register is older than the log: it knows size %d, and a checkpoint of size %d is published: "+
			"the register was restored from an older copy, replaced, or is not the one that the log's other servers share", registered.Size, published)
	}
	return nil
}

func (l *Log) showPublished(ctx context.Context, p *publisher, pub storage.Published) error {
	edge, err := loadEdge(ctx, l.rows(), pub.Size)
	if err != nil {
		return err
	}
	v, err := l.open(ctx, pub, edge)
	if err != nil {
		return err
	}
	p.version = pub.Version
	if p.uncosigned = !l.enough(v.Note); !p.uncosigned {
		l.show(v)
		l.cfg.Events.followed(v.Size)
	}
	return nil
}

// showOld gives the readers of a poisoned log the checkpoint that the database
// holds, if its tree bears it out.
func (l *Log) showOld(ctx context.Context, p *publisher) {
	if l.view.Load() != nil {
		return
	}
	pub, err := l.cfg.Store.Published(ctx, l.cfg.Record.ID)
	if err == nil && pub.Version > 0 {
		err = l.showPublished(ctx, p, pub)
	}
	if err != nil {
		l.failing(stageStart, fmt.Errorf("show the last published checkpoint: %w", err))
	}
}
