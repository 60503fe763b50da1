//go:build unix

package guard

import (
	"errors"
	"os"
)

// OpenFaulty opens a file register whose next write fails, after having been
// done or without.
func OpenFaulty(path string, lose, refuse *bool) (*File, error) {
	return openWith(path, func(path string) (syncedFile, error) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		return &onceFaulty{syncedFile: f, lose: lose, refuse: refuse}, err
	})
}

var errFault = errors.New("a fault of the test")

type onceFaulty struct {
	syncedFile
	lose, refuse *bool
}

func (f *onceFaulty) WriteAt(b []byte, off int64) (int, error) {
	if *f.refuse {
		*f.refuse = false
		return 0, errFault
	}
	return f.syncedFile.WriteAt(b, off)
}

func (f *onceFaulty) Sync() error {
	if err := f.syncedFile.Sync(); err != nil || !*f.lose {
		return err
	}
	*f.lose = false
	return errFault
}
