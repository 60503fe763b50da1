package log

import (
	"sync"

	"indelible/storage"
)

// recent keeps the newest entries that were read back and proven, so that who
// follows the log need not ask the database for them a second time.
type recent struct {
	limit int64 // bytes

	mu     sync.Mutex
	chunks [][]storage.Entry // each begins where the one before ends
	bytes  int64
}

// put adds entries that were read back. What does not follow on takes the place
// of all that is kept.
func (r *recent) put(entries []storage.Entry) {
	if r.limit == 0 || len(entries) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.chunks); n > 0 && end(r.chunks[n-1]) != entries[0].Index {
		r.chunks, r.bytes = nil, 0
	}
	r.chunks = append(r.chunks, entries)
	r.bytes += weigh(entries)
	for r.bytes > r.limit {
		r.bytes -= weigh(r.chunks[0])
		r.chunks[0] = nil
		r.chunks = r.chunks[1:]
	}
}

// from returns kept entries that begin with start, not all of them, and none at
// or after stop.
func (r *recent) from(start, stop int64) []storage.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.chunks {
		if first := c[0].Index; start >= first && start < min(stop, end(c)) {
			return c[start-first : min(stop, end(c))-first]
		}
	}
	return nil
}

// end is the index after a chunk's last entry.
func end(c []storage.Entry) int64 { return c[len(c)-1].Index + 1 }

// weigh is about how many bytes a chunk takes.
func weigh(c []storage.Entry) (bytes int64) {
	const row = 96 // an Entry, without its body
	for i := range c {
		bytes += row + int64(cap(c[i].Body))
	}
	return bytes
}

// Recent returns some published entries, beginning with the one at start and
// before stop, if they are still in memory (Config.RecentBytes), and otherwise
// none. They must not be modified.
func (l *Log) Recent(start, stop int64) []storage.Entry {
	v := l.view.Load()
	if v == nil {
		return nil
	}
	return l.recent.from(start, min(stop, v.Size))
}
