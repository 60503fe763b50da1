//go:build unix

package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// CreateAccepted makes a register in the place of one that was lost, which
// knows what an operator says was signed last. It fails with os.ErrExist rather
// than touch a file that is there.
func CreateAccepted(path, origin, id string, newest Head, word Acceptance) (*File, error) {
	text, err := snapshot(header{Origin: origin, ID: id}, State{Newest: newest, Accepted: word})
	if err != nil {
		return nil, err
	}
	// Whole or not at all: half of it would be a register that knows less.
	next := path + ".next"
	if err = writeSynced(next, text); err == nil {
		err = os.Link(next, path)
	}
	if err = errors.Join(err, os.Remove(next), syncDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("create register %s: %w", path, err)
	}
	return OpenFile(path)
}

// Accept has a register that is at the empty tree, as one is that was just made
// in the place of one that was lost, know what an operator says was signed last.
func (r *Shared) Accept(ctx context.Context, newest Head, word Acceptance) error {
	word.By, word.Why = shorten(word.By, maxName), shorten(word.Why, maxReason/2)
	return r.write(ctx, func(s State) (State, error) {
		if s != (State{Newest: Empty()}) {
			return s, fmt.Errorf("register %s is in use: it knows size %d", r.cell.Where(), s.Newest.Size)
		}
		return State{Newest: newest, Accepted: word}, nil
	})
}
