package log

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
)

// readBackChunk is how many entries are read back at a time.
const readBackChunk = 512

// advance carries the verified tree forward to the newest durable head, and
// the register with it.
func (p *publisher) advance(ctx context.Context) error {
	p.began = time.Now()
	for {
		state, head, err := p.l.newest(ctx, p.edge.Size(), p.needs())
		if err != nil {
			return err
		}
		if state.Poisoned != "" {
			return contradiction{state.Poisoned} // another replica found it
		}
		registered := state.Newest
		if err := p.l.registerKnows(ctx, registered, p.published()); err != nil {
			return err
		}
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
		next := guard.Head{Size: p.edge.Size(), Root: p.edge.Root(), Time: max(p.l.cfg.Now().UnixMilli(), p.l.timeOf(registered))}
		if next.Same(registered) {
			p.registered = registered
			return nil
		}
		err = p.l.cfg.Register.Advance(ctx, registered, next)
		if err == nil {
			p.registered = next
		}
		if !errors.Is(err, guard.ErrMoved) {
			return err
		}
	}
}

// timeOf is the time that a registered head is signed with, in Unix milliseconds.
// A register begins without one: then the log was made.
func (l *Log) timeOf(h guard.Head) int64 { return max(h.Time, l.cfg.Record.CreatedAt.UnixMilli()) }

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
// a read that cannot be stale, and only that is believed. Each head says which
// register the log has: what is beyond the head at which another took our
// register's place is not ours to sign.
func (l *Log) headFrom(ctx context.Context, least int64, durable func() (storage.Head, error)) (storage.Head, error) {
	head, err := l.ours(l.cfg.Store.Head(ctx, l.cfg.Record.ID))
	if err == nil && head.Size < least {
		head, err = l.ours(l.lockedHead(ctx))
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

// lockedHead reads the head when it is locked, and after that the register.
func (l *Log) lockedHead(ctx context.Context) (storage.Head, error) {
	head, err := l.cfg.Store.LockedHead(ctx, l.cfg.Record.ID)
	if err != nil {
		return head, err
	}
	record, err := l.cfg.Store.FindLog(ctx, l.cfg.Record.Origin)
	head.Register = record.Register
	return head, err
}

// ours refuses a head of a log that has another register now. That is no
// contradiction: the log is well, and another replica may go on with it.
func (l *Log) ours(head storage.Head, err error) (storage.Head, error) {
	if want := l.cfg.Record.Register; err == nil && head.Register != want {
		err = fmt.Errorf("%w: it has the one with id %s since, and this server has that with id %s; start it again, with the log's own given by --register",
			errRegisterReplaced, head.Register, want)
	}
	return head, err
}

// errRegisterReplaced: an operator accepted another register while this server
// ran.
var errRegisterReplaced = errors.New("the log's register was replaced (logserver guard accept)")

// durable returns a head that no crash takes back: our own last commit, if that
// is enough, or one that the database was made to write down.
func (l *Log) durable(ctx context.Context, committed storage.Head, enough int64) (storage.Head, error) {
	if committed.Size > 0 && committed.Size >= enough {
		return committed, nil
	}
	return l.ours(l.cfg.Store.DurableHead(ctx, l.cfg.Record.ID))
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
