package index

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/storage"
)

// format is the format of the index that this program makes.
const format = entry.IndexFormat

const (
	// maxBatch is the most entries that one transaction indexes: its locks and
	// its undo log stay small, and a commit is cheap beside it.
	maxBatch = 4096
	// maxRows is after how many rows a transaction takes no more entries. An
	// entry has two to five as a rule, but a certificate may name thousands.
	maxRows = 1 << 15
	// readEntries is how many entries are read at once. They have up to 64 KiB.
	readEntries = 256
)

// keyHash is the key of a row.
func keyHash(k entry.IndexKey) int64 {
	b := make([]byte, 0, 160)
	b = append(b, k.By...)
	b = append(b, 0)
	b = append(b, k.Value...)
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// reader reads entries from start on and before stop, at least one.
type reader func(ctx context.Context, start, stop int64) ([]storage.Entry, error)

// stored reads them from the database. A damaged entry is an error, since the
// index would pass it over for good.
func stored(store storage.Store, logID int64) reader {
	return func(ctx context.Context, start, stop int64) ([]storage.Entry, error) {
		entries, err := store.Entries(ctx, logID, start, min(stop, start+readEntries))
		for i := range entries {
			if e := &entries[i]; err == nil && merkle.LeafHash(e.Body) != e.LeafHash {
				err = fmt.Errorf("%w: entry %d does not hash to its leaf hash, and the index ends before it; restore it from a backup or a mirror", translog.ErrDamaged, e.Index)
			}
		}
		return entries, err
	}
}

// read takes them from memory while the log has them there.
func (x *Index) read(ctx context.Context, start, stop int64) ([]storage.Entry, error) {
	if entries := x.cfg.Log.Recent(start, stop); len(entries) > 0 {
		return entries, nil
	}
	entries, err := x.cfg.Store.Entries(ctx, x.cfg.LogID, start, min(stop, start+readEntries))
	if err == nil {
		err = x.cfg.Log.Check(ctx, entries)
	}
	return entries, err
}

// rows makes the rows of entries from start on, up to end, into the array given.
// It returns where it stopped: what has very many keys comes in smaller batches.
func rows(ctx context.Context, read reader, start, end int64, into []storage.IndexRow) ([]storage.IndexRow, int64, error) {
	all := into[:0]
	for start < end && len(all) < maxRows {
		entries, err := read(ctx, start, end)
		if err != nil {
			return nil, start, err
		}
		for i := range entries {
			if all = appendRows(all, &entries[i]); len(all) >= maxRows {
				entries = entries[:i+1]
				break
			}
		}
		start += int64(len(entries))
	}
	slices.SortFunc(all, func(a, b storage.IndexRow) int {
		if a.Key != b.Key {
			return cmp.Compare(a.Key, b.Key)
		}
		return cmp.Compare(a.Index, b.Index)
	})
	return slices.Compact(all), start, nil
}

// appendRows appends the rows of one entry. One that this program cannot read
// says nothing to be found by.
func appendRows(all []storage.IndexRow, e *storage.Entry) []storage.IndexRow {
	keys, err := entry.IndexKeys(e.Body)
	if err != nil {
		return all
	}
	for _, k := range keys {
		all = append(all, storage.IndexRow{Key: keyHash(k), Index: e.Index})
	}
	return all
}
