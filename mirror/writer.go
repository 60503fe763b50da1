package mirror

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
)

const (
	// writers is how many files are written at the same time: a file system commits
	// what several of them sync together.
	writers = 8
	// maxWaiting bounds the bytes that wait to be written; one file may have more.
	maxWaiting = 32 << 20
)

// writer writes files in the background. An error is kept: nothing is written after
// it, since what a failed sync left behind is not known.
type writer struct {
	disk disk
	root string // all files are below it

	mu      sync.Mutex
	changed sync.Cond // of what follows
	waiting []job
	bytes   int // that wait, or are being written
	jobs    int
	err     error
	closed  bool

	known map[string]bool // folders that are there
	dirty map[string]bool // folders with new names in them

	running sync.WaitGroup
}

type job struct {
	path string
	data []byte
}

func newWriter(d disk, root string) *writer {
	w := &writer{disk: d, root: root, known: make(map[string]bool), dirty: make(map[string]bool)}
	w.changed.L = &w.mu
	for range writers {
		w.running.Go(w.run)
	}
	return w
}

func (w *writer) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.waiting) == 0 && !w.closed {
			w.changed.Wait()
		}
		if len(w.waiting) == 0 {
			return
		}
		j := w.waiting[0]
		w.waiting = w.waiting[1:]
		if w.err == nil {
			w.mu.Unlock()
			err := writeBeside(w.disk, j.path, j.data, 0o644)
			w.mu.Lock()
			w.err = errors.Join(w.err, err)
		}
		w.bytes -= len(j.data)
		w.jobs--
		w.changed.Broadcast()
	}
}

// put writes a file soon. The data must not be changed.
func (w *writer) put(path string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && w.jobs > 0 && w.bytes+len(data) > maxWaiting {
		w.changed.Wait()
	}
	if w.err == nil {
		w.err = w.folder(filepath.Dir(path))
	}
	if w.err != nil {
		return w.err
	}
	w.dirty[filepath.Dir(path)] = true
	w.waiting = append(w.waiting, job{path, data})
	w.bytes += len(data)
	w.jobs++
	w.changed.Broadcast()
	return nil
}

// folder makes a folder and those above it, durably: one that is there may have been
// left by a process that ended before it had synced the folder above.
func (w *writer) folder(path string) error {
	if w.known[path] || path == w.root {
		return nil
	}
	above := filepath.Dir(path)
	if err := w.folder(above); err != nil {
		return err
	}
	if err := w.disk.mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	w.known[path] = true
	return w.disk.syncDir(above)
}

// sync returns when everything that was put is durable.
func (w *writer) sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.jobs > 0 {
		w.changed.Wait()
	}
	for dir := range w.dirty {
		if w.err == nil {
			w.err = w.disk.syncDir(dir)
		}
	}
	if w.err == nil {
		clear(w.dirty)
	}
	return w.err
}

// close ends the background. What waits is written, and not synced.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	w.running.Wait()
}
