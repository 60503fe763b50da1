package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"indelible/internal/growth"
	"indelible/merkle"
	"indelible/storage"
)

// appender appends one batch after the other. Only its goroutine touches it.
type appender struct {
	l *Log
	// edge is the right edge of the tree as last seen. It is used only when it
	// belongs to the locked head, or the head extends it.
	edge merkle.Edge
	// sure is that of a tree that was durable, and so must be a prefix of every
	// later one. The last entries of edge may have been another replica's, and
	// lost in a crash of the database before they were durable.
	sure merkle.Edge
	out  *publisher
}

// run appends until the queue is closed and empty, or ctx ends.
func (a *appender) run(ctx context.Context) {
	for a.l.queue.await(ctx, a.l.cfg.Linger) {
		b, err := a.append(ctx)
		switch {
		case b == nil: // failAll was quicker
		case err != nil:
			a.l.queue.settle(b, err)
		default:
			a.out.take(b)
		}
	}
}

// conflictsAtOnce is how often an append that others overtake is begun again at
// once. Who waited would be overtaken again by those that do not.
const conflictsAtOnce = 20

// append puts the queue's next batch into the database, however often that
// takes, and returns it; nil if there is none any more. An error means that the
// batch never will be there. A batch that the database refuses is appended in
// parts.
func (a *appender) append(ctx context.Context) (b *batch, err error) {
	conflicts := 0
	for wait := newBackoff(); ; {
		if !a.l.awaitConfirmed(ctx) {
			return a.taken(b), ErrStopping
		}
		if err := a.l.refusal(); err != nil {
			return a.taken(b), err
		}
		b, err = a.part(ctx, b)
		if err == nil && (b == nil || len(b.left) == 0) {
			return b, nil
		}
		if err == nil {
			conflicts, wait = 0, newBackoff()
			continue
		}
		if reason, ok := contradicts(err); ok {
			a.l.poison(ctx, reason)
			return a.taken(b), a.l.refusal()
		}
		if errors.Is(err, ErrClock) {
			a.l.failing(stageAppend, nil) // the database answered
			return b, err
		}
		if conflicts++; errors.Is(err, storage.ErrConflict) && conflicts%conflictsAtOnce != 0 {
			continue // the log has moved on, and so the database is well
		}
		a.l.failing(stageAppend, err)
		if !wait.sleep(ctx) {
			return a.taken(b), ErrStopping
		}
	}
}

// part tries to append the next part of a batch. What the database refuses is
// halved, which is progress and no error; a single entry is refused.
func (a *appender) part(ctx context.Context, b *batch) (*batch, error) {
	start := time.Now()
	b, added, err := a.try(ctx, b)
	refused := errors.As(err, new(notTaken))
	if err != nil && !refused {
		return b, err
	}
	a.l.failing(stageAppend, nil) // the database answers
	switch {
	case b == nil:
	case refused:
		if it := b.divide(fmt.Errorf("%w of %d bytes: %w", ErrRefused, len(b.left[0][0].body), err)); it != nil {
			a.l.cfg.Events.refused(len(it.body), err)
		}
	default:
		a.l.cfg.Events.appended(added, len(b.left[0])-added, time.Since(start))
		b.left = b.left[1:]
	}
	return b, nil
}

// notTaken is storage.ErrRefused where the rows of a part's own entries were
// refused, and so other entries may be taken.
type notTaken struct{ error }

func (e notTaken) Unwrap() error { return e.error }

// ofEntries marks an error of an operation that a part's entries were given to.
func ofEntries(err error) error {
	if errors.Is(err, storage.ErrRefused) {
		return notTaken{err}
	}
	return err
}

// taken is the batch at work, or where there is none yet, the next.
func (a *appender) taken(b *batch) *batch {
	if b == nil {
		b = a.l.queue.take()
	}
	return b
}

// confirm does not believe that the log went back before the head is read
// again. What was locked may have been that of a server which lags: a replica,
// or a node of a cluster.
func (a *appender) confirm(ctx context.Context, locked storage.Head, err error) error {
	if _, ok := contradicts(err); !ok || locked.Size >= a.edge.Size() {
		return err
	}
	head, again := a.l.cfg.Store.LockedHead(ctx, a.l.cfg.Record.ID)
	switch {
	case again != nil:
		return fmt.Errorf("a tree head of size %d was read, when size %d is known, and cannot be read again: %w", locked.Size, a.edge.Size(), again)
	case head.Size >= a.edge.Size():
		return fmt.Errorf("a tree head of size %d was read, when it has size %d", locked.Size, head.Size)
	}
	return err
}

// try makes one attempt, in one transaction. After an error nothing is known
// about the outcome; the next attempt, with the same batch, finds out, since it
// looks for the leaf hashes before it adds any.
//
// The first attempt takes the batch when it has the tree head's lock: what
// arrives while another replica has it goes with it.
func (a *appender) try(ctx context.Context, b *batch) (_ *batch, added int, err error) {
	tx, err := a.l.cfg.Store.BeginAppend(ctx, a.l.cfg.Record.ID)
	if err != nil {
		return b, 0, err
	}
	defer tx.Rollback()
	if b = a.taken(b); b == nil {
		return nil, 0, nil
	}
	added, err = a.fill(ctx, tx, b)
	return b, added, err
}

// fill is what happens in an append transaction.
func (a *appender) fill(ctx context.Context, tx storage.Appender, b *batch) (added int, err error) {
	head := tx.Head()
	edge, err := a.extend(ctx, tx, head)
	if err != nil {
		tx.Rollback() // the head's lock
		return 0, a.confirm(ctx, head, err)
	}
	a.edge = edge
	if !b.tried {
		b.tried, b.from = true, head.Size
	}
	fresh, needs, err := sortOut(ctx, tx, b)
	if err != nil {
		return 0, ofEntries(err)
	}
	if len(fresh) == 0 {
		err := a.makeSure(ctx, tx, needs, edge)
		if err == nil {
			b.needs = max(b.needs, needs)
		}
		return 0, err
	}
	now, err := a.l.integrationTime(head)
	if err != nil {
		return 0, err
	}
	next, write := plan(edge, fresh, now)
	if err := tx.Write(ctx, write); err != nil {
		return 0, ofEntries(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, ofEntries(fmt.Errorf("commit: %w", err))
	}
	b.needs = max(b.needs, needs)
	a.edge, a.sure = next, next
	a.l.committed.Store(&write.Head)
	return len(fresh), nil
}

// extend carries the edge forward to the locked head. Where the head does not
// extend what was seen, it must extend what is known to have been durable.
func (a *appender) extend(ctx context.Context, tx storage.Appender, head storage.Head) (merkle.Edge, error) {
	// What other replicas appended is mostly published, and was read for that. It
	// is durable as well: a head behind it is a rollback.
	if v := a.l.view.Load(); v != nil && v.Size > a.edge.Size() {
		a.edge, a.sure = v.edge, v.edge
	}
	edge, err := extendEdge(ctx, tx, a.edge, head.Size, head.Root)
	if _, contradicts := contradicts(err); !contradicts || a.edge.Size() == a.sure.Size() {
		return edge, err
	}
	// The register holds durable heads alone.
	state, err := a.l.cfg.Register.Read(ctx)
	if err != nil {
		return a.edge, fmt.Errorf("read the register: %w", err)
	}
	if err := forward(state.Newest, head); err != nil {
		return a.edge, err
	}
	if n := state.Newest; n.Size > a.sure.Size() {
		if a.sure, err = extendEdge(ctx, tx, a.sure, n.Size, n.Root); err != nil {
			return a.edge, err
		}
	}
	return extendEdge(ctx, tx, a.sure, head.Size, head.Root)
}

// makeSure sees to it that the entries below a size, which a part was found to
// be, are durable before it is answered. Most are old: what is published is
// durable.
func (a *appender) makeSure(ctx context.Context, tx storage.Appender, needs int64, edge merkle.Edge) error {
	if needs <= max(a.sure.Size(), a.out.published()) {
		return nil
	}
	if err := tx.Touch(ctx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	a.sure = edge
	a.l.committed.Store(&storage.Head{Size: edge.Size(), Root: edge.Root()})
	return nil
}

// sortOut finds the entries of a batch's next part that are in the log already,
// and returns those that are not, with the indexes they will have, and the
// published size that covers all.
func sortOut(ctx context.Context, tx storage.Appender, b *batch) (fresh []*item, needs int64, err error) {
	part := b.left[0]
	leaves := make([]merkle.Hash, len(part))
	for i, it := range part {
		leaves[i] = it.leaf
	}
	found, err := tx.FindLeaves(ctx, leaves)
	if err != nil {
		return nil, 0, err
	}
	at := make(map[merkle.Hash]storage.Leaf, len(found))
	for _, f := range found {
		at[f.Hash] = f
	}
	next := tx.Head().Size
	for _, it := range part {
		if f, ok := at[it.leaf]; ok {
			// What stands at or after the size we first saw came in with an
			// attempt of ours whose outcome was unknown.
			it.index, it.integratedAt, it.duplicate = f.Index, f.IntegratedAt, f.Index < b.from
		} else {
			it.index, it.duplicate = next, false
			next++
			fresh = append(fresh, it)
		}
		needs = max(needs, it.index+1)
	}
	return fresh, needs, nil
}

// plan computes what an append writes.
func plan(edge merkle.Edge, fresh []*item, now int64) (merkle.Edge, storage.Append) {
	entries := make([]storage.Entry, len(fresh))
	for i, it := range fresh {
		it.integratedAt = now
		entries[i] = storage.Entry{Index: it.index, LeafHash: it.leaf, IntegratedAt: now, Body: it.body}
	}
	return growth.Plan(edge, entries)
}

// backoff waits longer from time to time: 10 ms, doubling up to 1 s, each
// shortened by up to a half so that replicas do not march in step.
type backoff struct{ next time.Duration }

func newBackoff() backoff { return backoff{10 * time.Millisecond} }

// sleep reports false when ctx ended first.
func (b *backoff) sleep(ctx context.Context) bool {
	d := b.next - rand.N(b.next/2)
	b.next = min(2*b.next, time.Second)
	return pause(ctx, d)
}
