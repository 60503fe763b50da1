package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"indelible/entry"
	translog "indelible/log"
	"indelible/storage"
)

const (
	// MaxFind is the most entries that one search returns.
	MaxFind = 256
	// findBytes is the most bytes of entries that it returns, if that is more
	// than one.
	findBytes = translog.MaxListBytes
	// readHits is how many entries a search reads at once.
	readHits = 64
)

// Hits are the entries that a search found.
type Hits struct {
	Records []translog.Record // by index
	Size    int64             // every entry below it was searched
	More    bool              // there are more, above the last of these
}

// Find returns up to limit entries above after that have a key, by index; fewer
// if they are large. To begin, after is -1; to go on, it is the last index found.
// Few searches read at the same time: ErrBusy.
func (x *Index) Find(ctx context.Context, key entry.IndexKey, after int64, limit int) (Hits, error) {
	if limit < 1 || limit > MaxFind {
		return Hits{}, fmt.Errorf("%w: limit is %d; it must be 1 to %d", translog.ErrOutOfRange, limit, MaxFind)
	}
	published, err := x.cfg.Log.Published()
	if err != nil {
		return Hits{}, err
	}
	leave, err := x.steps.take(ctx)
	if err != nil {
		return Hits{}, err
	}
	defer leave()
	g := gathering{key: key, limit: limit}
	for {
		p, err := x.page(ctx, key, after, limit+1, published.Size)
		if err == nil {
			err = x.entries(ctx, p.indexes, g.take)
		}
		if err != nil {
			return Hits{}, readError(ctx, err)
		}
		g.hits.Size = p.size
		if g.hits.More || !p.more {
			return g.hits, nil
		}
		after = p.last
	}
}

// gathering is what Find has so far.
type gathering struct {
	key   entry.IndexKey
	limit int
	bytes int
	hits  Hits
}

// take adds an entry, if it has the key, and reports whether there is room for
// more.
func (g *gathering) take(e *storage.Entry) bool {
	// The row has a hash of the key only.
	if keys, err := entry.IndexKeys(e.Body); err != nil || !slices.Contains(keys, g.key) {
		return true
	}
	n := len(g.hits.Records)
	if g.bytes += len(e.Body); n == g.limit || n > 0 && g.bytes > findBytes {
		g.hits.More = true
		return false
	}
	g.hits.Records = append(g.hits.Records, record(e))
	return true
}

// page is some rows of one key.
type page struct {
	indexes []int64 // of the entries that they point at
	size    int64   // the index was complete up to here
	last    int64   // the entry of the last row; -1: there is none
	more    bool    // there may be more rows
}

// page reads up to limit rows. The index may be ahead of what this replica knows
// to be published.
func (x *Index) page(ctx context.Context, key entry.IndexKey, after int64, limit int, published int64) (page, error) {
	st, indexes, err := x.cfg.Store.IndexFind(ctx, x.cfg.LogID, keyHash(key), after, limit)
	if err != nil {
		return page{}, err
	}
	if err := x.checkAhead(ctx, st, published); err != nil {
		return page{}, err
	}
	p := page{size: min(x.see(st), published), last: -1, more: len(indexes) == limit}
	if end, _ := slices.BinarySearch(indexes, p.size); end < len(indexes) {
		indexes, p.more = indexes[:end], false
	}
	if p.indexes = indexes; len(indexes) > 0 {
		p.last = indexes[len(indexes)-1]
	}
	return p, nil
}

// entries reads the entries at indexes, a few at a time, until each says that it
// is enough.
func (x *Index) entries(ctx context.Context, indexes []int64, each func(*storage.Entry) (more bool)) error {
	for some := range slices.Chunk(indexes, readHits) {
		entries, err := x.cfg.Store.EntriesAt(ctx, x.cfg.LogID, some)
		if err == nil {
			err = x.cfg.Log.Check(ctx, entries)
		}
		if err != nil {
			return err
		}
		for i := range entries {
			if !each(&entries[i]) {
				return nil
			}
		}
	}
	return nil
}

func record(e *storage.Entry) translog.Record {
	return translog.Record{Index: e.Index, LeafHash: e.LeafHash, IntegratedAt: time.UnixMilli(e.IntegratedAt).UTC(), Canonical: e.Body}
}

// readError says that the database failed a reader.
func readError(ctx context.Context, err error) error {
	if ctx.Err() != nil { // engines say it each in their own words
		return ctx.Err()
	}
	if errors.Is(err, ErrAhead) || errors.Is(err, translog.ErrDamaged) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %v", translog.ErrUnavailable, err)
}
