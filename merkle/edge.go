package merkle

import "fmt"

// Edge is the right edge of a tree: of each level the hashes of its last, not
// yet full tile. It is a value: Append makes a new one, and the old one goes on
// being right. The zero Edge is that of the empty tree.
type Edge struct {
	size   int64
	levels [][]Hash // by level; never modified, nor appended to in place
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
		e.levels = append(e.levels, hashes)
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
	return e.levels[level]
}

// Append adds leaves, and returns the new edge and the tiles that were
// completed, those of a lower level first.
func (e Edge) Append(leaves []Hash) (Edge, []FullTile) {
	next := Edge{size: e.size + int64(len(leaves))}
	var full []FullTile
	up := leaves
	for level := 0; level < len(e.levels) || len(up) > 0; level++ {
		index := TilesAt(level, e.size)
		hashes := append(append(make([]Hash, 0, len(e.Partial(level))+len(up)), e.Partial(level)...), up...)
		up = nil
		for len(hashes) >= TileWidth {
			t := FullTile{Level: level, Index: index, Hashes: hashes[:TileWidth:TileWidth]}
			full = append(full, t)
			up = append(up, perfectRoot(t.Hashes))
			hashes = hashes[TileWidth:]
			index++
		}
		next.levels = append(next.levels, hashes[:len(hashes):len(hashes)])
	}
	return next, full
}

// perfectRoot is the root over a full tile.
func perfectRoot(hashes []Hash) Hash {
	var row [TileWidth / 2]Hash
	for i := range row {
		row[i] = NodeHash(hashes[2*i], hashes[2*i+1])
	}
	for n := len(row) / 2; n > 0; n /= 2 {
		for i := range n {
			row[i] = NodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// Range is the compact range of the tree: the roots of its perfect subtrees,
// the largest, leftmost, first.
func (e Edge) Range() []Hash {
	var rng []Hash
	for level := len(e.levels) - 1; level >= 0; level-- {
		rng = appendRange(rng, e.levels[level])
	}
	return rng
}

// appendRange adds the roots of the perfect subtrees of a partial tile.
func appendRange(rng, hashes []Hash) []Hash {
	for height := TileHeight - 1; height >= 0; height-- {
		if n := 1 << height; len(hashes) >= n {
			rng = append(rng, powerRoot(hashes[:n]))
			hashes = hashes[n:]
		}
	}
	return rng
}

// powerRoot is the root over a power of two of hashes.
func powerRoot(hashes []Hash) Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return NodeHash(powerRoot(hashes[:half]), powerRoot(hashes[half:]))
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
