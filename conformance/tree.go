package conformance

import (
	"fmt"
	"math/bits"

	"indelible/merkle"
)

const (
	// maxSize bounds the tree that a run rebuilds: some 64 MiB of hashes.
	maxSize = 1 << 20
	// maxGrowth is more than a run adds to it.
	maxGrowth = 1 << 12
	// minGrown is the size from which all requests can be made.
	minGrown = 16
)

// tree is a Merkle tree whose entries follow from a seed. It grows as it is
// asked; it is used by one goroutine.
type tree struct {
	seed   string
	levels [][]merkle.Hash // levels[k][i] is the root of the entries [i·2^k, (i+1)·2^k)
}

func newTree(seed string) *tree { return &tree{seed: seed, levels: make([][]merkle.Hash, 1)} }

// grow makes the tree at least as large as size.
func (t *tree) grow(size int64) {
	for n := int64(len(t.levels[0])); n < size; n++ {
		h := merkle.LeafHash(fmt.Appendf(nil, "entry %d of %s", n, t.seed))
		t.levels[0] = append(t.levels[0], h)
		for k := 0; len(t.levels[k])%2 == 0; k++ {
			if k+1 == len(t.levels) {
				t.levels = append(t.levels, nil)
			}
			below := t.levels[k]
			t.levels[k+1] = append(t.levels[k+1], merkle.NodeHash(below[len(below)-2], below[len(below)-1]))
		}
	}
}

// root is the hash of the subtree [start, end), which must be a valid one.
func (t *tree) root(start, end int64) merkle.Hash {
	t.grow(end)
	n := end - start
	if n == 0 {
		return merkle.EmptyRoot()
	}
	if n&(n-1) == 0 {
		return t.levels[bits.TrailingZeros64(uint64(n))][start/n]
	}
	k := split(n)
	return merkle.NodeHash(t.root(start, start+k), t.root(start+k, end))
}

// proof is the proof that [start, end) is part of the tree of a size; for start
// 0 that is the consistency proof.
// SPEC: draft-ietf-plants-merkle-tree-certs, section 4.4; RFC 6962, 2.1.2.
func (t *tree) proof(start, end, size int64) []merkle.Hash {
	if end == 0 {
		return nil
	}
	return t.subproof(start, end, 0, size, true)
}

// subproof is the proof of [start, end) in the subtree [from, to). known says
// that whoever verifies has the hash of a whole subtree.
func (t *tree) subproof(start, end, from, to int64, known bool) []merkle.Hash {
	if start == from && end == to {
		if known {
			return nil
		}
		return []merkle.Hash{t.root(from, to)}
	}
	mid := from + split(to-from)
	switch {
	case end <= mid:
		return append(t.subproof(start, end, from, mid, known), t.root(mid, to))
	case mid <= start:
		return append(t.subproof(start, end, mid, to, known), t.root(from, mid))
	}
	return append(t.subproof(mid, end, mid, to, false), t.root(from, mid))
}

// split is the largest power of two that is smaller than n, which is over 1.
func split(n int64) int64 { return 1 << (bits.Len64(uint64(n-1)) - 1) }
