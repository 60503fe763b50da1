//go:build unix

package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"indelible/internal/durable"
)

// maxFile is the size in bytes beyond which a register file is compacted: some
// ten thousand heads.
const maxFile = 1 << 20

// compact puts a file that holds only the state in the register's place. The
// caller holds the lock; others that waited for it find, once they have it,
// that the name belongs to another file, and follow.
func (r *File) compact() error {
	text, err := snapshot(r.header, r.state)
	if err != nil {
		return err
	}
	next := r.path + ".next"
	if err := writeSynced(next, text); err != nil {
		// The old file is whole and stays in use; the next record tries again.
		return errors.Join(fmt.Errorf("compact register %s: %w", r.path, err), os.Remove(next))
	}
	if err := errors.Join(os.Rename(next, r.path), durable.SyncDir(filepath.Dir(r.path))); err != nil {
		// Which of the two files a power cut would leave is not known.
		r.failed = true
		return fmt.Errorf("compact register %s: %w: %w", r.path, ErrFailed, err)
	}
	return nil
}

// snapshot is the text of a register file in a state.
func snapshot(h header, s State) ([]byte, error) {
	text, err := h.line()
	if err != nil {
		return nil, err
	}
	var records []record
	if s.Accepted != (Word{}) {
		records = append(records, record{kind: recordAccepted, word: s.Accepted})
	}
	if s.Newest.Size > 0 {
		records = append(records, record{kind: recordHead, head: s.Newest})
	}
	if s.Cleared != (Word{}) {
		records = append(records, record{kind: recordClear, word: s.Cleared})
	}
	if s.Poisoned != "" {
		records = append(records, record{kind: recordPoison, text: s.Poisoned, head: s.Shown})
	}
	for _, rec := range records {
		line, err := rec.line()
		if err != nil {
			return nil, err
		}
		text = append(text, line...)
	}
	return text, nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// follow goes over to the file that has the register's name now. It must be
// the same register, and must know at least what we know: an older one put in
// its place is a memory lost.
func (r *File) follow() error {
	f, err := r.open(r.path)
	if err != nil {
		return fmt.Errorf("open register: %w", err)
	}
	next := &File{path: r.path, file: f, open: r.open, state: State{Newest: Empty()}}
	next.header, next.end, err = readHeader(r.path, f)
	if err == nil {
		err = flock(f.Fd(), syscall.LOCK_EX)
	}
	if err == nil {
		err = errors.Join(next.catchUp(), flock(f.Fd(), syscall.LOCK_UN))
	}
	if err == nil {
		err = r.mayFollow(next)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := r.file
	r.file, r.end, r.state = next.file, next.end, next.state
	return old.Close()
}

func (r *File) mayFollow(next *File) error {
	if next.header != r.header {
		return fmt.Errorf("register %s was replaced by that of log %q (id %s); this is log %q (id %s): %w",
			r.path, next.header.Origin, next.header.ID, r.header.Origin, r.header.ID, ErrCorrupt)
	}
	was, is := r.state.Newest, next.state.Newest
	if is.Size < was.Size || is.Size == was.Size && is.Root != was.Root {
		return fmt.Errorf("register %s was replaced by one that knows size %d; it knew size %d: %w", r.path, is.Size, was.Size, ErrCorrupt)
	}
	return nil
}
