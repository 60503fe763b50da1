package witness

import (
	"context"
	"fmt"
	"strings"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Acceptance is a checkpoint with which a log goes on because the witness's
// operator decided so: its database and its register contradict each other, or
// the log has another key.
type Acceptance struct {
	Origin string
	// Keys are the log's from now on, and all of them must have signed. Empty:
	// those that it has, one of which must have signed.
	Keys  []checkpoint.Verifier
	Proof []merkle.Hash // that the checkpoint extends what Counts tells
	Note  []byte
}

// Counts returns what a checkpoint of a log must extend to be accepted: the
// larger of what the database and the register know. Of two of one size that
// contradict each other it is the register's, since what the register does not
// know was never shown to anybody. A smaller one of the register's proves no such
// thing: it may be an older copy.
func (w *Witness) Counts(ctx context.Context, origin string) (Head, error) {
	have, registered, err := w.memories(ctx, origin)
	if registered.Size > have.Size || contradict(have, registered) {
		have = registered
	}
	return have, err
}

// Accept cosigns a checkpoint in the place of whatever the database has of the
// log, if it extends what Counts tells. It decides about heads alone: the keys
// are the caller's to store.
func (w *Witness) Accept(ctx context.Context, a Acceptance) (Head, error) {
	k := w.log(a.Origin)
	if k == nil {
		return Head{}, fmt.Errorf("%w: %.100q", ErrUnknownLog, a.Origin)
	}
	unlock, err := k.lock(ctx)
	if err != nil {
		return Head{}, err
	}
	defer unlock()
	c, err := w.candidate(k, a)
	if err != nil {
		return Head{}, err
	}
	counts, err := w.Counts(ctx, a.Origin)
	if err != nil {
		return Head{}, err
	}
	// The same one again needs no proof: a first try may have ended half-way.
	again := counts.Size == c.checkpoint.Size && counts.Root == c.checkpoint.Root && counts.Size > 0
	if !again {
		if err := extends(counts, c.checkpoint, a.Proof); err != nil {
			return Head{}, err
		}
	}
	have, registered, err := w.memories(ctx, a.Origin)
	if err != nil {
		return Head{}, err
	}
	to, _, err := w.cosign(c, max(have.Time, registered.Time))
	if err != nil {
		return Head{}, err
	}
	return to, w.remember(ctx, a.Origin, have, to)
}

// candidate is what an operator hands in, with the keys that it is judged by.
func (w *Witness) candidate(k *known, a Acceptance) (c candidate, err error) {
	l := k.Log
	if len(a.Keys) > 0 {
		l.Keys = a.Keys
	}
	if err := w.checkNames(l); err != nil {
		return c, err
	}
	c, err = read(a.Note, 0, func(origin string) *known {
		if origin != l.Origin {
			return nil
		}
		return &known{Log: l}
	})
	if err == nil && len(a.Keys) > 0 && len(c.signatures) < len(a.Keys) {
		var names []string
		for _, key := range a.Keys {
			names = append(names, fmt.Sprintf("%s+%08x", key.Name(), key.KeyHash()))
		}
		err = fmt.Errorf("%w: each of the keys %s must have signed", ErrNotSigned, strings.Join(names, ", "))
	}
	return c, err
}
