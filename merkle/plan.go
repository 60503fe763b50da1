package merkle

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// Plan says what an answer is made from. Fetch Tiles once, then Compute.
type Plan struct {
	size  int64
	nodes proof.Nodes
	// whole: the answer is the nodes themselves, without an ephemeral one.
	whole bool
	// joins says of a subtree's proof from how many nodes each of its hashes is
	// joined.
	joins []int
}

// PlanInclusion plans the proof that the leaf at index is in the tree of size.
func PlanInclusion(index, size int64) (Plan, error) {
	if index < 0 || index >= size {
		return Plan{}, fmt.Errorf("index %d is not in a tree of size %d", index, size)
	}
	n, err := proof.Inclusion(uint64(index), uint64(size))
	return Plan{size: size, nodes: n}, err
}

// PlanConsistency plans the proof that the tree of size from is a prefix of
// that of size to. From the empty tree, or to itself, it has no hashes.
func PlanConsistency(from, to int64) (Plan, error) {
	if from < 0 || from > to {
		return Plan{}, fmt.Errorf("from size %d to size %d: it must be 0 ≤ from ≤ to", from, to)
	}
	n, err := proof.Consistency(uint64(from), uint64(to))
	return Plan{size: to, nodes: n}, err
}

// PlanRange plans the compact range of the tree of size: the roots of its
// perfect subtrees, largest first.
func PlanRange(size int64) (Plan, error) {
	if size < 0 {
		return Plan{}, fmt.Errorf("a tree of size %d", size)
	}
	ids := compact.RangeNodes(0, uint64(size), nil)
	return Plan{size: size, nodes: proof.Nodes{IDs: ids}, whole: true}, nil
}

// PlanSubtree plans the proof that the entries [start, end) are part of the tree
// of size, for VerifySubtree.
// SPEC: draft-ietf-plants-merkle-tree-certs, section 4.4.
func PlanSubtree(start, end, size int64) (Plan, error) {
	if !ValidSubtree(start, end) || end > size {
		return Plan{}, fmt.Errorf("[%d, %d) is not a subtree of a tree of size %d", start, end, size)
	}
	p := Plan{size: size}
	p.subtree(start, end, 0, size, true)
	return p, nil
}

// subtree adds the proof of the subtree [start, end) among the entries [lo, hi),
// as the draft's recursion orders it. whole says that the subtree was not cut on
// the way here.
func (p *Plan) subtree(start, end, lo, hi int64, whole bool) {
	if start == lo && end == hi {
		if !whole {
			p.join(lo, hi)
		}
		return
	}
	mid := lo + int64(1)<<(bits.Len64(uint64(hi-lo-1))-1) // the largest power of two below their number
	switch {
	case end <= mid:
		p.subtree(start, end, lo, mid, whole)
		p.join(mid, hi)
	case mid <= start:
		p.subtree(start, end, mid, hi, whole)
		p.join(lo, mid)
	default: // and start is lo, or it would be no subtree
		p.subtree(mid, end, mid, hi, false)
		p.join(lo, mid)
	}
}

// join adds the root of the entries [lo, hi), which are a subtree, to the proof.
func (p *Plan) join(lo, hi int64) {
	ids := compact.RangeNodes(uint64(lo), uint64(hi), nil)
	p.nodes.IDs = append(p.nodes.IDs, ids...)
	p.joins = append(p.joins, len(ids))
}

// place is where a node stands: in which tile, at which height, at which index.
type place struct {
	tile          Tile
	height, index int
}

func (p Plan) place(id compact.NodeID) place {
	level, height := int(id.Level)/TileHeight, int(id.Level)%TileHeight
	inTile := TileHeight - height // log2 of how many nodes of this height a tile has
	t := Tile{Level: level, Index: int64(id.Index >> inTile)}
	t.Width = int(min(TileWidth, HashesAt(level, p.size)-t.Index*TileWidth))
	return place{tile: t, height: height, index: int(id.Index & (1<<inTile - 1))}
}

// Tiles returns the tiles that hold the plan's nodes, each once, with the width
// that it has in the tree of the plan's size.
func (p Plan) Tiles() []Tile {
	var tiles []Tile
	seen := make(map[Tile]bool, len(p.nodes.IDs))
	for _, id := range p.nodes.IDs {
		if t := p.place(id).tile; !seen[t] {
			seen[t] = true
			tiles = append(tiles, t)
		}
	}
	return tiles
}

// Compute makes the answer from the tiles that get returns, each asked for
// once. These may be wider than asked: the perfect subtrees of the first hashes
// are the same.
func (p Plan) Compute(get func(Tile) (*Nodes, error)) ([]Hash, error) {
	hashes := make([]Hash, 0, len(p.nodes.IDs))
	held := make(tilesHeld, 0, 8)
	for _, id := range p.nodes.IDs {
		at := p.place(id)
		nodes, ok := held.find(at.tile)
		if !ok {
			var err error
			if nodes, err = get(at.tile); err != nil {
				return nil, err
			}
			held = append(held, tileHeld{at.tile, nodes})
		}
		h, ok := nodes.At(at.height, at.index)
		if !ok {
			return nil, fmt.Errorf("%s has %d hashes, too few for a tree of size %d", at.tile.Path(), nodes.Width(), p.size)
		}
		hashes = append(hashes, h)
	}
	return p.rehash(hashes), nil
}

// tilesHeld are the tiles that an answer has fetched: few, so searched in turn.
type tilesHeld []tileHeld

type tileHeld struct {
	tile  Tile
	nodes *Nodes
}

// find looks at the newest first: most nodes lie in the tile of the one before.
func (held tilesHeld) find(t Tile) (*Nodes, bool) {
	for _, h := range slices.Backward(held) {
		if h.tile == t {
			return h.nodes, true
		}
	}
	return nil, false
}

// rehash joins the nodes that together stand in for one the tree does not have
// whole. They are in the order of the proof, lower first, so the later is the
// left one.
func (p Plan) rehash(hashes []Hash) []Hash {
	if p.whole {
		return hashes
	}
	if p.joins != nil {
		return joinEach(hashes, p.joins)
	}
	_, begin, end := p.nodes.Ephem()
	if end-begin < 2 {
		return hashes
	}
	joined := hashes[begin]
	for _, h := range hashes[begin+1 : end] {
		joined = NodeHash(h, joined)
	}
	return append(append(hashes[:begin:begin], joined), hashes[end:]...)
}

// joinEach joins consecutive nodes, the largest first, to one root each.
func joinEach(hashes []Hash, joins []int) []Hash {
	roots := make([]Hash, 0, len(joins))
	for _, n := range joins {
		roots, hashes = append(roots, joinRange(hashes[:n])), hashes[n:]
	}
	return roots
}
