package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/mirror"
	"indelible/mirror/source"
	"indelible/witness"
)

// Copy is a mirror's copy of one log, in bundles. mirror.Copy is one, and says what
// each method does.
type Copy interface {
	Next() int64
	Tail() (data []byte, leaves []merkle.Hash)
	Tile(level int, index int64) ([]merkle.Hash, error)
	Append(b source.Block) error
	Sync() error
	Head() source.Head
	Commit(h source.Head) error
	Pending() source.Head
	Accept(h source.Head) error
}

var _ Copy = (*mirror.Copy)(nil)

// pending is what a witness needs in order to keep the pending checkpoints: add-checkpoint
// is what a witness does, without a signature. It is the witness's database, and
// its register too, since there is no signature that a second memory would have
// to answer for.
type pending struct {
	logs []*mirrored
}

func (p pending) Logs(context.Context) (all []witness.Log, err error) {
	for _, l := range p.logs {
		all = append(all, witness.Log{Origin: l.Origin, Keys: l.Keys})
	}
	return all, nil
}

func (p pending) AddLogs(context.Context, []witness.Log) error {
	return errors.New("the logs of a mirror are those that it was made with")
}

func (p pending) find(origin string) *mirrored {
	for _, l := range p.logs {
		if l.Origin == origin {
			return l
		}
	}
	return nil
}

func (p pending) Head(_ context.Context, origin string) (witness.Head, error) {
	h := p.find(origin).Copy.Pending()
	return witness.Head{Size: h.Size, Root: h.Root, Note: h.Note}, nil
}

// Swap keeps no times: a checkpoint that is sent again changes nothing.
func (p pending) Swap(_ context.Context, origin string, from, to witness.Head) error {
	l := p.find(origin)
	l.swap.Lock()
	defer l.swap.Unlock()
	h := l.Copy.Pending()
	switch {
	case h.Size != from.Size || h.Root != from.Root:
		return witness.ErrMoved
	case exists(h) && h.Size == to.Size:
		return nil
	}
	return l.Copy.Accept(source.Head{Size: to.Size, Root: to.Root, Note: to.Note})
}

// exists reports whether there is a head.
func exists(h source.Head) bool { return len(h.Note) > 0 }

// noRegister is the register of a witness that signs nothing.
type noRegister struct{}

func (noRegister) Newest(string) (witness.Head, error)                 { return witness.Head{}, nil }
func (noRegister) Advance(context.Context, string, witness.Head) error { return nil }

// mirrored is a log with who may change its copy.
type mirrored struct {
	Log

	swap  sync.Mutex // of the pending checkpoint
	write sync.Mutex // Append, Sync, Commit
}

// target returns the checkpoint of a size that entries may be uploaded for: the
// pending one, that of a ticket, or the mirror checkpoint.
func (s *Server) target(l *mirrored, h Header) (source.Head, bool) {
	now, head := l.Copy.Pending(), l.Copy.Head()
	if exists(now) && now.Size == h.End {
		return now, true
	}
	if exists(head) && head.Size == h.End {
		return head, true
	}
	note := s.cfg.TicketKey.open(s.name, l.Origin, h.Ticket)
	if note == nil {
		return source.Head{}, false
	}
	c, err := checkpoint.OpenExtended(l.Origin, note, l.Keys)
	if err != nil || c.Size != h.End || c.Size > now.Size {
		return source.Head{}, false
	}
	return source.Head{Size: c.Size, Root: c.Root, Note: note}, true
}

// prove verifies that a package is part of the tree of a head, and returns its
// leaf hashes.
func (l *mirrored) prove(p Package, of source.Head) ([]merkle.Hash, error) {
	leaves, err := p.leaves()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	whole := leaves
	if before := p.Start - p.From; before > 0 {
		stored, err := l.Copy.Tile(0, p.From/PackageSize)
		if err == nil && int64(len(stored)) < before {
			err = fmt.Errorf("there are %d hashes", len(stored))
		}
		if err != nil {
			return nil, fmt.Errorf("read the leaf hashes of [%d, %d): %w", p.From, p.Start, err)
		}
		whole = slices.Concat(stored[:before], leaves)
	}
	edge, _ := merkle.Edge{}.Append(whole)
	if err := merkle.VerifySubtree(p.From, p.End, of.Size, edge.Root(), of.Root, p.Proof); err != nil {
		return nil, fmt.Errorf("%w: entries [%d, %d): %w", errProof, p.Start, p.End, err)
	}
	return leaves, nil
}

// store appends what is new of a proven package. Another upload may have brought
// all of it, or its beginning.
func (l *mirrored) store(p Package, leaves []merkle.Hash) error {
	l.write.Lock()
	defer l.write.Unlock()
	next := l.Copy.Next()
	if next >= p.End {
		return nil
	}
	entries := p.Entries
	for range next - p.Start {
		n, err := merkle.BundleEntrySize(entries)
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	b := source.Block{Start: p.From}
	if next > p.From {
		b.Data, b.Leaves = l.Copy.Tail()
	}
	// Both are made new: the copy keeps them, and p is used again.
	b.Data, b.Leaves = slices.Concat(b.Data, entries), slices.Concat(b.Leaves, leaves[next-p.Start:])
	return l.Copy.Append(b)
}

func (l *mirrored) sync() error {
	l.write.Lock()
	defer l.write.Unlock()
	return l.Copy.Sync()
}
