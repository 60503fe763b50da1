package forward

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/internal/growth"
	"indelible/internal/wait"
	"indelible/merkle"
	"indelible/storage"
)

// write reads everything that is missing once more, and appends it.
func (f *run) write(ctx context.Context, stops []stop) error {
	now := f.Now().UnixMilli()
	var rows []storage.Entry
	return f.missing(ctx, func(entries [][]byte) error {
		for i, leaf := range leafHashes(entries) {
			index := f.edge.Size() + int64(len(rows))
			f.last = max(f.last, f.timeOf(index, now))
			rows = append(rows, storage.Entry{Index: index, LeafHash: leaf, IntegratedAt: f.last, Body: entries[i]})
		}
		if f.edge.Size()+int64(len(rows)) < stops[0].size {
			return nil
		}
		if err := f.append(ctx, rows, stops[0]); err != nil {
			return err
		}
		rows, stops = nil, stops[1:]
		f.progress(true, f.edge.Size())
		return nil
	})
}

// append takes the database to the next stop.
func (f *run) append(ctx context.Context, rows []storage.Entry, to stop) error {
	next, a := growth.Plan(f.edge, rows)
	if next.Size() != to.size || next.Root() != to.root {
		return fmt.Errorf("the mirror's entries %d to %d are not those that it gave before, which were checked: none of them was written, and the database has %d now; take another mirror",
			rows[0].Index, next.Size()-1, f.edge.Size())
	}
	if err := f.insist(ctx, a); err != nil {
		return fmt.Errorf("append the entries %d to %d: %w", rows[0].Index, next.Size()-1, err)
	}
	f.edge = next
	return nil
}

// tries is how often an append is tried, with pauses that double.
const (
	tries      = 6
	firstPause = 50 * time.Millisecond
)

// errOthers: the tree head is neither what it was nor what it was to be.
var errOthers = errors.New("somebody else appends to this log: stop every server and whatever else writes to it, and run this again")

// insist tries an append until it is known to be durable.
func (f *run) insist(ctx context.Context, a storage.Append) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := f.try(ctx, a)
		if err == nil || errors.Is(err, errOthers) || errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrRefused) || try == tries {
			return err
		}
		if ended := wait.For(ctx, pause); ended != nil {
			return errors.Join(ended, err)
		}
		pause *= 2
	}
}

func (f *run) try(ctx context.Context, a storage.Append) error {
	tx, err := f.Store.BeginAppend(ctx, f.LogID)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	switch head := tx.Head(); {
	case is(head, a.Head.Size, a.Head.Root):
		// An earlier try, of which nothing was known, or lost if not made durable.
		err = tx.Touch(ctx)
	case is(head, f.edge.Size(), f.edge.Root()):
		err = tx.Write(ctx, a)
	default:
		return fmt.Errorf("the tree head has size %d, and had %d: %w", head.Size, f.edge.Size(), errOthers)
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func is(h storage.Head, size int64, root merkle.Hash) bool { return h.Size == size && h.Root == root }
