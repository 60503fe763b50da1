package log

import (
	"context"
	"errors"
	"time"

	"indelible/entry"
	"indelible/merkle"
)

// Receipt is the answer to an added entry.
type Receipt struct {
	Index        int64
	LeafHash     merkle.Hash
	IntegratedAt time.Time // as the operator's clock said, to the millisecond
	Duplicate    bool      // it was in the log, or on its way, before
	Proof        Proof
	Checkpoint   Published // of the tree that Proof is for
}

// Outcome is what became of one entry of several.
type Outcome struct {
	Receipt Receipt
	Err     error
}

// Add logs an entry, and returns when it is published. When ctx ends first the
// entry may be logged all the same; adding it again tells.
func (l *Log) Add(ctx context.Context, e entry.Entry) (Receipt, error) {
	outcomes, err := l.AddMany(ctx, []entry.Entry{e})
	if err != nil {
		return Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// Adding reports whether entries are being added.
func (l *Log) Adding() bool { return l.queue.len() > 0 }

// AddMany logs several entries, in their order where they are new, and returns
// when all are published. All proofs are for one checkpoint. An error means
// that none of them was accepted.
func (l *Log) AddMany(ctx context.Context, entries []entry.Entry) ([]Outcome, error) {
	if err := l.refusal(); err != nil {
		return nil, err
	}
	places, err := l.queue.join(entries)
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(places))
	for i, p := range places {
		if outcomes[i].Err = p.wait(ctx); errors.Is(outcomes[i].Err, context.DeadlineExceeded) {
			outcomes[i].Err = l.overdue(outcomes[i].Err)
		}
	}
	v := l.view.Load() // not older than any of those that the entries waited for
	for i, p := range places {
		if outcomes[i].Err == nil {
			outcomes[i].Receipt, outcomes[i].Err = l.receipt(ctx, v, p)
		}
	}
	return outcomes, nil
}

func (p place) wait(ctx context.Context) error {
	select {
	case <-p.batch.done:
		if p.batch.err != nil {
			return p.batch.err
		}
		return p.item.refused
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) receipt(ctx context.Context, v *view, p place) (Receipt, error) {
	// A row with another entry's leaf hash would make this one a duplicate of it.
	switch leaf, err := l.leaf(ctx, v, p.item.index); {
	case err != nil:
		return Receipt{}, err
	case leaf != p.item.leaf:
		return Receipt{}, l.damagedf(part{entryLevel, p.item.index}, "the database says that it has leaf hash %x, and the tree has %x there", p.item.leaf, leaf)
	}
	proof, err := l.prove(ctx, v, p.item.index, v.Size)
	return Receipt{
		Index:        p.item.index,
		LeafHash:     p.item.leaf,
		IntegratedAt: time.UnixMilli(p.item.integratedAt).UTC(),
		Duplicate:    p.item.duplicate || p.joined,
		Proof:        proof,
		Checkpoint:   v.Published,
	}, err
}
