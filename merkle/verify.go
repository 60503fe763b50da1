package merkle

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// VerifyInclusion checks that a leaf is at index in the tree of size with the
// given root (RFC 6962 section 2.1.1).
func VerifyInclusion(index, size int64, leaf Hash, hashes []Hash, root Hash) error {
	if index < 0 || index >= size {
		return fmt.Errorf("index %d is not in a tree of size %d", index, size)
	}
	return mismatch(proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf[:], slicesOf(hashes), root[:]))
}

// VerifyConsistency checks that the tree of size from is a prefix of that of
// size to (RFC 6962 section 2.1.2).
func VerifyConsistency(from, to int64, fromRoot, toRoot Hash, hashes []Hash) error {
	switch {
	case from < 0 || from > to:
		return fmt.Errorf("from size %d to size %d: it must be 0 ≤ from ≤ to", from, to)
	case from == 0:
		empty := EmptyRoot()
		if !bytes.Equal(fromRoot[:], empty[:]) {
			return errors.New("the root of the empty tree is wrong")
		}
		if len(hashes) > 0 {
			return fmt.Errorf("a proof from the empty tree has %d hashes; it must have none", len(hashes))
		}
		if to == 0 && toRoot != fromRoot {
			return errors.New("two roots for the empty tree")
		}
		return nil
	}
	return mismatch(proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), slicesOf(hashes), fromRoot[:], toRoot[:]))
}

// mismatch says which roots differ, on one line and in hexadecimal: the
// library's own words are two lists of 32 decimal numbers.
func mismatch(err error) error {
	var m proof.RootMismatchError
	if errors.As(err, &m) {
		return fmt.Errorf("the proof leads to the root %x; it must lead to %x", m.CalculatedRoot, m.ExpectedRoot)
	}
	return err
}

func slicesOf(hashes []Hash) [][]byte {
	s := make([][]byte, len(hashes))
	for i := range hashes {
		s[i] = hashes[i][:]
	}
	return s
}
