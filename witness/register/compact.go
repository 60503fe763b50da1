//go:build unix

package register

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"

	"indelible/internal/durable"
)

// liveBytes is about how many bytes a file without outdated lines has.
func (r *File) liveBytes() int64 {
	var one record
	return int64(len(r.heads)+1) * int64(len(one.line())+9)
}

// maybeCompact puts a file without outdated lines in the place of one that has
// too many. If that cannot be done, the file stays as it is, and it is tried
// again when that has doubled.
func (r *File) maybeCompact() {
	if r.end <= r.compactAt {
		return
	}
	r.compactAt = 2 * r.end
	next := r.path + ".next"
	f, end, err := writeFile(next, r.id, r.heads)
	if err != nil {
		return
	}
	// It must be ours before it has the name, or another process could take it.
	if flock(f) != nil {
		f.Close()
		return
	}
	if err := errors.Join(os.Rename(next, r.path), durable.SyncDir(filepath.Dir(r.path))); err != nil {
		// Which of the two files a power cut would leave is not known.
		r.fail(errors.Join(err, f.Close()))
		return
	}
	r.file.Close() // what it held is in the new one
	r.file, r.end = f, end
	r.compactAt = max(slack, 4*r.liveBytes())
}

// writeFile makes a file of the present heads, on disk when it returns.
func writeFile(path, id string, heads map[key]head) (f *os.File, end int64, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, 0, err
	}
	w := bufio.NewWriter(f)
	n, _ := w.Write(headerLine(id)) // Flush tells
	end = int64(n)
	for log, h := range heads {
		n, _ := w.Write(record{log, h}.line())
		end += int64(n)
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return nil, 0, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, end, nil
}
