package main

import (
	"context"
	"slices"
	"sync"

	"indelible/client"
	"indelible/entry"
	"indelible/merkle"
)

// looking is a source of a whole log that takes note of the entries with any of
// the keys, until they are asked for. It needs memory for those alone that are
// being audited.
type looking struct {
	*client.Client
	keys []entry.IndexKey

	mu    sync.Mutex
	noted map[int64][]match // by the bundle's number
}

// match is an entry of the log with some of the keys.
type match struct {
	index     int64
	canonical []byte
	keys      []int // which of the keys
}

// Entries implements fsck.Source.
func (l *looking) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	entries, err := l.Client.Entries(ctx, start, end)
	if err != nil {
		return nil, err
	}
	var found []match
	for i, e := range entries {
		if which := l.wanted(e); len(which) > 0 {
			found = append(found, match{start + int64(i), e, which})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noted[start/merkle.TileWidth] = found
	return entries, nil
}

// wanted are the keys that an entry has.
func (l *looking) wanted(canonical []byte) (which []int) {
	has, err := entry.IndexKeys(canonical)
	if err != nil {
		return nil
	}
	for i, k := range l.keys {
		if slices.Contains(has, k) {
			which = append(which, i)
		}
	}
	return which
}

// bundle gives away what was noted of a bundle that was audited, whose last
// entry has the index.
func (l *looking) bundle(last int64) []match {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.noted[last/merkle.TileWidth]
	delete(l.noted, last/merkle.TileWidth)
	return found
}
