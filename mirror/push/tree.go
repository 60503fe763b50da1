package push

import (
	"context"
	"fmt"
	"sync"

	"indelible/merkle"
)

// Tiles is where the tiles and the entries of a log are read from.
type Tiles interface {
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
	Entries(ctx context.Context, start, end int64) ([][]byte, error)
}

// TreeOf is the tree of a size whose tiles are read from somewhere. What is read
// there is not verified: the mirror does that.
func TreeOf(from Tiles, size int64) Tree {
	return &tiled{Tiles: from, size: size, kept: make(map[merkle.Tile]*merkle.Nodes)}
}

// maxKept is how many tiles are kept in memory, of some 16 KiB.
const maxKept = 256

type tiled struct {
	Tiles
	size int64

	mu   sync.Mutex
	kept map[merkle.Tile]*merkle.Nodes
}

func (t *tiled) Consistency(ctx context.Context, from int64) ([]merkle.Hash, error) {
	return t.compute(ctx)(merkle.PlanConsistency(from, t.size))
}

func (t *tiled) Subtree(ctx context.Context, start, end int64) ([]merkle.Hash, error) {
	return t.compute(ctx)(merkle.PlanSubtree(start, end, t.size))
}

func (t *tiled) compute(ctx context.Context) func(merkle.Plan, error) ([]merkle.Hash, error) {
	return func(p merkle.Plan, err error) ([]merkle.Hash, error) {
		if err != nil {
			return nil, err
		}
		return p.Compute(func(tile merkle.Tile) (*merkle.Nodes, error) { return t.nodes(ctx, tile) })
	}
}

func (t *tiled) nodes(ctx context.Context, tile merkle.Tile) (*merkle.Nodes, error) {
	t.mu.Lock()
	n := t.kept[tile]
	t.mu.Unlock()
	if n != nil {
		return n, nil
	}
	data, err := t.Tile(ctx, tile)
	if err != nil {
		return nil, err
	}
	hashes, err := merkle.DecodeTile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tile.Path(), err)
	}
	if n, err = merkle.Expand(hashes); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxKept {
		clear(t.kept)
	}
	t.kept[tile] = n
	return n, nil
}
