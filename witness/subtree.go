package witness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/internal/places"
	"indelible/merkle"
)

// SubtreeRequest asks for a subtree to be cosigned.
type SubtreeRequest struct {
	Subtree checkpoint.Subtree
	Proof   []merkle.Hash // that it is part of the checkpoint's tree
	Note    []byte        // a checkpoint that this witness cosigned
}

// SignSubtree cosigns a subtree of a tree that the witness cosigned. It needs no
// state: its own cosignature says that the tree was consistent.
// SPEC: tlog-witness, sign-subtree: in this order 400, 404, 403, 422.
func (w *Witness) SignSubtree(ctx context.Context, r SubtreeRequest) ([]checkpoint.Signature, error) {
	note, err := checkpoint.ParseNote(r.Note)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	c, _, err := checkpoint.ParseExtended(note.Text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	t := r.Subtree
	if !merkle.ValidSubtree(t.Start, t.End) || t.End > c.Size {
		return nil, fmt.Errorf("%w: [%d, %d) is not a subtree of a tree of size %d", ErrMalformed, t.Start, t.End, c.Size)
	}
	if w.log(c.Origin) == nil {
		return nil, fmt.Errorf("%w: %.100q", ErrUnknownLog, c.Origin)
	}
	done, err := w.subtreeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	able, err := w.cosignedBy(note)
	if err != nil {
		return nil, err
	}
	if err := merkle.VerifySubtree(t.Start, t.End, c.Size, t.Root, c.Root, r.Proof); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	var made []checkpoint.Signature
	for _, s := range able {
		sig, err := s.CosignSubtree(c.Origin, t)
		if err != nil {
			return nil, err
		}
		made = append(made, sig)
	}
	return made, nil
}

// subtreeWait is how long a request to sign a subtree waits for its turn.
const subtreeWait = 5 * time.Second

// subtreeTurn waits until the signing of another subtree leaves at least half of
// the processors to checkpoints. Anybody may ask for a subtree of any log, and
// nobody can tell who asks: so none is counted against a log, and all come in
// turn.
func (w *Witness) subtreeTurn(ctx context.Context) (done func(), err error) {
	end := time.NewTimer(subtreeWait)
	defer end.Stop()
	select {
	case w.subtrees <- struct{}{}:
		return func() { <-w.subtrees }, nil
	case <-end.C:
		return nil, places.ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cosignedBy returns those of our keys that signed a note and can sign subtrees.
// A subtree is signed by who signed the checkpoint, and by nobody else.
func (w *Witness) cosignedBy(n checkpoint.Note) ([]*checkpoint.Cosigner, error) {
	var able []*checkpoint.Cosigner
	var names []string
	for _, s := range w.cfg.Cosigners {
		v := s.Verifier()
		if v.Algorithm() != checkpoint.CosignatureV1MLDSA44 {
			continue
		}
		names = append(names, fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()))
		for _, line := range n.Signatures {
			if line.Name == v.Name() && line.KeyID == v.KeyHash() && v.Verify(n.Text, line.Blob) {
				able = append(able, s)
				break
			}
		}
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("%w: this witness has no ML-DSA-44 key, and no other can sign a subtree", ErrNotSigned)
	case len(able) == 0:
		return nil, fmt.Errorf("%w: the checkpoint has no valid cosignature by %s", ErrNotSigned, strings.Join(names, ", "))
	}
	return able, nil
}
