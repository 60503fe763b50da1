package log

import (
	"context"
	"errors"
	"fmt"

	"indelible/merkle"
	"indelible/storage"
)

// maxCatchUp is how many leaf hashes are read to carry a known edge forward;
// beyond that it is loaded from tiles, and a consistency proof stands in for the
// hashes.
const maxCatchUp = 8192

// treeReader reads the parts of a tree, inside of an append transaction or
// outside.
type treeReader interface {
	LeafHashes(ctx context.Context, start, end int64) ([]storage.Hash, error)
	Tile(ctx context.Context, level int, index int64) ([]byte, error)
	Edge(ctx context.Context, level int) (storage.Edge, error)
}

// committed reads one log's committed rows.
type committed struct {
	store storage.Store
	logID int64
}

func (c committed) LeafHashes(ctx context.Context, start, end int64) ([]storage.Hash, error) {
	return c.store.LeafHashes(ctx, c.logID, start, end)
}

func (c committed) Tile(ctx context.Context, level int, index int64) ([]byte, error) {
	return c.store.Tile(ctx, c.logID, level, index)
}

func (c committed) Edge(ctx context.Context, level int) (storage.Edge, error) {
	return c.store.Edge(ctx, c.logID, level)
}

func (l *Log) rows() committed { return committed{l.cfg.Store, l.cfg.Record.ID} }

// extendEdge carries a known edge forward to a tree head, and so proves that
// the head extends it. A head that does not is a contradiction.
func extendEdge(ctx context.Context, r treeReader, known merkle.Edge, size int64, root merkle.Hash) (merkle.Edge, error) {
	switch {
	case size < known.Size():
		return known, rollback(size, known.Size())
	case size-known.Size() > maxCatchUp:
		return leapEdge(ctx, r, known, size, root)
	}
	next := known
	if size > known.Size() {
		leaves, err := r.LeafHashes(ctx, known.Size(), size)
		if err != nil {
			return known, err
		}
		next, _ = known.Append(leaves)
	}
	if got := next.Root(); got != root {
		return known, contradictf("fork: the tree of size %d has root %x, and extending what is known from size %d leads to %x",
			size, root, known.Size(), got)
	}
	return next, nil
}

func rollback(size, known int64) error {
	return contradictf("rollback: the database's tree head has size %d, and this log has seen size %d: "+
		"the database was restored from an older copy, or failed over to a replica that lost commits", size, known)
}

// leapEdge loads the edge at size, and checks it and its consistency with what
// is known.
func leapEdge(ctx context.Context, r treeReader, known merkle.Edge, size int64, root merkle.Hash) (merkle.Edge, error) {
	edge, err := loadEdge(ctx, r, size)
	if err != nil {
		return known, err
	}
	if got := edge.Root(); got != root {
		return known, contradictf("the database's tiles give the tree of size %d the root %x, and its head says %x", size, got, root)
	}
	plan, err := merkle.PlanConsistency(known.Size(), size)
	if err != nil {
		return known, err
	}
	proof, err := plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) { return loadNodes(ctx, r, t) })
	if err != nil {
		return known, err
	}
	if err := merkle.VerifyConsistency(known.Size(), size, known.Root(), root, proof); err != nil {
		return known, contradictf("fork: the tree of size %d with root %x does not extend that of size %d with root %x, which is known: %v",
			size, root, known.Size(), known.Root(), err)
	}
	return edge, nil
}

// loadEdge reads the right edge of the tree at a size that the database has.
func loadEdge(ctx context.Context, r treeReader, size int64) (merkle.Edge, error) {
	return merkle.NewEdge(size, func(level int) ([]merkle.Hash, error) {
		t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, size), Width: merkle.PartialWidth(level, size)}
		if t.Width == 0 {
			return nil, nil
		}
		return loadTile(ctx, r, t)
	})
}

func loadNodes(ctx context.Context, r treeReader, t merkle.Tile) (*merkle.Nodes, error) {
	hashes, err := loadTile(ctx, r, t)
	if err != nil {
		return nil, err
	}
	return merkle.Expand(hashes)
}

// loadTile reads a tile of any width: the full one cut to width, or what is
// there of it.
func loadTile(ctx context.Context, r treeReader, t merkle.Tile) ([]merkle.Hash, error) {
	if t.Level == 0 && t.Width < merkle.TileWidth {
		start := t.Index * merkle.TileWidth
		return r.LeafHashes(ctx, start, start+int64(t.Width))
	}
	data, err := r.Tile(ctx, t.Level, t.Index)
	if errors.Is(err, storage.ErrNotFound) && t.Width < merkle.TileWidth {
		data, err = loadPartial(ctx, r, t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Path(), err)
	}
	hashes, err := merkle.DecodeTile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: it has %d bytes: %w", t.Path(), len(data), storage.ErrCorrupt)
	}
	// No ErrCorrupt, which would freeze the log: a server that lags has fewer, and
	// soon has the others.
	if len(hashes) < t.Width {
		return nil, fmt.Errorf("%s: the database has %d of its hashes at present, not %d: it lags behind the tree head, or they are lost", t.Path(), len(hashes), t.Width)
	}
	return hashes[:t.Width], nil
}

// loadPartial reads a partial tile above level 0. Between two reads it may
// have become full, and a full tile.
func loadPartial(ctx context.Context, r treeReader, t merkle.Tile) ([]byte, error) {
	e, err := r.Edge(ctx, t.Level)
	if err == nil && e.Index == t.Index {
		return e.Hashes, nil
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	return r.Tile(ctx, t.Level, t.Index)
}
