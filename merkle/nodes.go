package merkle

import (
	"fmt"
	"math/bits"
)

// Nodes is a tile with every perfect subtree inside it hashed once, so that
// proofs are look-ups. It never changes.
type Nodes struct {
	width int
	// hashes holds height 0, then height 1, and so on: width>>h hashes of
	// height h.
	hashes []Hash
}

// Expand hashes the subtrees of a tile of 1 to 256 hashes.
func Expand(hashes []Hash) (*Nodes, error) {
	w := len(hashes)
	if w < 1 || w > TileWidth {
		return nil, fmt.Errorf("a tile of %d hashes; it must be 1 to %d", w, TileWidth)
	}
	n := &Nodes{width: w, hashes: make([]Hash, w, offset(w, bits.Len(uint(w))))}
	copy(n.hashes, hashes)
	below := n.hashes
	for len(below) > 1 {
		start := len(n.hashes)
		for i := 0; i+1 < len(below); i += 2 {
			n.hashes = append(n.hashes, NodeHash(below[i], below[i+1]))
		}
		below = n.hashes[start:]
	}
	return n, nil
}

// offset is where the hashes of a height begin in a tile of width w.
func offset(w, height int) int {
	at := 0
	for h := range height {
		at += w >> h
	}
	return at
}

// Width is how many hashes the tile holds.
func (n *Nodes) Width() int { return n.width }

// Bytes is about how much memory n takes.
func (n *Nodes) Bytes() int { return HashSize*cap(n.hashes) + 48 }

// At returns the root of the perfect subtree of a height, 0 to 8, at an index
// counted in subtrees of that height; false if the tile does not hold it whole.
func (n *Nodes) At(height, index int) (Hash, bool) {
	if height < 0 || height > TileHeight || index < 0 || index >= n.width>>height {
		return Hash{}, false
	}
	return n.hashes[offset(n.width, height)+index], true
}

// Encode returns the tile's first width hashes as bytes; it must have as many.
func (n *Nodes) Encode(width int) []byte { return EncodeTile(n.hashes[:n.width:n.width][:width]) }
