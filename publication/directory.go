package publication

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"indelible/internal/filelock"
	"indelible/mirror"
)

// directory is a folder on this machine. One process writes it.
type directory struct {
	files *mirror.Files
	lock  *os.File
}

var _ Store = (*directory)(nil)

// OpenDirectory opens a folder, which it makes if it is not there. While another
// process publishes to it, that is an error.
func OpenDirectory(dir string) (Store, error) {
	files, err := mirror.OpenFiles(dir)
	if err != nil {
		return nil, err
	}
	lock, err := filelock.Take(filepath.Join(dir, stateName+".lock"))
	if err != nil {
		files.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &directory{files, lock}, nil
}

// Put implements Store.
func (d *directory) Put(_ context.Context, path string, data []byte) error {
	return d.files.Put(path, data)
}

// Sync implements Store.
func (d *directory) Sync(context.Context) error { return d.files.Sync() }

// Get implements Store.
func (d *directory) Get(_ context.Context, path string) ([]byte, string, error) {
	data, err := d.files.Read(path, maxSmall)
	return data, tagOf(data), err
}

// Swap implements Store. The lock keeps others away: what was written by hand is
// ErrMoved as well.
func (d *directory) Swap(ctx context.Context, path string, data []byte, tag string) (string, error) {
	_, has, err := d.Get(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		has = ""
	case err != nil:
		return "", err
	}
	if has != tag {
		return "", fmt.Errorf("%s: %w", path, ErrMoved)
	}
	return tagOf(data), d.files.Replace(path, data)
}

// Remove implements Store.
func (d *directory) Remove(_ context.Context, path string) error { return d.files.Remove(path) }

// Close implements Store.
func (d *directory) Close() error {
	d.files.Close()
	return d.lock.Close()
}

func tagOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
