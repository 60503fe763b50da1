package merkle

import (
	"fmt"
	"math/bits"
)

// RangeRoot is the root of the tree whose compact range is rng.
func RangeRoot(size int64, rng []Hash) (Hash, error) {
	if err := checkRange(size, rng); err != nil {
		return Hash{}, err
	}
	return joinRange(rng), nil
}

// ExtendRange adds leaves to a tree that is known by its compact range.
func ExtendRange(size int64, rng []Hash, leaves []Hash) (int64, []Hash, error) {
	if err := checkRange(size, rng); err != nil {
		return 0, nil, err
	}
	next := append([]Hash(nil), rng...)
	for _, h := range leaves {
		// As many perfect subtrees end here as size has trailing ones.
		for range bits.TrailingZeros64(^uint64(size)) {
			h = NodeHash(next[len(next)-1], h)
			next = next[:len(next)-1]
		}
		next = append(next, h)
		size++
	}
	return size, next, nil
}

func checkRange(size int64, rng []Hash) error {
	if size < 0 {
		return fmt.Errorf("a tree of size %d", size)
	}
	if want := bits.OnesCount64(uint64(size)); len(rng) != want {
		return fmt.Errorf("the compact range of a tree of size %d has %d hashes; it must have %d", size, len(rng), want)
	}
	return nil
}
