package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"indelible/internal/wait"
)

// Cell is one text in a store that compares and swaps: a row of a database, an
// object of an object store. Its writes are durable when they return.
type Cell interface {
	// Load reads the text as it is now, and its tag. A cell that is not there
	// is fs.ErrNotExist, and a text that does not check ErrCorrupt. A store that
	// cannot be asked is any other error.
	Load(ctx context.Context) (Tagged, error)
	// Confirm is a Load that may be built upon: it has every write that was
	// acknowledged before, whichever server took it, and no crash of the store
	// takes back what it returns. It may cost a write of its own.
	Confirm(ctx context.Context) (Tagged, error)
	// Create writes the first text, and is fs.ErrExist where there is one.
	Create(ctx context.Context, t Text) error
	// Swap puts next in the place of was, and returns its tag; ErrMoved when
	// another text is there or is being written. After any other error it is not
	// known whether next was, or will be, written.
	Swap(ctx context.Context, was Tagged, next Text) (tag string, err error)
	// Where is what people call the cell. It holds no secret.
	Where() string
	Close() error
}

// Tagged is a text as it was read, with what the store calls this version.
type Tagged struct {
	Text
	Tag string
}

// Shared is a register in a Cell, which any number of processes share.
//
// A Read is one Load, and an Advance that follows it one Swap. When the outcome
// of a Swap is unknown (the store failed, or the answer was lost), the cell is
// read again: the mark in the text says whether it is ours. A write that arrives
// even later replaces only the text that it was made for, and so registers a
// head whose signature never left, which does no harm.
//
// What is read must not be older than what this process knows; else it is
// ErrCorrupt: the store lost what was registered. A log is frozen for that, so
// neither side of the comparison may be a mistake. Whatever is not this process's
// own last write is confirmed: what is older may have come from a server that
// lags, and what is newer may be another's write that is not durable yet.
type Shared struct {
	cell       Cell
	origin, id string

	mu   sync.Mutex // never held over the network
	last Tagged     // the newest text known
	sure time.Time  // when it was made sure of, or written
}

var _ Register = (*Shared)(nil)

// CreateShared writes a new register. It fails with fs.ErrExist where there is
// one, and closes the cell then.
func CreateShared(ctx context.Context, cell Cell, first Text) (*Shared, error) {
	if err := first.check(); err != nil {
		return nil, errors.Join(err, cell.Close())
	}
	created := cell.Create(ctx, first)
	r, err := OpenShared(ctx, cell)
	switch {
	case err == nil && r.last.Mark == first.Mark:
		return r, nil // it was written, whatever the answer was
	case created == nil:
		created = fmt.Errorf("it was replaced as soon as it was written")
	}
	if err == nil {
		err = cell.Close()
	}
	return nil, fmt.Errorf("create register %s: %w", cell.Where(), errors.Join(created, err))
}

// OpenShared reads a register. It closes the cell when it fails.
func OpenShared(ctx context.Context, cell Cell) (*Shared, error) {
	now, err := cell.Load(ctx)
	if err == nil {
		now, err = cell.Confirm(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open register %s: %w", cell.Where(), err), cell.Close())
	}
	return &Shared{cell: cell, origin: now.Origin, id: now.ID, last: now, sure: time.Now()}, nil
}

// Origin is the name of the log that the register belongs to.
func (r *Shared) Origin() string { return r.origin }

// ID implements Register.
func (r *Shared) ID() string { return r.id }

// Close ends the connections to the store.
func (r *Shared) Close() error { return r.cell.Close() }

// Read implements Register.
func (r *Shared) Read(ctx context.Context) (State, error) {
	now, err := r.read(ctx)
	return now.State, err
}

// Confirm implements Register.
func (r *Shared) Confirm(ctx context.Context) (State, error) {
	now, err := r.confirm(ctx, r.known())
	return now.State, err
}

// sureEvery is how often at most one who watches makes sure of what others
// register.
const sureEvery = time.Second

// Poisoned implements Register. Another's head is of no use to one who watches.
// It is made sure of now and then nevertheless, so that this process knows what
// was registered, and misses it if it is gone. Poison is made sure of at once.
func (r *Shared) Poisoned(ctx context.Context) (string, error) {
	known := r.known()
	now, err := r.cell.Load(ctx)
	switch {
	case err != nil:
		return "", r.unread(err)
	case now.Mark == known.Mark:
	case now.State.Poisoned != "" || r.mayFollow(known, now) != nil || r.unsure():
		now, err = r.confirm(ctx, known)
	}
	return now.State.Poisoned, err
}

// unsure reports whether it is long ago that what is known was made sure of.
func (r *Shared) unsure() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.sure) >= sureEvery
}

// Advance implements Register.
func (r *Shared) Advance(ctx context.Context, from, to Head) error {
	if to.Size <= from.Size {
		return fmt.Errorf("register %s: a head of size %d cannot follow one of size %d", r.cell.Where(), to.Size, from.Size)
	}
	return r.write(ctx, func(s State) (State, error) {
		if s.Poisoned != "" {
			return s, fmt.Errorf("register %s: the log is poisoned: %s", r.cell.Where(), s.Poisoned)
		}
		if !s.Newest.Same(from) {
			return s, fmt.Errorf("register %s is at size %d, not %d: %w", r.cell.Where(), s.Newest.Size, from.Size, ErrMoved)
		}
		s.Newest = to
		return s, nil
	})
}

// Poison implements Register.
func (r *Shared) Poison(ctx context.Context, reason string, shown Head) error {
	return r.write(ctx, func(s State) (State, error) {
		s, changed := s.poisoned(reason, shown)
		if !changed {
			return s, errSettled
		}
		return s, nil
	})
}

// Clear implements Register.
func (r *Shared) Clear(ctx context.Context, word Word) error {
	return r.write(ctx, func(s State) (State, error) {
		if s.Poisoned == "" {
			return s, errSettled
		}
		return s.cleared(word), nil
	})
}

var (
	// errSettled: the state is as it should be, and nothing is to be written.
	errSettled = errors.New("nothing to write")
	// errUnknown is what an unknown outcome is called to the caller.
	errUnknown = errors.New("not known to be written")
)

// swaps is how often a write that another one overtook is tried.
const swaps = 5

// write changes the state from what this process knows, or else from what is
// there.
func (r *Shared) write(ctx context.Context, change func(State) (State, error)) error {
	was := r.known()
	state, err := change(was.State)
	if err != nil {
		if was, err = r.read(ctx); err != nil {
			return err
		}
		state, err = change(was.State)
	}
	for range swaps {
		if err != nil {
			return settled(err)
		}
		next := was.written(state)
		var done bool
		if was, done, err = r.swap(ctx, was, next); done || err != nil {
			return err
		}
		state, err = change(was.State)
	}
	if err != nil {
		return settled(err)
	}
	return fmt.Errorf("register %s: %w: others wrote each time it was tried", r.cell.Where(), errUnknown)
}

func settled(err error) error {
	if errors.Is(err, errSettled) {
		return nil
	}
	return err
}

// swap writes next in the place of was, and reports whether it is written; if
// not, it returns what is there instead.
func (r *Shared) swap(ctx context.Context, was Tagged, next Text) (Tagged, bool, error) {
	tag, failed := r.cell.Swap(ctx, was, next)
	if failed == nil {
		r.learn(Tagged{next, tag})
		return was, true, nil
	}
	now, err := r.read(ctx)
	switch {
	case err != nil:
		return was, false, fmt.Errorf("register %s: %w: %w", r.cell.Where(), errUnknown, errors.Join(failed, err))
	case now.Mark == next.Mark:
		return now, true, nil
	case now.Mark != was.Mark:
		return now, false, nil
	case errors.Is(failed, ErrMoved):
		// Refused, and yet nothing changed: another write is about to be, and
		// may itself be refused.
		return now, false, wait.For(ctx, 20*time.Millisecond)
	}
	return now, false, fmt.Errorf("register %s: %w: %w", r.cell.Where(), errUnknown, failed)
}

// read loads the text. One that is not known yet is confirmed.
func (r *Shared) read(ctx context.Context) (Tagged, error) {
	known := r.known()
	now, err := r.cell.Load(ctx)
	switch {
	case err != nil:
		return Tagged{}, r.unread(err)
	case now.Mark != known.Mark || r.mayFollow(known, now) != nil:
		return r.confirm(ctx, known)
	}
	return now, nil
}

// confirm loads the text for good, checks that it is this register's and not
// older than what was known before, and remembers it.
func (r *Shared) confirm(ctx context.Context, known Tagged) (Tagged, error) {
	now, err := r.cell.Confirm(ctx)
	if err == nil {
		err = r.mayFollow(known, now)
	}
	if err != nil {
		return Tagged{}, r.unread(err)
	}
	r.learn(now)
	return now, nil
}

func (r *Shared) unread(err error) error {
	return fmt.Errorf("read register %s: %w", r.cell.Where(), err)
}

// mayFollow checks what was read against what was known before it was.
func (r *Shared) mayFollow(known, now Tagged) error {
	was, is := known.State.Newest, now.State.Newest
	switch {
	case now.Origin != r.origin || now.ID != r.id:
		return fmt.Errorf("it was replaced by that of log %q (id %s); this is log %q (id %s): %w", now.Origin, now.ID, r.origin, r.id, ErrCorrupt)
	case is.Size < was.Size || is.Size == was.Size && is.Root != was.Root:
		return fmt.Errorf("it went back: it knows size %d, root %x, and it knew size %d, root %x: %w", is.Size, is.Root, was.Size, was.Root, ErrCorrupt)
	case now.Epoch < known.Epoch || now.Epoch == known.Epoch && now.Mark != known.Mark:
		return fmt.Errorf("it went back: write %d (%s) is there, and write %d (%s) was: %w", now.Epoch, now.Mark, known.Epoch, known.Mark, ErrCorrupt)
	}
	return nil
}

func (r *Shared) known() Tagged {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *Shared) learn(now Tagged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sure = time.Now()
	if now.Epoch > r.last.Epoch {
		r.last = now
	}
}
