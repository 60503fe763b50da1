// Package durable makes changes of files last through a power cut.
package durable

import (
	"errors"
	"os"
	"runtime"
)

// SyncDir makes the names in a folder last: files that were created, renamed or removed there. Windows cannot flush a folder;
// there it does nothing.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
