package feeder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/merkle"
	"indelible/witness"
)

var (
	// ErrBehind: the log shows a smaller tree than it did. That proves nothing.
	ErrBehind = errors.New("the log shows a smaller tree than before")
	// ErrContradiction: the log contradicts itself. The words say where the
	// evidence is.
	ErrContradiction = errors.New("the log contradicts itself")
)

// races is how often a log is looked at again because somebody else fed it
// meanwhile.
const races = 3

// look fetches the log's checkpoint, and feeds it.
func (l *feed) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	newest, err := l.client.Checkpoint(ctx)
	if err != nil {
		return err
	}
	var last error
	for range races {
		head, err := l.cosigned(ctx)
		if err != nil {
			return err
		}
		var conflict *witness.ConflictError
		if last = l.offer(ctx, head, newest); !errors.As(last, &conflict) {
			return last
		}
		if last = l.afterConflict(ctx, conflict.Size, head, newest); !errors.As(last, &conflict) {
			return last
		}
	}
	return last
}

// cosigned returns what the witness's database has of the log: nothing, or less
// than its register knows, is no error.
func (l *feed) cosigned(ctx context.Context) (witness.Head, error) {
	head, err := l.cfg.Witness.Cosigned(ctx, witness.OriginHash(l.Origin))
	if errors.Is(err, witness.ErrUnknownLog) || errors.Is(err, witness.ErrRestored) {
		err = nil
	}
	return head, err
}

// offer feeds a checkpoint to the witness, if it says anything new.
func (l *feed) offer(ctx context.Context, head witness.Head, newest checkpoint.Opened) error {
	switch {
	case newest.Size < head.Size:
		return l.behind(ctx, head, newest)
	case newest.Size > head.Size:
		return l.grown(ctx, head, newest)
	case newest.Size > 0 && newest.Root != head.Root:
		return l.contradiction(evidence.TwoHeads, head, func() ([]byte, error) {
			return evidence.OfTwoHeads(l.Keys, head.Note, newest.Note)
		})
	case time.Since(time.Unix(head.Time, 0)) < l.cfg.Refresh:
		return nil
	}
	return l.add(ctx, head.Size, nil, newest)
}

// grown feeds a checkpoint of a larger tree.
func (l *feed) grown(ctx context.Context, head witness.Head, newest checkpoint.Opened) error {
	if head.Size == 0 {
		return l.add(ctx, 0, nil, newest)
	}
	root, proof, err := l.client.Prefix(ctx, head.Size, newest.Checkpoint)
	if err != nil {
		return err
	}
	if root != head.Root {
		return l.contradiction(evidence.Fork, head, func() ([]byte, error) {
			return evidence.OfFork(l.Keys, head.Note, newest.Note, root, proof)
		})
	}
	return l.add(ctx, head.Size, proof, newest)
}

// behind looks for a contradiction between a checkpoint and the larger one that
// was cosigned.
func (l *feed) behind(ctx context.Context, head witness.Head, newest checkpoint.Opened) error {
	late := fmt.Errorf("%w: %d entries, and it had %d", ErrBehind, newest.Size, head.Size)
	if newest.Size > 0 {
		root, proof, err := l.client.Prefix(ctx, newest.Size, checkpoint.Checkpoint{Origin: l.Origin, Size: head.Size, Root: head.Root})
		switch {
		case err != nil:
			late = fmt.Errorf("%w; whether it is the beginning of that one cannot be told: %w", late, err)
		case root != newest.Root:
			return l.contradiction(evidence.Fork, head, func() ([]byte, error) {
				return evidence.OfFork(l.Keys, newest.Note, head.Note, root, proof)
			})
		}
	}
	if file, err := evidence.OfShrunk(l.Keys, head.Note, newest.Note); err == nil {
		return l.contradiction(evidence.Shrunk, head, func() ([]byte, error) { return file, nil })
	}
	return late
}

// afterConflict is for a head that is not the one the witness counts from.
func (l *feed) afterConflict(ctx context.Context, size int64, head witness.Head, newest checkpoint.Opened) error {
	conflict := &witness.ConflictError{Size: size}
	now, err := l.cosigned(ctx)
	if err != nil {
		return err
	}
	if now.Size != head.Size || now.Root != head.Root {
		return conflict // somebody fed it meanwhile: look again
	}
	// The witness's register knows more than its database.
	if newest.Size < size {
		return fmt.Errorf("%w: %d entries, and the witness registered %d", ErrBehind, newest.Size, size)
	}
	var proof []merkle.Hash
	if newest.Size > size {
		if _, proof, err = l.client.Prefix(ctx, size, newest.Checkpoint); err != nil {
			return err
		}
	}
	return l.add(ctx, size, proof, newest)
}

func (l *feed) add(ctx context.Context, old int64, proof []merkle.Hash, newest checkpoint.Opened) error {
	_, err := l.cfg.Witness.AddCheckpoint(ctx, witness.Request{Old: old, Proof: proof, Note: newest.Note})
	if err == nil && l.cfg.Events.Fed != nil {
		l.cfg.Events.Fed(l.Origin, newest.Size)
	}
	return err
}

// Fetch returns a log's newest checkpoint, and the proof that it extends the
// tree of a size, both as the log serves them: whose tree that was is for the
// caller to know.
func Fetch(ctx context.Context, l Log, size int64) (note []byte, proof []merkle.Hash, err error) {
	cfg := Config{Logs: []Log{l}}.withDefaults()
	f, err := newFeed(l, &cfg)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	newest, err := f.client.Checkpoint(ctx)
	switch {
	case err != nil:
		return nil, nil, err
	case newest.Size < size:
		return nil, nil, fmt.Errorf("%w: %d entries, and the witness knows of %d", ErrBehind, newest.Size, size)
	case size > 0 && newest.Size > size:
		_, proof, err = f.client.Prefix(ctx, size, newest.Checkpoint)
	}
	return newest.Note, proof, err
}
