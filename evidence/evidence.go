package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Kind is what is proven.
type Kind string

// The kinds.
const (
	TwoHeads Kind = "two-heads"
	Fork     Kind = "fork"
	Shrunk   Kind = "shrunk"
)

var (
	// ErrMalformed: it is no file of evidence.
	ErrMalformed = errors.New("malformed evidence")
	// ErrNotProven: it is one, and does not prove what it says.
	ErrNotProven = errors.New("not proven")
	// ErrUntrusted: it is proven, about a key that is not among those asked for.
	ErrUntrusted = errors.New("about another key")
)

// Evidence is what a file proves about whoever holds Keys.
type Evidence struct {
	Kind Kind
	// Keys holds the key that signed both, or those that signed the first and
	// the second, which are then of one name.
	Keys []checkpoint.Verifier
	// First is the smaller one of a fork, the earlier one of a shrunk log, and
	// of two heads the one with the lower root.
	First, Second Signed
	// Root is the root of the second's tree at the size of the first; of a fork.
	Root  merkle.Hash
	Proof []merkle.Hash // that the second's tree begins with that of Root
}

// Signed is a checkpoint that one of the keys signed.
type Signed struct {
	checkpoint.Checkpoint
	Note []byte // with the signature by that key alone
	Time int64  // of a cosignature, in POSIX seconds; else 0
}

// Verify returns what a file proves, if all the keys that it is about are
// trusted to be of whom it concerns. With ErrUntrusted it returns what is proven
// about keys that are not.
func Verify(file []byte, trusted []checkpoint.Verifier) (Evidence, error) {
	e, err := parse(file)
	if err != nil {
		return Evidence{}, err
	}
	for _, k := range e.Keys {
		if !slices.ContainsFunc(trusted, k.Equal) {
			return e, fmt.Errorf("%w: %s", ErrUntrusted, shortKey(k))
		}
	}
	return e, nil
}

// OfTwoHeads makes the evidence that two checkpoints of one size, each signed by
// one of the keys, have different roots.
func OfTwoHeads(keys []checkpoint.Verifier, a, b []byte) ([]byte, error) {
	return makeOf(keys, a, b, func(first, second Signed) Evidence {
		if bytes.Compare(first.Root[:], second.Root[:]) > 0 {
			first, second = second, first
		}
		return Evidence{Kind: TwoHeads, First: first, Second: second}
	})
}

// OfFork makes the evidence that the tree of a smaller checkpoint is not the
// beginning of that of a larger one: proof shows that the larger one begins with
// a tree of that size under root, which is another.
func OfFork(keys []checkpoint.Verifier, smaller, larger []byte, root merkle.Hash, proof []merkle.Hash) ([]byte, error) {
	return makeOf(keys, smaller, larger, func(first, second Signed) Evidence {
		return Evidence{Kind: Fork, First: first, Second: second, Root: root, Proof: proof}
	})
}

// OfShrunk makes the evidence that one key, which signs times, stated a smaller
// tree to be the largest at a later time.
func OfShrunk(keys []checkpoint.Verifier, earlier, later []byte) ([]byte, error) {
	return makeOf(keys, earlier, later, func(first, second Signed) Evidence {
		return Evidence{Kind: Shrunk, First: first, Second: second}
	})
}

// makeOf makes a file about one key that signed both notes; about two keys of
// one name only if there is no such one.
func makeOf(keys []checkpoint.Verifier, a, b []byte, of func(first, second Signed) Evidence) ([]byte, error) {
	failed := fmt.Errorf("%w: the checkpoints are not signed by one key, or keys of one name", ErrNotProven)
	for _, pair := range pairs(keys) {
		first, errA := open(a, pair[0])
		second, errB := open(b, pair[1])
		if errA != nil || errB != nil {
			continue
		}
		e := of(first, second)
		e.Keys = keysFor(e, pair)
		file := e.marshal()
		if _, err := parse(file); err != nil {
			failed = err
			continue
		}
		return file, nil
	}
	return nil, failed
}

// pairs are the pairs of keys of one name, those of a key with itself first.
func pairs(keys []checkpoint.Verifier) [][2]checkpoint.Verifier {
	var same, mixed [][2]checkpoint.Verifier
	for i, k := range keys {
		same = append(same, [2]checkpoint.Verifier{k, k})
		for j, l := range keys {
			if i != j && k.Name() == l.Name() {
				mixed = append(mixed, [2]checkpoint.Verifier{k, l})
			}
		}
	}
	return append(same, mixed...)
}

// keysFor puts the keys in the order of the checkpoints that they signed.
func keysFor(e Evidence, pair [2]checkpoint.Verifier) []checkpoint.Verifier {
	if pair[0].Equal(pair[1]) {
		return pair[:1]
	}
	if _, err := open(e.First.Note, pair[0]); err != nil {
		return []checkpoint.Verifier{pair[1], pair[0]}
	}
	return pair[:]
}

// open opens a checkpoint of any log that a key signed.
func open(note []byte, key checkpoint.Verifier) (Signed, error) {
	n, err := checkpoint.ParseNote(note)
	if err != nil {
		return Signed{}, err
	}
	c, _, err := checkpoint.ParseExtended(n.Text)
	if err != nil {
		return Signed{}, err
	}
	// Extension lines that a key did not sign are no part of what it said.
	if key.Algorithm() == checkpoint.CosignatureV1MLDSA44 {
		n.Text = c.Text()
	}
	o, err := checkpoint.OpenExtended(c.Origin, n.Marshal(), []checkpoint.Verifier{key})
	if err != nil {
		return Signed{}, err
	}
	seconds, _ := o.Timestamp(key)
	return Signed{Checkpoint: o.Checkpoint, Note: o.Note, Time: seconds}, nil
}

// check says why e, whose checkpoints are signed, is no contradiction.
func (e Evidence) check() error {
	if e.First.Origin != e.Second.Origin {
		return fmt.Errorf("%w: the checkpoints are of two logs, %q and %q", ErrNotProven, e.First.Origin, e.Second.Origin)
	}
	if len(e.Keys) == 2 && e.Keys[0].Name() != e.Keys[1].Name() {
		return fmt.Errorf("%w: the checkpoints are signed by keys of two names, %q and %q", ErrNotProven, e.Keys[0].Name(), e.Keys[1].Name())
	}
	switch e.Kind {
	case TwoHeads:
		return e.checkTwoHeads()
	case Fork:
		return e.checkFork()
	case Shrunk:
		return e.checkShrunk()
	}
	return fmt.Errorf("%w: the kind %q; it is two-heads, fork or shrunk", ErrMalformed, e.Kind)
}

func (e Evidence) checkTwoHeads() error {
	switch {
	case e.First.Size != e.Second.Size:
		return fmt.Errorf("%w: the checkpoints have the sizes %d and %d", ErrNotProven, e.First.Size, e.Second.Size)
	case e.First.Root == e.Second.Root:
		return fmt.Errorf("%w: both checkpoints have one root", ErrNotProven)
	case bytes.Compare(e.First.Root[:], e.Second.Root[:]) > 0:
		return fmt.Errorf("%w: the checkpoint with the lower root comes first", ErrMalformed)
	}
	return nil
}

func (e Evidence) checkFork() error {
	// The empty tree is the beginning of every tree.
	if e.First.Size < 1 || e.First.Size >= e.Second.Size {
		return fmt.Errorf("%w: the checkpoints have the sizes %d and %d; a fork is between a smaller one, which is not empty, and a larger one", ErrNotProven, e.First.Size, e.Second.Size)
	}
	if e.Root == e.First.Root {
		return fmt.Errorf("%w: the larger tree begins with the smaller one", ErrNotProven)
	}
	if err := merkle.VerifyConsistency(e.First.Size, e.Second.Size, e.Root, e.Second.Root, e.Proof); err != nil {
		return fmt.Errorf("%w: that the larger tree begins with another: %w", ErrNotProven, err)
	}
	return nil
}

func (e Evidence) checkShrunk() error {
	switch {
	case len(e.Keys) != 1:
		return fmt.Errorf("%w: two keys signed, and what is the largest tree is each one's own statement", ErrNotProven)
	case e.First.Time == 0 || e.Second.Time == 0:
		return fmt.Errorf("%w: a signature without a time does not say that a tree is the largest", ErrNotProven)
	case e.Second.Time <= e.First.Time:
		return fmt.Errorf("%w: the second statement, of time %d, is not later than the first, of time %d", ErrNotProven, e.Second.Time, e.First.Time)
	case e.Second.Size >= e.First.Size:
		return fmt.Errorf("%w: the log did not shrink: %d entries, and later %d", ErrNotProven, e.First.Size, e.Second.Size)
	}
	return nil
}
