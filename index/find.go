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

// MaxFind is the most entries that one search returns.
const MaxFind = 256

// Hits are the entries that a search found.
type Hits struct {
	Records []translog.Record // by index
	Size    int64             // every entry below it was searched
	More    bool              // there are more, above the last of these
}

// Find returns up to limit entries above after that have a key, by index. To
// begin, after is -1; to go on, it is the last index found.
func (x *Index) Find(ctx context.Context, key entry.IndexKey, after int64, limit int) (Hits, error) {
	if limit < 1 || limit > MaxFind {
		return Hits{}, fmt.Errorf("%w: limit is %d; it must be 1 to %d", translog.ErrOutOfRange, limit, MaxFind)
	}
	published, err := x.cfg.Log.Published()
	if err != nil {
		return Hits{}, err
	}
	var hits Hits
	for {
		found, err := x.find(ctx, key, after, limit+1, published.Size)
		if err != nil {
			return Hits{}, readError(ctx, err)
		}
		hits.Size = found.size
		hits.Records = append(hits.Records, found.records...)
		if hits.More = len(hits.Records) > limit; hits.More {
			hits.Records = hits.Records[:limit]
		}
		if hits.More || !found.more {
			return hits, nil
		}
		after = found.last
	}
}

// found is what some rows of the index lead to.
type found struct {
	records []translog.Record
	size    int64 // the index was complete up to here
	last    int64 // the entry of the last row
	more    bool  // there may be more rows
}

// find reads up to limit rows, and the entries that they point at. The index
// may be ahead of what this replica knows to be published.
func (x *Index) find(ctx context.Context, key entry.IndexKey, after int64, limit int, published int64) (f found, err error) {
	st, indexes, err := x.cfg.Store.IndexFind(ctx, x.cfg.LogID, keyHash(key), after, limit)
	if err != nil {
		return f, err
	}
	if err := x.checkAhead(ctx, st, published); err != nil {
		return f, err
	}
	f.size = min(x.see(st), published)
	f.more = len(indexes) == limit
	if end, _ := slices.BinarySearch(indexes, f.size); end < len(indexes) {
		indexes, f.more = indexes[:end], false
	}
	if len(indexes) == 0 {
		return f, nil
	}
	f.last = indexes[len(indexes)-1]
	entries, err := x.cfg.Store.EntriesAt(ctx, x.cfg.LogID, indexes)
	for i := range entries {
		// The row has a hash of the key only.
		if keys, err := entry.IndexKeys(entries[i].Body); err == nil && slices.Contains(keys, key) {
			f.records = append(f.records, record(&entries[i]))
		}
	}
	return f, err
}

func record(e *storage.Entry) translog.Record {
	return translog.Record{Index: e.Index, LeafHash: e.LeafHash, IntegratedAt: time.UnixMilli(e.IntegratedAt).UTC(), Canonical: e.Body}
}

// readError says that the database failed a reader.
func readError(ctx context.Context, err error) error {
	if ctx.Err() != nil { // engines say it each in their own words
		return ctx.Err()
	}
	if errors.Is(err, ErrAhead) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %v", translog.ErrUnavailable, err)
}
