//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"

	"indelible/internal/filelock"
)

// lockFile takes the lock that keeps a second process away, and writes our process id into it. The system gives
// it back however the process ends. A process that failed to make a log may delete the file.
func lockFile(path string) (*os.File, error) {
	f, err := filelock.Hold(path)
	if errors.Is(err, filelock.ErrInUse) {
		return nil, fmt.Errorf("lock %s: %w (%s): stop it first, or give this one a data directory of its own", path, ErrLocked, holder(path))
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
