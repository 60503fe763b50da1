package mirror

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Files are the files below a folder, written as a [Copy] writes its own: in the
// background and in groups, beside their place, then synced, then renamed. One goroutine
// at a time may use them. After an error of Put or Sync what is on the disk is not known:
// open them again.
type Files struct {
	root   string
	disk   disk
	writer *writer
}

// OpenFiles makes the folder, durably, if it is not there.
func OpenFiles(root string) (*Files, error) {
	f := &Files{root: root, disk: realDisk{}}
	if err := mkdirAll(f.disk, root, 0o755); err != nil {
		return nil, err
	}
	f.writer = newWriter(f.disk, root)
	return f, nil
}

// Put writes a file soon, in the place of one that is there. It is durable after Sync.
// The data must not be changed.
func (f *Files) Put(path string, data []byte) error { return f.writer.put(f.path(path), data) }

// Sync returns when everything that was put is durable.
func (f *Files) Sync() error { return f.writer.sync() }

// Replace writes a file of the folder itself, durably, in the place of one that is there.
func (f *Files) Replace(name string, data []byte) error {
	return replace(f.disk, f.path(name), data, 0o644)
}

// Read reads a file of at most limit bytes. One that is not there is fs.ErrNotExist.
func (f *Files) Read(path string, limit int64) ([]byte, error) {
	return f.disk.read(f.path(path), limit)
}

// Remove removes a file, and what a process that was killed left of writing it. One that
// is not there is removed. Nothing may be on its way.
func (f *Files) Remove(path string) error {
	full := f.path(path)
	for _, name := range []string{full, full + ".new"} {
		if err := f.disk.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if folder := filepath.Dir(full); folder != f.root && f.disk.remove(folder) == nil { // nothing else was in it
		delete(f.writer.known, folder)
	}
	return nil
}

// Close ends the background.
func (f *Files) Close() { f.writer.close() }

func (f *Files) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }
