package merkle

import (
	"fmt"
	"math/bits"
	"slices"
)

// Edge is the right edge of a tree: of each level the hashes of its last, not
// yet full tile. It is a value: Append makes a new one, and the old one goes on
// being right. The zero Edge is that of the empty tree.
type Edge struct {
	size   int64
	levels []partialTile
}

// partialTile is the last tile of a level, while it holds 0 to 255 hashes.
// Edges share it: its slices are never modified, nor appended to in place.
type partialTile struct {
	hashes []Hash
	roots  []Hash // of its perfect subtrees, the largest first
}

// FullTile is a tile of 256 hashes.
type FullTile struct {
	Level  int
	Index  int64
	Hashes []Hash
}

// NewEdge makes the edge of a tree from its partial tiles. partial is asked for
// each level, and must return as many hashes as the tree has there.
func NewEdge(size int64, partial func(level int) ([]Hash, error)) (Edge, error) {
	if size < 0 {
		return Edge{}, fmt.Errorf("a tree of size %d", size)
	}
	e := Edge{size: size}
	for level := 0; HashesAt(level, size) > 0; level++ {
		hashes, err := partial(level)
		if err != nil {
			return Edge{}, err
		}
		if want := PartialWidth(level, size); len(hashes) != want {
			return Edge{}, fmt.Errorf("the partial tile of level %d in a tree of size %d has %d hashes; it must have %d", level, size, len(hashes), want)
		}
		p, _, _ := partialTile{}.grow(hashes)
		e.levels = append(e.levels, p)
	}
	return e, nil
}

// Size is the tree's number of leaves.
func (e Edge) Size() int64 { return e.size }

// Levels is how many levels of tiles the tree has.
func (e Edge) Levels() int { return len(e.levels) }

// Partial returns a level's partial tile: 0 to 255 hashes, which must not be
// modified.
func (e Edge) Partial(level int) []Hash {
	if level >= len(e.levels) {
		return nil
	}
	return e.levels[level].hashes
}

// Append adds leaves, and returns the new edge and the tiles that were
// completed, those of a lower level first.
func (e Edge) Append(leaves []Hash) (Edge, []FullTile) {
	next := Edge{size: e.size + int64(len(leaves)), levels: slices.Clone(e.levels)}
	var full []FullTile
	up := leaves
	for level := 0; len(up) > 0; level++ {
		if level == len(next.levels) {
			next.levels = append(next.levels, partialTile{})
		}
		index := TilesAt(level, e.size)
		var tiles [][]Hash
		next.levels[level], tiles, up = next.levels[level].grow(up)
		for i, hashes := range tiles {
			full = append(full, FullTile{Level: level, Index: index + int64(i), Hashes: hashes})
		}
	}
	return next, full
}

// grow adds hashes, and returns what is left after the tiles that were
// completed, these tiles, and their roots.
func (p partialTile) grow(hashes []Hash) (rest partialTile, full [][]Hash, up []Hash) {
	at := len(p.hashes)
	all := slices.Concat(p.hashes, hashes)
	roots := append(make([]Hash, 0, TileHeight), p.roots...)
	for ; at < len(all); at++ {
		h := all[at]
		// As many perfect subtrees end here as there are ones at the end of at:
		// all eight at the end of a tile.
		for range bits.TrailingZeros8(^uint8(at)) {
			h = NodeHash(roots[len(roots)-1], h)
			roots = roots[:len(roots)-1]
		}
		if at%TileWidth < TileWidth-1 {
			roots = append(roots, h)
			continue
		}
		full = append(full, all[at+1-TileWidth:at+1:at+1])
		up = append(up, h)
	}
	left := all[len(full)*TileWidth:]
	if len(full) > 0 {
		left = slices.Clone(left) // so that an edge does not hold on to full tiles
	}
	return partialTile{hashes: slices.Clip(left), roots: slices.Clip(roots)}, full, up
}

// Range is the compact range of the tree: the roots of its perfect subtrees,
// the largest, leftmost, first.
func (e Edge) Range() []Hash {
	rng := make([]Hash, 0, bits.OnesCount64(uint64(e.size)))
	for _, p := range slices.Backward(e.levels) {
		rng = append(rng, p.roots...)
	}
	return rng
}

// Root is the tree's root.
func (e Edge) Root() Hash { return joinRange(e.Range()) }

func joinRange(rng []Hash) Hash {
	if len(rng) == 0 {
		return EmptyRoot()
	}
	root := rng[len(rng)-1]
	for i := len(rng) - 2; i >= 0; i-- {
		root = NodeHash(rng[i], root)
	}
	return root
}
