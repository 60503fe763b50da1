// Package guard keeps a log from ever contradicting itself, even when its
// database does.
//
// A database can be restored from an older copy, replaced by an empty one,
// failed over to a replica that lost commits, or swapped for another. A log
// that then goes on signing has forked, and a fork cannot be taken back. The
// guard is the log's memory outside the database: the register.
//
// # The register
//
// One register belongs to one log, for ever; the log's row in the database
// holds its id, the register holds the log's origin. It records the newest tree
// head that was ever signed. The rule is the same at start, before every append
// and before every signature:
//
//   - a head smaller than the register's is a rollback: nothing is appended,
//     nothing is signed;
//   - a head of the same size with another root, or a bigger one that does not
//     extend the register's, is a fork: the same;
//   - the register is advanced, durably, before the signature leaves the
//     process. So whatever was signed, the register knows.
//
// The register also remembers that a log is poisoned (it failed a check of its
// own), so that neither a restart nor another replica forgets it.
//
// All replicas of a log share one register. Advance is a compare-and-swap:
// of two that race, one wins, and the other looks again.
package guard

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"indelible/merkle"
)

var (
	// ErrMoved: the register's newest head is not the one the caller came from.
	ErrMoved = errors.New("the register moved on")
	// ErrCorrupt: the register's content contradicts its own checksums or order.
	ErrCorrupt = errors.New("the register is corrupt")
	// ErrFailed: a write to the register failed once, so what it holds on disk
	// is not known. It takes no more writes until it is opened again.
	ErrFailed = errors.New("the register failed a write")
)

// Head is a tree head as the register keeps it.
type Head struct {
	Size int64
	Root merkle.Hash
	Time int64 // when it was registered: Unix time in milliseconds
}

// Same reports whether both are the same tree head, whenever registered.
func (h Head) Same(o Head) bool { return h.Size == o.Size && h.Root == o.Root }

// Empty is the head of the empty tree, where every register begins.
func Empty() Head { return Head{Root: merkle.EmptyRoot()} }

// State is what a register knows.
type State struct {
	Newest   Head
	Poisoned string // why the log signs no more; empty for a healthy log
	Shown    Head   // the largest signed head that poisoned the log, as others showed it; Size 0: none did
	Accepted Word   // on whose word the register stands; zero if it was never replaced
	Cleared  Word   // on whose word the log went on when it was poisoned last; zero if it never was
}

// Word is what an operator vouched for: that a tree head is the newest that was
// ever signed, where the register that knew was lost; or that a poisoned log may
// go on.
type Word struct {
	By, Why string
	Time    int64 // Unix time in milliseconds
}

// poisoned is the state after the log was poisoned, maybe once more, and whether
// that is another one. The first reason stays, and the largest head.
func (s State) poisoned(reason string, shown Head) (State, bool) {
	was := s
	if reason == "" {
		reason = "no reason was given"
	}
	if s.Poisoned == "" {
		s.Poisoned = shorten(reason, maxReason/2)
	}
	if shown.Size > s.Shown.Size {
		s.Shown = shown
	}
	return s, s != was
}

// cleared is the state after the poison was taken back. What others showed is
// registered now, if it is more.
func (s State) cleared(word Word) State {
	if s.Shown.Size > s.Newest.Size {
		s.Newest = s.Shown
	}
	s.Poisoned, s.Shown, s.Cleared = "", Head{}, word.shortened()
	return s
}

func (w Word) shortened() Word {
	w.By, w.Why = shorten(w.By, maxName), shorten(w.Why, maxReason/2)
	return w
}

// Register is the memory of one log outside of its database. Its methods may be
// called from many goroutines, and, where the kind of register allows it, from
// many processes.
type Register interface {
	// ID is the register's identity, as the log's row holds it.
	ID() string
	// Read returns what is registered now, other processes' writes included.
	Read(ctx context.Context) (State, error)
	// Confirm is a Read that is never stale, wherever the register is kept. It
	// costs more, and is asked before a log is frozen for what a Read said.
	Confirm(ctx context.Context) (State, error)
	// Poisoned returns why the log signs no more; empty for a healthy log. It is
	// asked often by those who only watch, and so tells nothing about heads: to
	// be sure of another's newest, a store may have to write.
	Poisoned(ctx context.Context) (string, error)
	// Advance replaces the newest head, durably, if it still is from; else
	// ErrMoved. The caller has proven that to extends from. A size that does
	// not grow is refused. Any other error means that the outcome is unknown.
	Advance(ctx context.Context, from, to Head) error
	// Poison records why the log signs no more, and which signed head shows that:
	// one that somebody else kept, and the database does not bear out. Its size
	// is 0 where there is none. The first reason stays, and the largest head.
	Poison(ctx context.Context, reason string, shown Head) error
	// Clear takes the poison back, on an operator's word. The caller has proven
	// that the database extends the newest head and the shown one, of which the
	// larger is the newest from then on.
	Clear(ctx context.Context, word Word) error
}

// NewID makes an identity for a register or a log: 32 hex digits.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
