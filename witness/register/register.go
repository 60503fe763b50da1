//go:build unix

// Package register is a witness's memory outside of its database: a file, best
// kept on another disk, with the largest head that was cosigned of each log.
//
//	indelible-witness-register-v1 7c3b…e1 5a0d2c11
//	5fd2dc0beb4c…4fe4 20852163 zyuMk1Pd1cbW7bVpAm+WJrEuVZ2j+rZgyy5yWzSbb3s= 1679315147 0f7c2a35
//	…
//
// After the first line, which says the register's id, each line is a head: the
// SHA-256 of the log's origin, size, root, and when it was cosigned last, in
// POSIX seconds; a line without a time, as older files have them, says that it is
// not known. Every line ends in the CRC-32C of what is before it. Of one log,
// sizes and times only grow; a head that is cosigned again is there again.
//
// Heads are added at the end and fsynced, those of many logs together. What is
// after the last end of a line is the trace of a crash in the middle of a write,
// and was never relied on: it is cut off. Anything else that does not check is
// ErrCorrupt. Once most of the lines are outdated, a file without them takes the
// file's place by rename.
//
// One process has the register at a time; it holds the file under flock.
package register

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"indelible/internal/durable"
	"indelible/witness"
	"indelible/witness/internal/group"
)

var (
	// ErrLocked: another process has the register.
	ErrLocked = errors.New("another process uses the register")
	// ErrFailed: an fsync failed once, so that what is on disk is not known. The
	// register takes no more heads until it is opened again.
	ErrFailed = errors.New("the register failed a write")
)

const (
	// maxGroup is the most heads that one fsync serves.
	maxGroup = 256
	// maxLine is the most bytes of a line.
	maxLine = 512
	// slack is how many bytes a file may have at least before it is compacted.
	slack = 1 << 20
)

// File is a register.
type File struct {
	path  string
	id    string
	queue *group.Queue[record]

	// Only the running group has these.
	file      syncedFile
	end       int64 // bytes of whole lines
	compactAt int64

	mu    sync.RWMutex
	heads map[key]head
	err   error // why it takes no more heads
}

// syncedFile is the part of *os.File that the register stands on.
type syncedFile interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (os.FileInfo, error)
	Fd() uintptr
	Close() error
}

var _ witness.Register = (*File)(nil)

// NewID makes an id: 32 hex digits.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Create makes a register that holds the heads that each tells. It fails with
// os.ErrExist rather than touch a file that is there.
func Create(path, id string, each func(add func(origin string, h witness.Head)) error) (*File, error) {
	if _, err := parseHeader(strings.TrimSuffix(string(headerLine(id)), "\n")); err != nil {
		return nil, fmt.Errorf("a register cannot have the id %q", id)
	}
	heads := make(map[key]head)
	if err := each(func(origin string, h witness.Head) {
		if h.Size > 0 {
			heads[sha256.Sum256([]byte(origin))] = head{h.Size, h.Root, max(0, h.Time)}
		}
	}); err != nil {
		return nil, err
	}
	// A link is made only where there is nothing.
	next := path + ".new"
	f, _, err := writeFile(next, id, heads)
	if err != nil {
		return nil, fmt.Errorf("create register: %w", err)
	}
	err = errors.Join(f.Close(), os.Link(next, path))
	linked := err == nil
	err = errors.Join(err, os.Remove(next), durable.SyncDir(filepath.Dir(path)))
	if err != nil && linked {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return nil, fmt.Errorf("create register: %w", err)
	}
	return Open(path)
}

// Open opens a register and reads all of it.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	r, err := open(path, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register %s: %w", path, err), f.Close())
	}
	return r, nil
}

func open(path string, f syncedFile) (*File, error) {
	if err := flock(f); err != nil {
		return nil, err
	}
	// The one who had it may have put another file in its place since it was opened.
	if err := isAt(f, path); err != nil {
		return nil, err
	}
	r := &File{path: path, file: f, heads: make(map[key]head)}
	r.queue = group.New(maxGroup, r.advance)
	if err := r.read(); err != nil {
		return nil, err
	}
	r.compactAt = max(slack, 4*r.liveBytes())
	return r, nil
}

func flock(f syncedFile) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: stop it first, or give this witness a register of its own", ErrLocked)
	}
	return err
}

func isAt(f syncedFile, path string) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(path)
	if err == nil && !os.SameFile(ours, there) {
		err = fmt.Errorf("%w: it was replaced while it was opened; start again", ErrLocked)
	}
	return err
}

// ID is the register's identity, which the database knows.
func (r *File) ID() string { return r.id }

// Path is where the register lies.
func (r *File) Path() string { return r.path }

// Close closes the file. Nothing must be running.
func (r *File) Close() error { return r.file.Close() }

// Err says why the register takes no more heads; nil if it does.
func (r *File) Err() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.err
}

// Newest implements witness.Register.
func (r *File) Newest(origin string) (witness.Head, error) {
	h := r.newest(sha256.Sum256([]byte(origin)))
	return witness.Head{Size: h.size, Root: h.root, Time: h.time}, nil
}

func (r *File) newest(log key) head {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.heads[log]
}

// Advance implements witness.Register. It is not given up with ctx: the fsync
// that it waits for is that of others too.
func (r *File) Advance(_ context.Context, origin string, to witness.Head) error {
	return r.queue.Do(record{sha256.Sum256([]byte(origin)), head{to.Size, to.Root, max(0, to.Time)}})
}

// TryWrite writes something that means nothing, waits until it is on disk, and
// takes it back. An error says why the next head could not be registered.
func (r *File) TryWrite() error { return r.queue.Do(record{head: head{size: trial}}) }

// trial is the size that stands for no record: the file is to be tried.
const trial = -1

// try is TryWrite for the running group. What a crash leaves of it has no end of a
// line, and is cut off.
func (r *File) try() error {
	if err := isAt(r.file, r.path); err != nil {
		return fmt.Errorf("register %s is no longer the file that this witness writes: %w", r.path, err)
	}
	text := bytes.Repeat([]byte{'.'}, maxLine)
	if err := r.append(text); err != nil {
		return err
	}
	r.end -= int64(len(text))
	return r.file.Truncate(r.end)
}

// read reads the file, and cuts off what a crash left at its end.
func (r *File) read() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(io.NewSectionReader(r.file, 0, info.Size()), 64<<10)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return r.cutOff(n, info.Size())
		}
		if err != nil {
			return err
		}
		if len(line) > maxLine {
			return fmt.Errorf("line %d: %w: it has %d bytes", n, ErrCorrupt, len(line))
		}
		if err := r.line(n, line[:len(line)-1]); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		r.end += int64(len(line))
	}
}

func (r *File) line(n int, line string) (err error) {
	if n == 1 {
		r.id, err = parseHeader(line)
		return err
	}
	rec, err := parseRecord(line)
	if err != nil {
		return err
	}
	if was := r.heads[rec.log]; !rec.newer(was) {
		return fmt.Errorf("%w: size %d and time %d after size %d and time %d of one log", ErrCorrupt, rec.size, rec.time, was.size, was.time)
	}
	r.heads[rec.log] = rec.head
	return nil
}

// cutOff removes what follows the last whole line, which has the number before n.
func (r *File) cutOff(n int, size int64) error {
	if n == 1 {
		return fmt.Errorf("%w: it has no first line", ErrCorrupt)
	}
	if r.end == size {
		return nil
	}
	if size-r.end > maxGroup*maxLine {
		return fmt.Errorf("line %d: %w: %d bytes without an end of a line", n, ErrCorrupt, size-r.end)
	}
	return errors.Join(r.file.Truncate(r.end), r.file.Sync())
}

// advance adds the heads that are newer than what is known, with one fsync.
func (r *File) advance(records []record) []error {
	errs := make([]error, len(records))
	added := make(map[key]head)
	var text []byte
	for i, rec := range records {
		was, ok := added[rec.log]
		if !ok {
			was = r.newest(rec.log)
		}
		rec.time = max(rec.time, was.time)
		switch {
		case rec.newer(was):
			added[rec.log] = rec.head
			text = append(text, rec.line()...)
		case rec.size == was.size && rec.size > 0 && rec.root != was.root:
			errs[i] = fmt.Errorf("register %s: it holds another root at size %d", r.path, rec.size)
		}
	}
	err := r.Err()
	switch {
	case err == nil && len(text) > 0:
		err = r.append(text)
	case err == nil && slices.ContainsFunc(records, func(rec record) bool { return rec.size == trial }):
		err = r.try()
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	r.mu.Lock()
	for log, h := range added {
		r.heads[log] = h
	}
	r.mu.Unlock()
	r.maybeCompact()
	return errs
}

// append writes lines and waits until they are on disk. A write that fails, as
// on a full disk, is taken back. After a failed fsync nobody knows what the disk
// holds, and one that is tried again may succeed without having written
// anything: the register has failed.
func (r *File) append(text []byte) error {
	_, err := r.file.WriteAt(text, r.end)
	if err != nil {
		if back := errors.Join(r.file.Truncate(r.end), r.file.Sync()); back != nil {
			return r.fail(errors.Join(err, back))
		}
		return fmt.Errorf("write to register %s: %w", r.path, err)
	}
	if err := r.file.Sync(); err != nil {
		return r.fail(err)
	}
	r.end += int64(len(text))
	return nil
}

func (r *File) fail(cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = fmt.Errorf("register %s: %w: %w; start again when the disk is whole", r.path, ErrFailed, cause)
	return r.err
}
