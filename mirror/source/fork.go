package source

import (
	"fmt"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/merkle"
)

// ForkError is two heads that the log signed and that cannot both be true.
type ForkError struct {
	Older, Newer Head
	// Root is that of the first Older.Size entries of the newer tree, as Proof
	// proves. It is not Older.Root.
	Root  merkle.Hash
	Proof []merkle.Hash
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log forked: it signed the tree of size %d with root %x, and the tree of size %d, whose first %d entries have the root %x",
		e.Older.Size, e.Older.Root, e.Newer.Size, e.Older.Size, e.Root)
}

// Evidence is a file that proves the fork to anybody who has the log's keys.
func (e *ForkError) Evidence(keys []checkpoint.Verifier) ([]byte, error) {
	if e.Older.Size == e.Newer.Size {
		return evidence.OfTwoHeads(keys, e.Older.Note, e.Newer.Note)
	}
	return evidence.OfFork(keys, e.Older.Note, e.Newer.Note, e.Root, e.Proof)
}
