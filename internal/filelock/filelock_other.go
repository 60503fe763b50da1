//go:build !unix

package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Take makes a file that cannot be removed while a process has it open. One that a
// process left behind is removed.
func Take(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}
