package merkle

import (
	"errors"
	"fmt"
	"math/bits"
)

// ValidSubtree reports whether the entries [start, end) can be a subtree: start
// is a multiple of the smallest power of two that is not less than their number.
// SPEC: draft-ietf-plants-merkle-tree-certs, section 4.1.
func ValidSubtree(start, end int64) bool {
	if start < 0 || start >= end {
		return false
	}
	width := uint64(1) << bits.Len64(uint64(end-start-1))
	return uint64(start)&(width-1) == 0
}

// VerifySubtree checks that the entries [start, end) with root subtree are part
// of the tree of size with root. For start 0 it is VerifyConsistency.
// SPEC: draft-ietf-plants-merkle-tree-certs, section 4.4.
func VerifySubtree(start, end, size int64, subtree, root Hash, proof []Hash) error {
	if !ValidSubtree(start, end) || end > size {
		return fmt.Errorf("[%d, %d) is not a subtree of a tree of size %d", start, end, size)
	}
	p := subtreeProof{subtree: subtree, rest: proof}
	gotSubtree, gotRoot, err := p.roots(start, end, size, true)
	switch {
	case err != nil:
		return err
	case len(p.rest) > 0:
		return fmt.Errorf("the proof has %d hashes too many", len(p.rest))
	case gotSubtree != subtree:
		return fmt.Errorf("the proof leads to the subtree root %x; it must lead to %x", gotSubtree, subtree)
	case gotRoot != root:
		return fmt.Errorf("the proof leads to the root %x; it must lead to %x", gotRoot, root)
	}
	return nil
}

// subtreeProof is a proof that is being read from its front.
type subtreeProof struct {
	subtree Hash
	rest    []Hash
}

func (p *subtreeProof) next() (Hash, error) {
	if len(p.rest) == 0 {
		return Hash{}, errors.New("the proof has too few hashes")
	}
	h := p.rest[0]
	p.rest = p.rest[1:]
	return h, nil
}

// roots computes the roots of the subtree [start, end) and of the n entries
// that it lies in. The proof was made by the same recursion, which gives a hash
// on the way back; whole says that the subtree was not cut on the way here.
func (p *subtreeProof) roots(start, end, n int64, whole bool) (subtree, root Hash, err error) {
	if start == 0 && end == n {
		if whole {
			return p.subtree, p.subtree, nil
		}
		h, err := p.next()
		return h, h, err
	}
	k := int64(1) << (bits.Len64(uint64(n-1)) - 1) // the largest power of two below n
	left, cut := end <= k, start < k && end > k
	switch {
	case left:
		subtree, root, err = p.roots(start, end, k, whole)
	case cut: // and start is 0, or it would be no subtree
		subtree, root, err = p.roots(0, end-k, n-k, false)
	default:
		subtree, root, err = p.roots(start-k, end-k, n-k, whole)
	}
	if err != nil {
		return subtree, root, err
	}
	h, err := p.next()
	switch {
	case left:
		return subtree, NodeHash(root, h), err
	case cut:
		return NodeHash(h, subtree), NodeHash(h, root), err
	}
	return subtree, NodeHash(h, root), err
}
