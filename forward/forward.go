// Package forward brings a database that is behind its log forward, with
// entries that somebody else kept: a mirror of the log's tiles.
//
//	database    [0, M) ──┐
//	                     ├─► root of N ?= what is known to be signed
//	mirror      [M, N) ──┘
//
// It signs nothing and believes nothing. The heads that are known to be signed
// (Mark) say what the tree must be; the entries from the mirror, after the
// database's own, must lead to each of them. That is made sure of before the
// first row is written. Then they are read a second time, and appended in
// transactions of some thousand. What comes then is compared with what came
// first: each transaction takes the database to a tree that was already proven,
// or is not begun.
//
// So a run that ends in the middle, however it ends, leaves a database that is
// less far behind. The next run goes on from there.
//
// # What is new in an entry
//
// A tile holds an entry's bytes, and no time. An entry that is brought back gets
// the earliest time by which it is known to have been in the log: that of the
// smallest Mark that covers it and has one, and else the present. It may be
// later than what the log said before, never earlier. What was signed about the
// old time, such as Rekor v1's signed entry timestamps, goes on being right.
package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"indelible/fsck"
	"indelible/merkle"
	"indelible/storage"
)

// Mark is a tree head that is known to be signed.
type Mark struct {
	Where string // who knows it, such as "the register"
	Size  int64
	Root  merkle.Hash
	Time  int64 // in Unix milliseconds, when it was signed at the latest; 0 if that is not known
}

// Config is what is to be done.
type Config struct {
	Store  storage.Store
	LogID  int64
	Mirror fsck.Source
	Marks  []Mark // one at least; the largest is where to go
	// Now is the clock; time.Now.
	Now func() time.Time
	// Progress, if set, is told how many of the missing entries are checked, and
	// then how many are written.
	Progress func(writing bool, done, total int64)
}

// Report says how large the database's tree was, and is.
type Report struct{ From, To int64 }

// Run brings the database forward to the largest Mark. A database that is as
// large is compared with all of them. After an error the database is as large as
// the Report says, or as the next run will find out.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if len(cfg.Marks) == 0 {
		return Report{}, errors.New("forward: nothing is known to be signed, so there is nowhere to go")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &run{Config: cfg}
	f.Marks = slices.Clone(cfg.Marks)
	slices.SortStableFunc(f.Marks, func(a, b Mark) int { return int(min(max(a.Size-b.Size, -1), 1)) })
	err := f.twoHistories()
	if err == nil {
		err = f.run(ctx)
	}
	return Report{f.from, max(f.from, f.edge.Size())}, err
}

// run is one Run.
type run struct {
	Config
	from int64       // the database's size at first
	last int64       // time of its last entry
	edge merkle.Edge // of the database's tree as it is now
}

// twoHistories compares heads of the same size.
func (f *run) twoHistories() error {
	for i, m := range f.Marks[1:] {
		if was := f.Marks[i]; m.Size == was.Size && m.Root != was.Root {
			return fmt.Errorf("at size %d %s knows the root %x, and %s knows %x: %s", m.Size, was.Where, was.Root, m.Where, m.Root, forked)
		}
	}
	return nil
}

// forked is what cannot be mended.
const forked = "the log signed two histories, and ends here; keep both checkpoints, they are evidence"

// target is where to go.
func (f *run) target() Mark { return f.Marks[len(f.Marks)-1] }

func (f *run) run(ctx context.Context) error {
	head, err := f.Store.DurableHead(ctx, f.LogID)
	if err != nil {
		return err
	}
	f.from, f.last = head.Size, head.IntegratedAt
	if err := f.readOwn(ctx, head); err != nil {
		return err
	}
	if head.Size >= f.target().Size {
		return nil
	}
	stops, err := f.check(ctx)
	if err != nil {
		return err
	}
	return f.write(ctx, stops)
}

// ownChunk is how many of the database's leaf hashes are read at a time.
const ownChunk = 4096

// readOwn goes over what the database has: it must be the tree of its own head,
// and contain what is known to be signed, as far as it goes.
func (f *run) readOwn(ctx context.Context, head storage.Head) error {
	var edge merkle.Edge
	var wrong []Mark
	for edge.Size() < head.Size {
		leaves, err := f.Store.LeafHashes(ctx, f.LogID, edge.Size(), min(edge.Size()+ownChunk, head.Size))
		if err != nil {
			return err
		}
		var other *Mark
		if edge, other = f.grow(edge, leaves); other != nil {
			wrong = append(wrong, *other)
		}
	}
	if edge.Root() != head.Root {
		return fmt.Errorf("the database contradicts itself: its %d leaf hashes give the root %x, and its tree head says %x; restore another backup", head.Size, edge.Root(), head.Root)
	}
	f.edge = edge
	if len(wrong) > 0 {
		return f.astray(wrong)
	}
	return nil
}

// astray says what it means that the database's tree is not what some know.
func (f *run) astray(wrong []Mark) error {
	first := wrong[0]
	for _, m := range f.Marks {
		if m.Size > first.Size && m.Size <= f.from && !slices.Contains(wrong, m) {
			return fmt.Errorf("the database's tree of size %d is the one that %s knows, and that of size %d is not the one that %s knows: %s", m.Size, m.Where, first.Size, first.Where, forked)
		}
	}
	return fmt.Errorf("the database went another way: its tree of size %d is not the one that was signed, as %s knows, and more entries do not change that; "+
		"restore a backup of the right database", first.Size, first.Where)
}

// grow appends leaves, up to the first Mark that the tree then is not, if any.
func (f *run) grow(edge merkle.Edge, leaves []merkle.Hash) (merkle.Edge, *Mark) {
	for i, m := range f.Marks {
		n := m.Size - edge.Size()
		if n <= 0 || n > int64(len(leaves)) {
			continue
		}
		edge, _ = edge.Append(leaves[:n])
		leaves = leaves[n:]
		if edge.Root() != m.Root {
			return edge, &f.Marks[i]
		}
	}
	edge, _ = edge.Append(leaves)
	return edge, nil
}

// timeOf is the time for the entry at an index.
func (f *run) timeOf(index, now int64) int64 {
	at := now
	for _, m := range f.Marks {
		if m.Size > index && m.Time > 0 {
			at = min(at, m.Time)
		}
	}
	return at
}
