package publication

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	translog "indelible/log"
	"indelible/merkle"
)

// Kept is a folder that a log is published to, for the log itself to read.
type Kept string

var _ translog.Files = Kept("")

// maxKept bounds a file, in bytes: a bundle of the largest entries.
const maxKept = merkle.TileWidth * (2 + merkle.MaxBundleEntry)

// Read implements log.Files.
func (k Kept) Read(path string) ([]byte, error) {
	f, err := os.Open(k.path(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKept {
		return nil, errors.New("the file is too long")
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// Mend implements log.Files.
func (k Kept) Mend(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(k.path(path)), "mend*.new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path(path))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func (k Kept) path(name string) string { return filepath.Join(string(k), filepath.FromSlash(name)) }
