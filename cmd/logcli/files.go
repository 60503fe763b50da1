package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The most bytes of files that are read as a whole.
const (
	maxKeyFile = 64 << 10 // one key; the PEM of RSA-8192 takes 6 kB
	maxTrust   = 16 << 20 // policies, certificates, trusted roots, lists of keys
)

var errTooLong = errors.New("too long for such a file")

// readFile reads a whole file of at most so many bytes: a name given by mistake
// may be that of something huge, or endless.
func readFile(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s is %w: it has over %d bytes", file, errTooLong, most)
	}
	return data, err
}

// writeFile writes a file whole or not at all, in a folder that is there.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := beside(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// writeOwn writes a file that only this user reads, in a folder of its own
// making.
func writeOwn(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeFile(path, data, 0o600)
}

// writable says why a file could not be written; nil if it could.
func writable(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("write %s: it is a folder; give a file", path)
	}
	f, err := beside(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// beside makes a new file in a file's folder, to take its place.
func beside(path string) (*os.File, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	var at *fs.PathError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("write %s: there is no folder %s; make it first", path, dir)
	case errors.As(err, &at):
		return nil, fmt.Errorf("write %s: new files in the folder %s: %w", path, dir, at.Err)
	}
	return f, err
}
