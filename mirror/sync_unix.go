//go:build unix

package mirror

import (
	"errors"
	"syscall"
)

func ignoreUnsupported(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // a file system without a sync of folders
	}
	return err
}
