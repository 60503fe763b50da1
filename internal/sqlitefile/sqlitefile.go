//go:build unix

// Package sqlitefile keeps a SQLite database for one process, from before it is opened until it is closed.
package sqlitefile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"indelible/internal/filelock"
)

// File is a database that this process has locked, by a file beside it.
type File struct {
	path string
	made bool
	lock *os.File
}

// Open locks the database at path, creates it if it does not exist (only its owner can read it), and calls open.
// If open fails, no file is left that did not exist before. The error matches locked if another process has the lock.
func Open(path string, locked error, open func() error) (*File, error) {
	_, stat := os.Lstat(path + ".lock")
	free := errors.Is(stat, os.ErrNotExist)
	lock, err := take(path+".lock", locked)
	if err != nil {
		return nil, err
	}
	_, stat = os.Lstat(path)
	f := &File{path: path, made: errors.Is(stat, os.ErrNotExist), lock: lock}
	if err = create(path); err == nil {
		err = open()
	}
	if err == nil {
		return f, nil
	}
	if f.made {
		err = errors.Join(err, f.removeFiles())
	} else if free {
		err = errors.Join(err, os.Remove(path+".lock"))
	}
	return nil, errors.Join(err, lock.Close())
}

// Made reports whether Open created the database.
func (f *File) Made() bool { return f.made }

// Close lets the next process in. The connections are closed before.
func (f *File) Close() error { return f.lock.Close() }

// Remove deletes the database and all that SQLite keeps beside it, and lets the next process in. The connections are closed
// before.
func (f *File) Remove() error { return errors.Join(f.removeFiles(), f.lock.Close()) }

// removeFiles deletes the lock last: until then no other process opens the database.
func (f *File) removeFiles() error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".lock"} {
		if err := os.Remove(f.path + suffix); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// create makes an empty file, since SQLite itself would make one that all can read.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// take takes the lock, and writes our process id into it. The system gives the lock back however the process ends.
func take(path string, locked error) (*os.File, error) {
	f, err := filelock.Hold(path)
	if errors.Is(err, filelock.ErrInUse) {
		return nil, fmt.Errorf("lock %s: %w (%s): stop it first, or give this one a data directory of its own", path, locked, holder(path))
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

// holder reads the process id from a lock file, for the message.
func holder(path string) string {
	b, _ := os.ReadFile(path)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return "its process id is not known"
	}
	return fmt.Sprintf("process %d", pid)
}
