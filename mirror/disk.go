package mirror

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is where a copy is. What was written is durable once the file was synced, and
// its name once the folder was.
type disk interface {
	mkdir(path string, mode fs.FileMode) error // fs.ErrExist: it is there
	create(path string, mode fs.FileMode) (file, error)
	extend(path string, mode fs.FileMode) (file, error) // appends
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error
	read(path string, limit int64) ([]byte, error)
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

// realDisk is the operating system's.
type realDisk struct{}

func (realDisk) mkdir(path string, mode fs.FileMode) error { return os.Mkdir(path, mode) }

func (realDisk) create(path string, mode fs.FileMode) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
}

func (realDisk) extend(path string, mode fs.FileMode) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, mode)
}

func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) remove(path string) error { return os.Remove(path) }

func (realDisk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(ignoreUnsupported(d.Sync()), d.Close())
}

// errTooLong: a file has more bytes than any that a copy writes under its name.
var errTooLong = errors.New("the file is too long")

func (realDisk) read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errTooLong}
	}
	return data, err
}

// mkdirAll makes a folder and those above it, durably.
func mkdirAll(d disk, path string, mode fs.FileMode) error {
	err := d.mkdir(path, mode)
	above := filepath.Dir(path)
	if errors.Is(err, fs.ErrNotExist) && above != path {
		if err = mkdirAll(d, above, mode); err == nil {
			err = d.mkdir(path, mode)
		}
	}
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return d.syncDir(above)
}

// replace writes a file in the place of another, durably.
func replace(d disk, path string, data []byte, mode fs.FileMode) error {
	if err := writeBeside(d, path, data, mode); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// writeBeside writes a file whole, and then gives it its name. Its content is durable
// then; its name is once its folder was synced.
func writeBeside(d disk, path string, data []byte, mode fs.FileMode) error {
	f, err := startBeside(d, path, data, mode)
	if err != nil {
		return err
	}
	return endBeside(d, f, path, f.Sync())
}

// startBeside writes a file beside its place. Nothing is durable yet.
func startBeside(d disk, path string, data []byte, mode fs.FileMode) (file, error) {
	f, err := d.create(path+".new", mode)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(data); err != nil {
		return nil, errors.Join(err, f.Close(), d.remove(path+".new"))
	}
	return f, nil
}

// endBeside gives a file its name that startBeside began, and that was synced since; or
// removes it after an error.
func endBeside(d disk, f file, path string, err error) error {
	if err = errors.Join(err, f.Close()); err == nil {
		return d.rename(path+".new", path)
	}
	return errors.Join(err, d.remove(path+".new"))
}
