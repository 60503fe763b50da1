package conformance

import (
	"fmt"
	"slices"
	"testing"

	"indelible/merkle"
)

// The tree's roots and proofs are those of package merkle, which is not made by
// the same code.
func TestTree(t *testing.T) {
	const most = 300
	var leaves []merkle.Hash
	for i := range most {
		leaves = append(leaves, merkle.LeafHash(fmt.Appendf(nil, "entry %d of seed", i)))
	}
	tr := newTree("seed")
	var roots []merkle.Hash
	for size := range int64(most) {
		edge, _ := merkle.Edge{}.Append(leaves[:size])
		roots = append(roots, edge.Root())
		if got := tr.root(0, size); got != edge.Root() {
			t.Fatalf("size %d: root %x, expected %x", size, got, edge.Root())
		}
	}
	for size := int64(1); size < most; size += 7 {
		for old := int64(1); old <= size; old++ {
			if err := merkle.VerifyConsistency(old, size, roots[old], roots[size], tr.proof(0, old, size)); err != nil {
				t.Errorf("from %d to %d: %v", old, size, err)
			}
		}
		for _, at := range ranges(max(size, 9)) {
			if size > 8 && !merkle.ValidSubtree(at[0], at[1]) {
				t.Errorf("%v is no subtree", at)
			}
			if at[1] > size {
				continue
			}
			if err := merkle.VerifySubtree(at[0], at[1], size, tr.root(at[0], at[1]), roots[size], tr.proof(at[0], at[1], size)); err != nil {
				t.Errorf("%v of %d: %v", at, size, err)
			}
		}
	}
}

// Runs begin anywhere, and find the same tree.
func TestSameTreeInEveryRun(t *testing.T) {
	a, b := newTree("seed"), newTree("seed")
	a.grow(100)
	if a.root(0, 1000) != b.root(0, 1000) || !slices.Equal(a.proof(0, 999, 1000), b.proof(0, 999, 1000)) {
		t.Error("the tree depends on how it grew")
	}
	if a.root(0, 1000) == newTree("other").root(0, 1000) {
		t.Error("the tree does not depend on the seed")
	}
}
