//go:build unix

package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"indelible/internal/durable"
)

// CreateAccepted makes a register in the place of one that was lost, which
// knows what an operator says was signed last. It fails with os.ErrExist rather
// than touch a file that is there.
func CreateAccepted(path, origin, id string, newest Head, word Word) (*File, error) {
	text, err := snapshot(header{Origin: origin, ID: id}, State{Newest: newest, Accepted: word})
	if err != nil {
		return nil, err
	}
	// Whole or not at all: half of it would be a register that knows less.
	next := path + ".next"
	if err = writeSynced(next, text); err == nil {
		err = os.Link(next, path)
	}
	if err = errors.Join(err, os.Remove(next), durable.SyncDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("create register %s: %w", path, err)
	}
	return OpenFile(path)
}
