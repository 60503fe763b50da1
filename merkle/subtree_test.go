package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
)

// mth is RFC 6962's root, word for word.
func mth(d []Hash) Hash {
	if len(d) == 1 {
		return d[0]
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	return NodeHash(mth(d[:k]), mth(d[k:]))
}

// subtreeProofOf is the draft's SUBTREE_SUBPROOF, word for word.
func subtreeProofOf(start, end int, d []Hash, whole bool) []Hash {
	if start == 0 && end == len(d) {
		if whole {
			return nil
		}
		return []Hash{mth(d)}
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	switch {
	case end <= k:
		return append(subtreeProofOf(start, end, d[:k], whole), mth(d[k:]))
	case k <= start:
		return append(subtreeProofOf(start-k, end-k, d[k:], whole), mth(d[:k]))
	}
	return append(subtreeProofOf(0, end-k, d[k:], false), mth(d[:k]))
}

func byteLeaves(n int) []Hash {
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i] = LeafHash([]byte{byte(i)})
	}
	return leaves
}

func TestVerifySubtree(t *testing.T) {
	for n := 1; n <= 40; n++ {
		d := byteLeaves(n)
		for start := range n {
			for end := start + 1; end <= n; end++ {
				if !ValidSubtree(int64(start), int64(end)) {
					continue
				}
				proof, sub := subtreeProofOf(start, end, d, true), mth(d[start:end])
				check := func(size int64, sub, root Hash, proof []Hash) error {
					return VerifySubtree(int64(start), int64(end), size, sub, root, proof)
				}
				if err := check(int64(n), sub, mth(d), proof); err != nil {
					t.Fatalf("[%d, %d) of %d: %v", start, end, n, err)
				}
				if start == 0 {
					if err := VerifyConsistency(int64(end), int64(n), sub, mth(d), proof); err != nil {
						t.Errorf("[0, %d) of %d is no consistency proof: %v", end, n, err)
					}
				}
				if check(int64(n), LeafHash(nil), mth(d), proof) == nil || check(int64(n), sub, LeafHash(nil), proof) == nil {
					t.Errorf("[%d, %d) of %d: another root verifies", start, end, n)
				}
				if check(int64(n), sub, mth(d), append(proof, Hash{})) == nil {
					t.Errorf("[%d, %d) of %d: a hash too many", start, end, n)
				}
				for i := range proof {
					proof[i][0] ^= 1
					if check(int64(n), sub, mth(d), proof) == nil {
						t.Errorf("[%d, %d) of %d: hash %d does not matter", start, end, n, i)
					}
					proof[i][0] ^= 1
				}
				if len(proof) > 0 && check(int64(n), sub, mth(d), proof[1:]) == nil {
					t.Errorf("[%d, %d) of %d: a hash too few", start, end, n)
				}
			}
		}
	}
}

// The draft's accumulated vector: every proof of every subtree of trees up to
// 130, leaf i being the byte i. (Of the draft that knows no empty subtrees.)
func TestSubtreeVectors(t *testing.T) {
	leaves := byteLeaves(130)
	sum := sha256.New()
	for n := 1; n <= 130; n++ {
		for end := 1; end <= n; end++ {
			for start := range end {
				if !ValidSubtree(int64(start), int64(end)) {
					continue
				}
				fmt.Fprintf(sum, "[%d, %d) %d", start, end, n)
				for _, h := range subtreeProofOf(start, end, leaves[:n], true) {
					fmt.Fprintf(sum, " %x", h)
				}
				fmt.Fprintln(sum)
			}
		}
	}
	const want = "c586ebbb73a5621baf2140095d87dde934e3b6503a562a1a5215b8209edd083d"
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("the proofs hash to %s; want %s", got, want)
	}
}

// Proofs made from tiles are those of the draft's recursion.
func TestPlanSubtree(t *testing.T) {
	leaves := make([]Hash, 700)
	for i := range leaves {
		leaves[i] = LeafHash([]byte{byte(i), byte(i >> 8)})
	}
	for _, n := range []int{1, 2, 3, 13, 255, 256, 257, 300, 511, 512, 513, 700} {
		e, full := Edge{}.Append(leaves[:n])
		get := func(tile Tile) (*Nodes, error) {
			for _, f := range full {
				if f.Level == tile.Level && f.Index == tile.Index {
					return Expand(f.Hashes)
				}
			}
			return Expand(e.Partial(tile.Level))
		}
		for start := 0; start < n; start += 1 + start%7*9 {
			for _, end := range []int{start + 1, start + 2, start + 13, start + 256, n, n - 1} {
				if end > n || !ValidSubtree(int64(start), int64(end)) {
					continue
				}
				plan, err := PlanSubtree(int64(start), int64(end), int64(n))
				if err != nil {
					t.Fatal(err)
				}
				proof, err := plan.Compute(get)
				if err != nil {
					t.Fatalf("[%d, %d) of %d: %v", start, end, n, err)
				}
				if want := subtreeProofOf(start, end, leaves[:n], true); !slices.Equal(proof, want) {
					t.Errorf("[%d, %d) of %d: a proof of %d hashes is another than the draft's of %d", start, end, n, len(proof), len(want))
				}
			}
		}
	}
	if _, err := PlanSubtree(3, 5, 8); err == nil {
		t.Error("[3, 5) is no subtree, and a proof was planned")
	}
	if _, err := PlanSubtree(0, 9, 8); err == nil {
		t.Error("[0, 9) is not in a tree of 8, and a proof was planned")
	}
}

func TestValidSubtree(t *testing.T) {
	for _, test := range []struct {
		start, end int64
		valid      bool
	}{
		{0, 1, true},
		{0, 13, true},
		{8, 13, true},
		{8, 16, true},
		{4, 13, false},
		{3, 4, true},
		{3, 5, false},
		{0, 0, false},
		{5, 3, false},
		{-2, 0, false},
		{0, 1<<63 - 1, true},
		{1 << 62, 1<<63 - 1, true},
		{1, 1<<63 - 1, false},
	} {
		if ValidSubtree(test.start, test.end) != test.valid {
			t.Errorf("[%d, %d): %v", test.start, test.end, !test.valid)
		}
	}
}

func FuzzVerifySubtree(f *testing.F) {
	f.Add(int64(8), int64(13), int64(14), []byte("0123456789abcdef0123456789abcdef"))
	f.Add(int64(0), int64(1)<<62, int64(1<<63-1), []byte{})
	f.Fuzz(func(t *testing.T, start, end, size int64, data []byte) {
		var proof []Hash
		for len(data) >= 32 && len(proof) < 70 {
			proof, data = append(proof, Hash(data[:32])), data[32:]
		}
		sub := LeafHash([]byte("sub"))
		if err := VerifySubtree(start, end, size, sub, LeafHash([]byte("root")), proof); err == nil {
			t.Errorf("[%d, %d) of %d verifies", start, end, size)
		}
	})
}
