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

func checkRange(size int64, rng []Hash) error {
	if size < 0 {
		return fmt.Errorf("a tree of size %d", size)
	}
	if want := bits.OnesCount64(uint64(size)); len(rng) != want {
		return fmt.Errorf("the compact range of a tree of size %d has %d hashes; it must have %d", size, len(rng), want)
	}
	return nil
}
