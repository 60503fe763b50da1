package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
)

// Tree is the tree of a checkpoint that is to be cosigned, for who asks for proofs
// and entries. Its methods may be called at the same time.
type Tree = interface {
	// Consistency proves that the tree of size from is a prefix of this one.
	Consistency(ctx context.Context, from int64) ([]merkle.Hash, error)
	// Subtree proves that the entries [start, end) are a subtree of this one.
	Subtree(ctx context.Context, start, end int64) ([]merkle.Hash, error)
	// Entries returns the entries [start, end), for mirrors.
	Entries(ctx context.Context, start, end int64) ([][]byte, error)
}

// Witness has a checkpoint cosigned. Cosign returns the note with the
// cosignatures that suffice added, or why there are not enough. It is asked for
// one checkpoint at a time.
//
// Confirm returns nil if those whose cosignatures suffice know nothing newer of
// the log than a checkpoint that it signed before. What other replicas published
// meanwhile is not newer than known returns.
//
// Enough reports whether a note, which the log's key signed, has the
// cosignatures that suffice. Nothing else is shown, whoever published it.
type Witness interface {
	Cosign(ctx context.Context, note []byte, tree Tree) ([]byte, error)
	Confirm(ctx context.Context, note []byte, tree Tree, known func(context.Context) (int64, error)) error
	Enough(note []byte) bool
}

// witnessed has the signed checkpoint of the verified edge cosigned.
func (p *publisher) witnessed(ctx context.Context, note []byte) ([]byte, error) {
	if p.l.cfg.Witness == nil {
		return note, nil
	}
	p.l.witnessing.Store(true)
	cosigned, err := p.cosign(ctx, note, p.l.tree(p.edge))
	p.l.witnessing.Store(false)
	if err := p.judgeClaims(ctx); err != nil {
		return nil, err
	}
	switch {
	case errors.Is(err, errLeaseLost):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnwitnessed, err)
	}
	return cosigned, nil
}

// tree is the tree of an edge, before it is published.
func (l *Log) tree(edge merkle.Edge) Tree {
	// No reader is shown this view.
	return unpublished{l, newView(Published{Size: edge.Size(), Root: edge.Root()}, edge)}
}

// unpublished is the tree of a checkpoint that was signed.
type unpublished struct {
	l *Log
	v *view
}

func (u unpublished) Consistency(ctx context.Context, from int64) ([]merkle.Hash, error) {
	return u.compute(ctx)(merkle.PlanConsistency(from, u.v.Size))
}

func (u unpublished) Subtree(ctx context.Context, start, end int64) ([]merkle.Hash, error) {
	return u.compute(ctx)(merkle.PlanSubtree(start, end, u.v.Size))
}

func (u unpublished) compute(ctx context.Context) func(merkle.Plan, error) ([]merkle.Hash, error) {
	return func(plan merkle.Plan, err error) ([]merkle.Hash, error) {
		if err != nil {
			return nil, err
		}
		return u.l.compute(ctx, u.v, plan)
	}
}

func (u unpublished) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	rows, err := u.l.read(ctx, start, end)
	if err != nil {
		return nil, err
	}
	if _, err := u.l.sound(ctx, u.v, rows); err != nil {
		return nil, err
	}
	entries := make([][]byte, len(rows))
	for i, row := range rows {
		entries[i] = row.Body
	}
	return entries, nil
}

// errLeaseLost: another replica publishes now.
var errLeaseLost = errors.New("the lease was lost while witnesses were waited for")

// cosign asks the witness for as long as the lease is ours: of two replicas that
// ask at once, each makes the other's proofs wrong.
func (p *publisher) cosign(ctx context.Context, note []byte, tree Tree) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { p.keepLease(ctx, cancel) })
	cosigned, err := p.l.cfg.Witness.Cosign(ctx, note, tree)
	lost := context.Cause(ctx) == errLeaseLost
	cancel(nil)
	keeper.Wait()
	if err != nil && lost {
		return nil, errLeaseLost
	}
	return cosigned, err
}

// Claim is what a witness says of the log that contradicts what the log shows
// it.
type Claim struct {
	Witness string // its name
	Size    int64  // it says that it cosigned a checkpoint of this size; 0 if it tells none
	Other   bool   // it says that the tree it cosigned is another one
	Note    []byte // the checkpoint that it shows; nil for none. Nothing in it is verified
}

// Ahead tells the log of a witness's claim. If the log's key signed the claim's
// note and the database does not bear it out, the log is poisoned: its history
// was cut. A claim beyond the register's newest head that nothing proves keeps
// the log from appending and signing until [Witness.Confirm] finds nothing
// wrong. Mostly a claim means that another replica published.
func (l *Log) Ahead(c Claim) { l.claims.put(c) }

// judgeClaims judges what was told since.
func (p *publisher) judgeClaims(ctx context.Context) error {
	claims := p.l.claims.take()
	var notes [][]byte
	for _, c := range claims {
		if c.Note != nil {
			notes = append(notes, c.Note)
		}
	}
	err := p.l.judge(ctx, notes)
	if err == nil {
		err = p.l.weigh(ctx, claims)
	}
	if _, ok := contradicts(err); err != nil && !ok && p.l.confirmed.Load() {
		for _, c := range claims { // they were not judged
			p.l.claims.put(c)
		}
	}
	return err
}

// judge compares checkpoints that others kept with the database. One that the
// log's key signed and that its tree does not bear out is a contradiction; what
// the key did not sign proves nothing. The largest of those that contradict is
// kept for the register: who showed it may not answer when the operator wants to
// go on.
func (l *Log) judge(ctx context.Context, notes [][]byte) (found error) {
	for _, note := range notes {
		opened, err := checkpoint.Open(note, l.keys)
		if err != nil {
			continue // somebody's word, which must not stop the log
		}
		err = l.bearsOut(ctx, opened)
		if _, ok := contradicts(err); err != nil && !ok {
			return errors.Join(found, err)
		}
		if err != nil {
			l.keepShown(guard.Head{Size: opened.Size, Root: opened.Root, Time: l.cfg.Now().UnixMilli()})
			found = errors.Join(found, err)
		}
	}
	return found
}

func (l *Log) keepShown(h guard.Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.Size > l.shown.Size {
		l.shown = h
	}
}

// bearsOut compares a checkpoint that the log's key signed with the database.
func (l *Log) bearsOut(ctx context.Context, opened checkpoint.Opened) error {
	head, err := l.cfg.Store.LockedHead(ctx, l.cfg.Record.ID)
	if err != nil {
		return fmt.Errorf("read the tree head: %w", err)
	}
	if opened.Size > head.Size {
		return contradictf("rollback: the database's tree head has size %d, and a witness holds a checkpoint of size %d that this log's key signed: "+
			"the database was restored from an older copy, replaced, or failed over to a replica that lost commits", head.Size, opened.Size)
	}
	edge, err := loadEdge(ctx, l.rows(), opened.Size)
	if err != nil {
		return err
	}
	if got := edge.Root(); got != opened.Root {
		return contradictf("fork: at size %d the database's tree has root %x, and a witness holds a checkpoint with root %x that this log's key signed",
			opened.Size, got, opened.Root)
	}
	return nil
}

// Cosigned adds to the published checkpoint the cosignatures of another note of
// it that came too late for its publication.
func (l *Log) Cosigned(note []byte, cosigners []checkpoint.Verifier) {
	l.late.put(lateNote{note, cosigners})
}

// lateNote is a note with cosignatures to be merged.
type lateNote struct {
	note      []byte
	cosigners []checkpoint.Verifier
}

// mergeLate publishes the present checkpoint with the cosignatures that came
// since.
func (p *publisher) mergeLate(ctx context.Context) error {
	v := p.l.view.Load()
	if v == nil || p.uncosigned || p.apart { // what is published is not what we show
		return nil
	}
	note := v.Note
	for _, late := range p.l.late.take() {
		note = p.l.merge(v, note, late)
	}
	if bytes.Equal(note, v.Note) {
		return nil
	}
	pub := storage.Published{Version: p.version, Size: v.Size, Root: v.Root, Note: note, At: v.At.UnixMilli()}
	version, err := p.l.cfg.Store.Publish(ctx, p.l.cfg.Record.ID, pub)
	if errors.Is(err, storage.ErrConflict) {
		return p.follow(ctx) // another replica was quicker
	}
	if err != nil {
		return fmt.Errorf("write the cosigned checkpoint: %w", err)
	}
	p.version = version
	p.l.show(newView(Published{Size: v.Size, Root: v.Root, Note: note, At: v.At}, v.edge))
	return nil
}

// merge adds a late note's cosignatures to the note of a view, if it is of the
// same checkpoint.
func (l *Log) merge(v *view, note []byte, late lateNote) []byte {
	opened, err := checkpoint.Open(late.note, l.keys)
	if err != nil || opened.Size != v.Size || opened.Root != v.Root {
		return note
	}
	parsed, err := checkpoint.ParseNote(late.note)
	if err != nil {
		return note
	}
	merged, _, err := checkpoint.AddCosignatures(note, late.cosigners, parsed.Signatures...)
	if err != nil {
		return note
	}
	return merged
}

// stale reports whether the published checkpoint of an idle log is to be
// witnessed again: so that its cosignatures' times stay fresh, or because it has
// too few.
func (p *publisher) stale() bool {
	v := p.l.view.Load()
	return p.l.cfg.Witness != nil && (p.uncosigned || v != nil && p.l.cfg.Now().Sub(v.At) >= p.l.cfg.Rewitness)
}

// errUncosigned: what is published has too few cosignatures to be shown.
var errUncosigned = fmt.Errorf("%w: the checkpoint in the database lacks the quorum: it was published under another policy, or without one", ErrUnwitnessed)

// enough reports whether a note may be shown.
func (l *Log) enough(note []byte) bool { return l.cfg.Witness == nil || l.cfg.Witness.Enough(note) }
