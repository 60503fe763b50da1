package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"indelible/internal/bytecache"
	"indelible/merkle"
)

// Bounds of what a tree keeps, in bytes: of authenticated tiles, and of right edges.
const (
	maxKeptTiles = 8 << 20
	maxKeptEdges = 1 << 20
)

// tree reads hash tiles, and returns only those that are below a head: it joins the
// right edge, whose root is the head's, and goes down from there tile by tile.
type tree struct {
	from *prefixes
	path func(merkle.Tile) string
	// checkpoint is the path of the checkpoint.
	checkpoint string

	edges *bytecache.Cache[treeHead, merkle.Edge]
	// full has the full tiles by their roots: a tile is the same below every head.
	full *bytecache.Cache[merkle.Hash, *merkle.Nodes]
}

type treeHead struct {
	size int64
	root merkle.Hash
}

func newTree(from *prefixes, where layout) *tree {
	return &tree{
		from: from, path: where.tile, checkpoint: where.checkpoint,
		edges: bytecache.New(maxKeptEdges, func(treeHead, merkle.Edge) int64 { return 32 << 10 }),
		full:  bytecache.New(maxKeptTiles, func(_ merkle.Hash, n *merkle.Nodes) int64 { return int64(n.Bytes()) }),
	}
}

// edge returns the right edge of a head's tree. A prefix serves all of it, since only the
// whole shows whether it is right.
func (t *tree) edge(ctx context.Context, head Head) (merkle.Edge, error) {
	return t.edges.Get(ctx, treeHead{head.Size, head.Root}, func(ctx context.Context) (merkle.Edge, error) {
		var first error
		for _, from := range t.from.each() {
			edge, served, err := t.edgeFrom(ctx, from, head)
			if err == nil && edge.Root() == head.Root {
				return edge, nil
			}
			if err == nil {
				err = t.wrongEdge(ctx, from, head, edge, served)
			}
			if first == nil || !errors.Is(first, ErrFalse) && errors.Is(err, ErrFalse) {
				first = err
			}
			if ctx.Err() != nil {
				break
			}
		}
		return merkle.Edge{}, first
	})
}

// edgeFrom returns an edge as a prefix serves it, and the bytes of its tiles.
func (t *tree) edgeFrom(ctx context.Context, from *prefixes, head Head) (merkle.Edge, []byte, error) {
	var served [][]byte
	edge, err := merkle.NewEdge(head.Size, func(level int) ([]merkle.Hash, error) {
		width := merkle.PartialWidth(level, head.Size)
		if width == 0 {
			return nil, nil
		}
		data, err := from.tile(ctx, t.path, merkle.Tile{Level: level, Index: merkle.TilesAt(level, head.Size), Width: width}, nil)
		if err != nil {
			return nil, err
		}
		served = append(served, data)
		return merkle.DecodeTile(data)
	})
	return edge, bytes.Join(served, nil), err
}

// wrongEdge finds the partial tile that is not what it must be: with the hashes of
// the full tiles below it in its place, the edge leads to the head.
func (t *tree) wrongEdge(ctx context.Context, from *prefixes, head Head, edge merkle.Edge, served []byte) error {
	for level := edge.Levels() - 1; level > 0; level-- {
		right, err := t.rebuilt(ctx, level, edge)
		if err != nil {
			continue // it is told that some tile is wrong, if not which
		}
		fixed, err := merkle.NewEdge(head.Size, func(l int) ([]merkle.Hash, error) {
			if l == level {
				return right, nil
			}
			return edge.Partial(l), nil
		})
		if err != nil || fixed.Root() != head.Root {
			continue
		}
		name := merkle.Tile{Level: level, Index: merkle.TilesAt(level, head.Size), Width: len(right)}
		at := firstDifference(edge.Partial(level), right)
		return from.fault("tile", t.path(name), (name.Index*merkle.TileWidth+int64(at))<<(level*merkle.TileHeight),
			fmt.Errorf("its hash %d is not that of the tile below it", at), merkle.EncodeTile(edge.Partial(level)))
	}
	path := t.checkpoint
	if width := merkle.PartialWidth(0, head.Size); width > 0 {
		path = t.path(merkle.Tile{Index: merkle.TilesAt(0, head.Size), Width: width})
	}
	return from.fault("tile", path, head.Size/BlockSize*BlockSize, fmt.Errorf(
		"the partial tiles of the tree of size %d lead to the root %x, and the checkpoint says %x", head.Size, edge.Root(), head.Root), served)
}

// rebuilt are the hashes of a level's partial tile, as the full tiles below give
// them.
func (t *tree) rebuilt(ctx context.Context, level int, edge merkle.Edge) ([]merkle.Hash, error) {
	had := edge.Partial(level)
	right := make([]merkle.Hash, len(had))
	for i := range right {
		below := merkle.Tile{Level: level - 1, Index: merkle.TilesAt(level, edge.Size())*merkle.TileWidth + int64(i), Width: merkle.TileWidth}
		data, err := t.from.tile(ctx, t.path, below, nil)
		if err != nil {
			return nil, err
		}
		if right[i], err = rootOfTile(data); err != nil {
			return nil, err
		}
	}
	return right, nil
}

func rootOfTile(data []byte) (merkle.Hash, error) {
	hashes, err := merkle.DecodeTile(data)
	if err != nil {
		return merkle.Hash{}, err
	}
	return rootOf(hashes), nil
}

// rootOf is the root over up to 256 hashes.
func rootOf(hashes []merkle.Hash) merkle.Hash {
	edge, _ := merkle.Edge{}.Append(hashes)
	return edge.Root()
}

func firstDifference(a, b []merkle.Hash) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// hash returns hash index of a level of tiles: the root of the full tile of that
// index, one level below.
func (t *tree) hash(ctx context.Context, head Head, level int, index int64) (merkle.Hash, error) {
	if index/merkle.TileWidth >= merkle.TilesAt(level, head.Size) {
		edge, err := t.edge(ctx, head)
		if err != nil {
			return merkle.Hash{}, err
		}
		return edge.Partial(level)[index%merkle.TileWidth], nil
	}
	nodes, err := t.tile(ctx, head, level, index/merkle.TileWidth)
	if err != nil {
		return merkle.Hash{}, err
	}
	h, _ := nodes.At(0, int(index%merkle.TileWidth))
	return h, nil
}

// tile returns a full tile that is below the head.
func (t *tree) tile(ctx context.Context, head Head, level int, index int64) (*merkle.Nodes, error) {
	root, err := t.hash(ctx, head, level+1, index)
	if err != nil {
		return nil, err
	}
	return t.full.Get(ctx, root, func(ctx context.Context) (*merkle.Nodes, error) {
		var nodes *merkle.Nodes
		_, err := t.from.tile(ctx, t.path, merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}, func(data []byte) error {
			hashes, err := merkle.DecodeTile(data)
			if err == nil {
				nodes, err = merkle.Expand(hashes)
			}
			if err != nil {
				return err
			}
			if got, _ := nodes.At(merkle.TileHeight, 0); got != root {
				return fmt.Errorf("its root is %x, and the tile above says %x", got, root)
			}
			return nil
		})
		return nodes, err
	})
}

// compute carries out a plan for a tree that is no larger than the head's.
func (t *tree) compute(ctx context.Context, head Head, plan merkle.Plan) ([]merkle.Hash, error) {
	return plan.Compute(func(tile merkle.Tile) (*merkle.Nodes, error) {
		if tile.Index < merkle.TilesAt(tile.Level, head.Size) {
			return t.tile(ctx, head, tile.Level, tile.Index)
		}
		edge, err := t.edge(ctx, head)
		if err != nil {
			return nil, err
		}
		return merkle.Expand(edge.Partial(tile.Level))
	})
}

// consistent proves that the older head's tree is the beginning of the newer's. Its
// error is a Fault with a *ForkError if it is not.
func (t *tree) consistent(ctx context.Context, older, newer Head) ([]merkle.Hash, error) {
	fork := &ForkError{Older: older, Newer: newer, Root: newer.Root}
	switch {
	case older.Size > newer.Size:
		return nil, fmt.Errorf("the older tree has %d entries, and the newer one %d", older.Size, newer.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return nil, t.from.fault("checkpoint", t.checkpoint, -1, fork, newer.Note)
	case older.Size == 0 || older.Size == newer.Size:
		return nil, nil
	}
	plan, err := merkle.PlanConsistency(older.Size, newer.Size)
	if err != nil {
		return nil, err
	}
	proof, err := t.compute(ctx, newer, plan)
	if err != nil {
		return nil, err
	}
	if merkle.VerifyConsistency(older.Size, newer.Size, older.Root, newer.Root, proof) == nil {
		return proof, nil
	}
	fork.Proof = proof
	if plan, err = merkle.PlanRange(older.Size); err != nil {
		return nil, err
	}
	rng, err := t.compute(ctx, newer, plan)
	if err == nil {
		fork.Root, err = merkle.RangeRoot(older.Size, rng)
	}
	if err != nil {
		return nil, err
	}
	return nil, t.from.fault("consistency", t.checkpoint, -1, fork, newer.Note)
}

// check holds the leaf hashes of block n, as its entries give them, against the
// head. Its error says which entry is wrong, if that can be found out.
func (t *tree) check(ctx context.Context, head Head, n int64, leaves []merkle.Hash) error {
	if n < merkle.TilesAt(0, head.Size) {
		want, err := t.hash(ctx, head, 1, n)
		if err != nil {
			return err
		}
		if got := rootOf(leaves); got != want {
			return t.wrongEntry(ctx, head, n, leaves, fmt.Errorf("its entries give the hash %x, and the tree has %x", got, want))
		}
		return nil
	}
	edge, err := t.edge(ctx, head)
	if err != nil {
		return err
	}
	if at := firstDifference(leaves, edge.Partial(0)); at < len(leaves) {
		return &wrongEntryError{n*BlockSize + int64(at), fmt.Errorf("entry %d is not the one in the tree", n*BlockSize+int64(at))}
	}
	return nil
}

func (t *tree) wrongEntry(ctx context.Context, head Head, n int64, leaves []merkle.Hash, why error) error {
	nodes, err := t.tile(ctx, head, 0, n)
	if err != nil {
		return &wrongEntryError{n * BlockSize, why}
	}
	for i, leaf := range leaves {
		if h, _ := nodes.At(0, i); h != leaf {
			return &wrongEntryError{n*BlockSize + int64(i), fmt.Errorf("entry %d is not the one in the tree", n*BlockSize+int64(i))}
		}
	}
	return &wrongEntryError{n * BlockSize, why}
}

// wrongEntryError is a bundle with an entry that is not in the tree.
type wrongEntryError struct {
	index int64
	error
}
