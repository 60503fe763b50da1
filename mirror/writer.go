package mirror

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	// writers is how many groups of files are written at the same time, and maxGroup how
	// many files are in one.
	writers, maxGroup = 2, 128
	// syncs is how many files of a group are synced at the same time.
	syncs = 16
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
	ready   int  // bytes of these
	bytes   int  // that wait, or are being written
	jobs    int  // that are not done
	hurry   bool // a caller waits: groups need not be whole
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
		for !w.worthwhile() {
			w.changed.Wait()
		}
		if len(w.waiting) == 0 {
			return
		}
		n := min(len(w.waiting), maxGroup)
		group := w.waiting[:n:n]
		w.waiting = w.waiting[n:]
		for _, j := range group {
			w.ready -= len(j.data)
		}
		if w.err == nil {
			w.mu.Unlock()
			err := w.writeGroup(group)
			w.mu.Lock()
			w.err = errors.Join(w.err, err)
		}
		w.jobs -= n
		w.changed.Broadcast()
	}
}

// worthwhile reports whether a writer has something to do: a group that is whole, or
// what is left of one.
func (w *writer) worthwhile() bool {
	return len(w.waiting) >= maxGroup || w.ready >= maxWaiting/writers || w.hurry && len(w.waiting) > 0 || w.closed
}

// writeGroup writes files beside their places, syncs them, and then gives them their
// names.
func (w *writer) writeGroup(group []job) (err error) {
	files := make([]file, 0, len(group))
	for _, j := range group {
		var f file
		if err == nil {
			if f, err = startBeside(w.disk, j.path, j.data, 0o644); err == nil {
				files = append(files, f)
			}
		}
		w.mu.Lock()
		w.bytes -= len(j.data)
		w.changed.Broadcast()
		w.mu.Unlock()
	}
	if err == nil {
		err = syncAll(files)
	}
	for i, f := range files {
		err = endBeside(w.disk, f, group[i].path, err)
	}
	return err
}

// syncAll syncs several files at the same time: a file system commits them together.
func syncAll(files []file) error {
	var all errgroup.Group
	all.SetLimit(syncs)
	for _, f := range files {
		all.Go(f.Sync)
	}
	return all.Wait()
}

// put writes a file soon. The data must not be changed.
func (w *writer) put(path string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.await(func() bool { return w.err != nil || w.jobs == 0 || w.bytes+len(data) <= maxWaiting })
	if w.err == nil {
		w.err = w.folder(filepath.Dir(path))
	}
	if w.err != nil {
		return w.err
	}
	w.dirty[filepath.Dir(path)] = true
	w.waiting = append(w.waiting, job{path, data})
	w.bytes += len(data)
	w.ready += len(data)
	w.jobs++
	w.changed.Broadcast()
	return nil
}

// await has the writers work until something is so.
func (w *writer) await(so func() bool) {
	for !so() {
		w.hurry = true
		w.changed.Broadcast()
		w.changed.Wait()
	}
	w.hurry = false
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
	w.await(func() bool { return w.jobs == 0 })
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
