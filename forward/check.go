package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"indelible/merkle"
)

// Bounds of one append, which ends with the bundle that reaches one of them.
const (
	maxEntries = 4096
	maxBytes   = 8 << 20
)

// stop is a tree that the database is to have for a moment: between two appends.
type stop struct {
	size int64
	root merkle.Hash
}

// check reads everything that is missing, and proves that with the database's
// entries it is the tree of every Mark. It returns the appends' ends: 40 bytes
// for some thousand entries.
func (f *run) check(ctx context.Context) ([]stop, error) {
	edge, begun, bytes := f.edge, f.edge.Size(), 0
	var stops []stop
	var wrong *Mark
	err := f.missing(ctx, func(entries [][]byte) error {
		if edge, wrong = f.grow(edge, leafHashes(entries)); wrong != nil {
			return errNotSigned
		}
		for _, e := range entries {
			bytes += len(e)
		}
		if edge.Size()-begun >= maxEntries || bytes >= maxBytes || edge.Size() == f.target().Size {
			stops = append(stops, stop{edge.Size(), edge.Root()})
			begun, bytes = edge.Size(), 0
		}
		f.progress(false, edge.Size())
		return nil
	})
	if wrong != nil {
		err = f.diagnose(ctx, *wrong)
	}
	return stops, err
}

// errNotSigned ends the reading of entries that do not lead to a Mark.
var errNotSigned = errors.New("this is not what was signed")

func (f *run) progress(writing bool, size int64) {
	if f.Progress != nil {
		f.Progress(writing, size-f.from, f.target().Size-f.from)
	}
}

// diagnose finds out whose fault it is that the entries do not lead to a Mark.
// The mirror's tiles are a second witness: nobody vouches for them either, and
// yet what they prove to be in the target's tree is in it.
func (f *run) diagnose(ctx context.Context, wrong Mark) error {
	seen := fmt.Errorf("the mirror's entries, after the database's first %d, do not lead to the tree of size %d that was signed, as %s knows; nothing was written",
		f.from, wrong.Size, wrong.Where)
	own, target := Mark{"the database", f.from, f.edge.Root(), 0}, f.target()
	for _, m := range append(slices.Clone(f.Marks), own) {
		root, err := f.prefix(ctx, m.Size)
		switch {
		case err != nil:
			return fmt.Errorf("%w; nor do its tiles: it is not a mirror of this log, or is damaged: take another (%w)", seen, err)
		case root == m.Root:
		case m == own:
			return fmt.Errorf("%w; its tiles do, and the database's %d entries are not in that tree: the database went another way; restore a backup of the right one", seen, f.from)
		default:
			return fmt.Errorf("%w; its tiles prove that the tree of size %d that %s knows is not in that of size %d that %s knows: %s",
				seen, m.Size, m.Where, target.Size, target.Where, forked)
		}
	}
	return f.changedEntry(ctx, seen)
}

// prefix is the root of the first entries of the target's tree, which the
// mirror's tiles prove.
func (f *run) prefix(ctx context.Context, size int64) (merkle.Hash, error) {
	target := f.target()
	if size == 0 {
		return merkle.EmptyRoot(), nil
	}
	hashes, err := f.compute(ctx)(merkle.PlanRange(size))
	if err != nil {
		return merkle.Hash{}, err
	}
	root, err := merkle.RangeRoot(size, hashes)
	if err != nil {
		return root, err
	}
	proof, err := f.compute(ctx)(merkle.PlanConsistency(size, target.Size))
	if err != nil {
		return root, err
	}
	return root, merkle.VerifyConsistency(size, target.Size, root, target.Root, proof)
}

// compute carries a plan out over the mirror's tiles.
func (f *run) compute(ctx context.Context) func(merkle.Plan, error) ([]merkle.Hash, error) {
	return func(plan merkle.Plan, err error) ([]merkle.Hash, error) {
		if err != nil {
			return nil, err
		}
		return plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) { return f.tile(ctx, t.Level, t.Index) })
	}
}

// tile reads a tile of the target's tree, as wide as it is there: a mirror need
// not have it any narrower.
func (f *run) tile(ctx context.Context, level int, index int64) (*merkle.Nodes, error) {
	t := merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}
	if index == merkle.TilesAt(level, f.target().Size) {
		t.Width = merkle.PartialWidth(level, f.target().Size)
	}
	data, err := f.Mirror.Tile(ctx, t)
	if err != nil {
		return nil, err
	}
	hashes, err := merkle.DecodeTile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Path(), err)
	}
	return merkle.Expand(hashes)
}

// changedEntry names the first entry that does not hash to what the mirror's own
// tiles say.
func (f *run) changedEntry(ctx context.Context, seen error) error {
	at := f.from
	err := f.missing(ctx, func(entries [][]byte) error {
		nodes, err := f.tile(ctx, 0, at/merkle.TileWidth)
		if err != nil {
			return err
		}
		for _, leaf := range leafHashes(entries) {
			if is, ok := nodes.At(0, int(at%merkle.TileWidth)); !ok || is != leaf {
				return errNotSigned
			}
			at++
		}
		return nil
	})
	if errors.Is(err, errNotSigned) {
		return fmt.Errorf("%w; its tiles do: its entry %d was changed; take another mirror", seen, at)
	}
	return fmt.Errorf("%w; its tiles do, so one of its entries was changed; take another mirror", seen)
}
