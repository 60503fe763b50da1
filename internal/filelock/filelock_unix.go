//go:build unix

package filelock

import (
	"errors"
	"os"
	"syscall"
)

// Take locks a file, which it makes if there is none, until the file is closed. Its
// error is ErrInUse if it is locked already.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Hold is Take for a file that another process may delete while it has the lock: the file that Hold returns is at path.
func Hold(path string) (*os.File, error) {
	for {
		f, err := Take(path)
		if err != nil {
			return nil, err
		}
		ours, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(ours, there) {
			return f, nil
		}
		f.Close() // no other process can find it
	}
}
