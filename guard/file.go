//go:build unix

package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"indelible/internal/durable"
)

// File is a register in a file on this machine.
//
// The file is lines of text, which an operator can read: a header, then one
// record a line, each ending in a checksum (see record.go). A head is added at
// the end and fsynced. An unfinished last line is the trace of a crash in the
// middle of a write, whose signature therefore never left: it is cut off, or gets
// its end where that is all that it lacks. Anything else that does not check is
// ErrCorrupt, a whole record with a damaged end too, and nothing is guessed.
//
// When the file has grown to maxFile bytes, a new one that holds only the state
// takes its place by rename (see compact.go).
//
// Processes share the file under flock. Do not keep it on a file system whose
// flock does not reach the other hosts, and not on the database's disk if there
// is another: a snapshot that contains both defeats the check.
type File struct {
	path   string
	header header
	open   func(path string) (syncedFile, error)

	mu     sync.Mutex
	file   syncedFile
	end    int64 // bytes of the file that were read and checked
	state  State
	failed bool // a write or fsync failed: see ErrFailed
}

// syncedFile is the part of *os.File that the register stands on. Tests put a
// failing one in its place.
type syncedFile interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (os.FileInfo, error)
	Fd() uintptr
	Close() error
}

var _ Register = (*File)(nil)

// CreateFile makes a new register at the empty tree. It fails with os.ErrExist
// rather than touch a file that is there.
func CreateFile(path, origin, id string) (*File, error) {
	h := header{Origin: origin, ID: id}
	line, err := h.line()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create register: %w", err)
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("create register %s: %w", path, err)
	}
	return OpenFile(path)
}

// OpenFile opens a register and reads all of it.
func OpenFile(path string) (*File, error) {
	return openWith(path, func(path string) (syncedFile, error) {
		return os.OpenFile(path, os.O_RDWR, 0)
	})
}

func openWith(path string, open func(string) (syncedFile, error)) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	r := &File{path: path, file: f, open: open}
	r.header, r.end, err = readHeader(path, f)
	if err == nil {
		r.state = State{Newest: Empty()}
		err = r.locked(r.catchUp)
	}
	if err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	return r, nil
}

// Origin is the name of the log that the register belongs to.
func (r *File) Origin() string { return r.header.Origin }

// ID implements Register.
func (r *File) ID() string { return r.header.ID }

// Path is where the register lies.
func (r *File) Path() string { return r.path }

// Close closes the file.
func (r *File) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Close()
}

// Read implements Register.
func (r *File) Read(context.Context) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.locked(r.catchUp)
	return r.state, err
}

// Confirm implements Register. Each read is under the lock of all processes.
func (r *File) Confirm(ctx context.Context) (State, error) { return r.Read(ctx) }

// Poisoned implements Register.
func (r *File) Poisoned(ctx context.Context) (string, error) {
	state, err := r.Read(ctx)
	return state.Poisoned, err
}

// Advance implements Register.
func (r *File) Advance(_ context.Context, from, to Head) error {
	if to.Size <= from.Size {
		return fmt.Errorf("register %s: a head of size %d cannot follow one of size %d", r.path, to.Size, from.Size)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(func() error {
		if err := r.catchUp(); err != nil {
			return err
		}
		if r.state.Poisoned != "" {
			return fmt.Errorf("register %s: the log is poisoned: %s", r.path, r.state.Poisoned)
		}
		if !r.state.Newest.Same(from) {
			return fmt.Errorf("register %s is at size %d, not %d: %w", r.path, r.state.Newest.Size, from.Size, ErrMoved)
		}
		return r.append(record{kind: recordHead, head: to})
	})
}

// Poison implements Register.
func (r *File) Poison(_ context.Context, reason string, shown Head) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(func() error {
		if err := r.catchUp(); err != nil {
			return err
		}
		if _, changed := r.state.poisoned(reason, shown); !changed {
			return nil
		}
		return r.append(record{kind: recordPoison, text: reason, head: shown})
	})
}

// Clear implements Register.
func (r *File) Clear(_ context.Context, word Word) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(func() error {
		if err := r.catchUp(); err != nil {
			return err
		}
		if r.state.Poisoned == "" {
			return nil
		}
		return r.append(record{kind: recordClear, word: word})
	})
}

// locked runs f while this process holds the file against all others.
func (r *File) locked(f func() error) error {
	if err := r.lock(); err != nil {
		return err
	}
	err := f()
	if unlock := flock(r.file.Fd(), syscall.LOCK_UN); unlock != nil {
		err = errors.Join(err, fmt.Errorf("unlock register %s: %w", r.path, unlock))
	}
	return err
}

// lock locks the file that has the register's name now: another process may
// have compacted it since, so that ours has none.
func (r *File) lock() error {
	for {
		if err := flock(r.file.Fd(), syscall.LOCK_EX); err != nil {
			return fmt.Errorf("lock register %s: %w", r.path, err)
		}
		ours, err := r.file.Stat()
		if err != nil {
			return fmt.Errorf("read register %s: %w", r.path, err)
		}
		there, err := os.Stat(r.path)
		if err != nil {
			return errors.Join(fmt.Errorf("the register is gone: %w", err), flock(r.file.Fd(), syscall.LOCK_UN))
		}
		if os.SameFile(ours, there) {
			return nil
		}
		if err := r.follow(); err != nil {
			return err
		}
	}
}

func flock(fd uintptr, how int) error {
	for {
		err := syscall.Flock(int(fd), how)
		if err != syscall.EINTR {
			return err
		}
	}
}

// readHeader returns the header and the length of its line.
func readHeader(path string, f io.ReaderAt) (header, int64, error) {
	buf := make([]byte, maxLine)
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return header{}, 0, fmt.Errorf("read register %s: %w", path, err)
	}
	line, _, found := bytes.Cut(buf[:n], []byte("\n"))
	if !found {
		return header{}, 0, fmt.Errorf("register %s: no header line: %w", path, ErrCorrupt)
	}
	h, err := parseHeader(line)
	if err != nil {
		return header{}, 0, fmt.Errorf("register %s, line 1: %w", path, err)
	}
	return h, int64(len(line)) + 1, nil
}

// catchUp reads the records that came since the last call, whoever wrote them.
func (r *File) catchUp() error {
	if r.failed {
		return fmt.Errorf("register %s: %w", r.path, ErrFailed)
	}
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("read register %s: %w", r.path, err)
	}
	if info.Size() < r.end {
		return fmt.Errorf("register %s: it shrank from %d to %d bytes while in use: %w", r.path, r.end, info.Size(), ErrCorrupt)
	}
	for r.end < info.Size() {
		more, err := r.readChunk(info.Size())
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// readChunk reads on from r.end and applies every whole line. It reports
// whether there was one.
func (r *File) readChunk(size int64) (bool, error) {
	buf := make([]byte, min(size-r.end, 64*maxLine))
	if _, err := r.file.ReadAt(buf, r.end); err != nil && err != io.EOF {
		return false, fmt.Errorf("read register %s: %w", r.path, err)
	}
	last := bytes.LastIndexByte(buf, '\n')
	if last < 0 {
		return false, r.mendLast(buf, size)
	}
	for line := range bytes.Lines(buf[:last+1]) {
		if err := r.apply(line[:len(line)-1]); err != nil {
			return false, fmt.Errorf("register %s, byte %d: %w", r.path, r.end, err)
		}
		r.end += int64(len(line))
	}
	return true, nil
}

// mendLast is for a last line without its end.
func (r *File) mendLast(rest []byte, size int64) error {
	for n := min(len(rest), maxLine); n > 0; n-- {
		if _, err := parseRecord(rest[:n]); err != nil {
			continue
		}
		if n < len(rest) { // a crash leaves nothing behind a record
			return fmt.Errorf("register %s, byte %d: the last record is whole, and %d bytes after it are not the end of a line: %w", r.path, r.end+int64(n), len(rest)-n, ErrCorrupt)
		}
		return r.finish(rest)
	}
	return r.cutUnfinished(rest, size)
}

// finish gives the last record its end, and applies it.
func (r *File) finish(line []byte) error {
	_, err := r.file.WriteAt([]byte("\n"), r.end+int64(len(line)))
	if err = errors.Join(err, r.file.Sync()); err != nil {
		r.failed = true
		return fmt.Errorf("register %s: finish the last record: %w", r.path, err)
	}
	if err := r.apply(line); err != nil {
		return fmt.Errorf("register %s, byte %d: %w", r.path, r.end, err)
	}
	r.end += int64(len(line)) + 1
	return nil
}

// cutUnfinished removes a last line without its end. Only a crash in the
// middle of a write leaves one, since a finished write is fsynced whole.
func (r *File) cutUnfinished(rest []byte, size int64) error {
	if len(rest) >= maxLine {
		return fmt.Errorf("register %s, byte %d: a line of over %d bytes: %w", r.path, r.end, maxLine, ErrCorrupt)
	}
	if err := errors.Join(r.file.Truncate(r.end), r.file.Sync()); err != nil {
		r.failed = true
		return fmt.Errorf("register %s: cut off %d bytes of an unfinished record: %w", r.path, size-r.end, err)
	}
	return nil
}

func (r *File) apply(line []byte) error {
	rec, err := parseRecord(line)
	if err != nil {
		return err
	}
	switch rec.kind {
	case recordHead:
		if rec.head.Size <= r.state.Newest.Size {
			return fmt.Errorf("size %d after size %d: %w", rec.head.Size, r.state.Newest.Size, ErrCorrupt)
		}
		r.state.Newest = rec.head
	case recordPoison:
		r.state, _ = r.state.poisoned(rec.text, rec.head)
	case recordClear:
		r.state = r.state.cleared(rec.word)
	case recordAccepted:
		r.state.Accepted = rec.word
	}
	return nil
}

// append writes a record and waits until it is on disk. A write that fails, as
// on a full disk, is taken back. After a failed fsync nobody knows what the disk
// holds (one that is tried again may succeed without having written anything),
// so the register is done until it is opened and read again.
func (r *File) append(rec record) error {
	line, err := rec.line()
	if err != nil {
		return err
	}
	if _, err := r.file.WriteAt(line, r.end); err != nil {
		return r.takeBack(err)
	}
	if err := r.file.Sync(); err != nil {
		r.failed = true
		return fmt.Errorf("register %s: %w: %w", r.path, ErrFailed, err)
	}
	if err := r.apply(line[:len(line)-1]); err != nil {
		return err
	}
	r.end += int64(len(line))
	if r.end > maxFile {
		return r.compact()
	}
	return nil
}

func (r *File) takeBack(cause error) error {
	if err := errors.Join(r.file.Truncate(r.end), r.file.Sync()); err != nil {
		r.failed = true
		return fmt.Errorf("register %s: %w: %w; taking it back: %w", r.path, ErrFailed, cause, err)
	}
	return fmt.Errorf("write to register %s: %w", r.path, cause)
}
