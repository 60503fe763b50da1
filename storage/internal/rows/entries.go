package rows

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"indelible/storage"
)

// maxReserve is for how many rows room is made before they are seen: a range
// may end far beyond the log.
const maxReserve = 4096

// Every SELECT that can answer with several rows has a LIMIT of its own: the
// setting sql_select_limit cuts only those without one, and without an error.

const entryColumns = `SELECT idx, leaf_hash, integrated_at, body FROM entries `

// scanEntry reads the row of the entry at an index.
func scanEntry(scan func(...any) error, index int64) (e storage.Entry, err error) {
	var hash []byte
	if err := scan(&e.Index, &hash, &e.IntegratedAt, &e.Body); err != nil {
		return e, err
	}
	e.LeafHash, err = rowHash(hash, e.Index, index)
	return e, err
}

// arena holds the bodies of entries that are read together: a few pieces of memory, and
// not one for each row.
type arena struct {
	left int64  // rows that are to come
	free []byte // its length is 0
}

// maxPiece bounds a piece of an arena, in bytes; one body may have more.
const maxPiece = 1 << 20

// scanEntry is scanEntry without a copy of the row.
func (a *arena) scanEntry(scan func(...any) error, index int64) (e storage.Entry, err error) {
	var hash, body sql.RawBytes
	if err := scan(&e.Index, &hash, &e.IntegratedAt, &body); err != nil {
		return e, err
	}
	e.Body = a.keep(body)
	e.LeafHash, err = rowHash(hash, e.Index, index)
	return e, err
}

// keep copies a body. Entries of a log are about the same size: what is left is thought
// to be as the present one.
func (a *arena) keep(body []byte) []byte {
	if a.free == nil || cap(a.free) < len(body) {
		a.free = make([]byte, 0, max(len(body), int(min(maxPiece, int64(len(body))*max(1, a.left)))))
	}
	a.left--
	kept := append(a.free, body...)
	a.free = kept[len(kept):]
	return kept[:len(kept):len(kept)]
}

// Entries implements storage.Store.
func (s *Store) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	if start < 0 || start > end {
		return nil, fmt.Errorf("entries [%d, %d): not a range", start, end)
	}
	entries, bodies := make([]storage.Entry, 0, min(end-start, maxReserve)), arena{left: end - start}
	err := s.alone().each(ctx, entryColumns+`WHERE log_id = ? AND idx >= ? AND idx < ? ORDER BY idx LIMIT ?`,
		[]any{logID, start, end, end - start}, func(scan func(...any) error) error {
			e, err := bodies.scanEntry(scan, start+int64(len(entries)))
			entries = append(entries, e)
			return err
		})
	if err == nil {
		err = complete(int64(len(entries)), end-start)
	}
	if err != nil {
		return nil, fmt.Errorf("entries [%d, %d): %w", start, end, err)
	}
	return entries, nil
}

// EntriesAt implements storage.Store.
func (s *Store) EntriesAt(ctx context.Context, logID int64, indexes []int64) ([]storage.Entry, error) {
	entries := make([]storage.Entry, 0, len(indexes))
	for chunk := range slices.Chunk(indexes, lookupSizes[0]) {
		size := chunkSize(lookupSizes[:], len(chunk))
		args := make([]any, 0, 2+size)
		args = append(args, logID)
		for i := range size {
			args = append(args, chunk[min(i, len(chunk)-1)])
		}
		args = append(args, size)
		err := s.alone().each(ctx, entryColumns+`WHERE log_id = ? AND idx IN (?`+strings.Repeat(`, ?`, size-1)+`) ORDER BY idx LIMIT ?`, args, func(scan func(...any) error) error {
			if len(entries) == len(indexes) {
				return fmt.Errorf("indexes that do not ascend: %w", storage.ErrCorrupt)
			}
			e, err := scanEntry(scan, indexes[len(entries)])
			entries = append(entries, e)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%d entries by their indexes: %w", len(indexes), err)
		}
	}
	if n := len(indexes) - len(entries); n > 0 {
		return nil, fmt.Errorf("%d of %d entries by their indexes: %w", n, len(indexes), storage.ErrNotFound)
	}
	return entries, nil
}

// LeafHashes implements storage.Store.
func (s *Store) LeafHashes(ctx context.Context, logID, start, end int64) ([]storage.Hash, error) {
	return s.alone().leafHashes(ctx, logID, start, end)
}

func (r runner) leafHashes(ctx context.Context, logID, start, end int64) ([]storage.Hash, error) {
	if start < 0 || start > end {
		return nil, fmt.Errorf("leaf hashes [%d, %d): not a range", start, end)
	}
	hashes := make([]storage.Hash, 0, min(end-start, maxReserve))
	err := r.each(ctx, `SELECT idx, leaf_hash FROM entries WHERE log_id = ? AND idx >= ? AND idx < ? ORDER BY idx LIMIT ?`,
		[]any{logID, start, end, end - start}, func(scan func(...any) error) error {
			var index int64
			var hash []byte
			if err := scan(&index, &hash); err != nil {
				return err
			}
			h, err := rowHash(hash, index, start+int64(len(hashes)))
			hashes = append(hashes, h)
			return err
		})
	if err == nil {
		err = complete(int64(len(hashes)), end-start)
	}
	if err != nil {
		return nil, fmt.Errorf("leaf hashes [%d, %d): %w", start, end, err)
	}
	return hashes, nil
}

// rowHash checks that a row is the one that follows, and returns its hash.
func rowHash(hash []byte, index, want int64) (storage.Hash, error) {
	if index != want {
		return storage.Hash{}, fmt.Errorf("there is an entry %d and no entry %d: %w", index, want, storage.ErrCorrupt)
	}
	h, err := toHash(hash)
	if err != nil {
		return h, fmt.Errorf("entry %d: %w", index, err)
	}
	return h, nil
}

func complete(got, want int64) error {
	if got < want {
		return fmt.Errorf("the last %d are not there: %w", want-got, storage.ErrNotFound)
	}
	return nil
}

// FindLeaves implements storage.Store.
func (s *Store) FindLeaves(ctx context.Context, logID int64, hashes []storage.Hash) ([]storage.Leaf, error) {
	return s.alone().findLeaves(ctx, logID, hashes)
}

// lookupSizes are the lengths that IN lists are padded to, so that there are
// few statements. MariaDB turns a list of 1,000 and more into a join.
var lookupSizes = [...]int{512, 256, 128, 64, 32, 16, 8, 4, 2, 1}

// maxFound is a number of rows that no look-up has: each leaf hash is in the log
// once, and hardly ever do two hashes have one key.
const maxFound = 1 << 16

// leafKey is the narrow key that leaf hashes are indexed by.
func leafKey(h storage.Hash) int64 { return int64(binary.BigEndian.Uint64(h[:8])) }

func (r runner) findLeaves(ctx context.Context, logID int64, hashes []storage.Hash) ([]storage.Leaf, error) {
	wanted := make(map[storage.Hash]bool, len(hashes))
	for _, h := range hashes {
		wanted[h] = true
	}
	lowest := make(map[storage.Hash]storage.Leaf)
	for chunk := range slices.Chunk(hashes, lookupSizes[0]) {
		size := chunkSize(lookupSizes[:], len(chunk))
		args := make([]any, 0, 2+size)
		args = append(args, logID)
		for i := range size {
			args = append(args, leafKey(chunk[min(i, len(chunk)-1)]))
		}
		args = append(args, maxFound)
		query := `SELECT leaf_hash, idx, integrated_at FROM entries` + r.s.dialect.LeafIndex + ` WHERE log_id = ? AND leaf_key IN (?` + strings.Repeat(`, ?`, size-1) + `) LIMIT ?`
		rows := 0
		err := r.each(ctx, query, args, func(scan func(...any) error) error {
			if rows++; rows == maxFound {
				return fmt.Errorf("%d entries or more for %d leaf hashes: %w", maxFound, len(chunk), storage.ErrCorrupt)
			}
			var l storage.Leaf
			var hash []byte
			if err := scan(&hash, &l.Index, &l.IntegratedAt); err != nil {
				return err
			}
			if len(hash) != len(l.Hash) {
				return fmt.Errorf("leaf hash of entry %d has %d bytes: %w", l.Index, len(hash), storage.ErrCorrupt)
			}
			copy(l.Hash[:], hash)
			if have, ok := lowest[l.Hash]; wanted[l.Hash] && (!ok || l.Index < have.Index) {
				lowest[l.Hash] = l
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look up %d leaf hashes: %w", len(hashes), err)
		}
	}
	leaves := make([]storage.Leaf, 0, len(lowest))
	for _, l := range lowest {
		leaves = append(leaves, l)
	}
	return leaves, nil
}

// EntryByLeaf implements storage.Store.
func (s *Store) EntryByLeaf(ctx context.Context, logID int64, hash storage.Hash) (storage.Entry, error) {
	e := storage.Entry{LeafHash: hash}
	query := `SELECT idx, integrated_at, body FROM entries` + s.dialect.LeafIndex + ` WHERE log_id = ? AND leaf_key = ? AND leaf_hash = ? ORDER BY idx LIMIT 1`
	err := s.alone().row(ctx, query, []any{logID, leafKey(hash), hash[:]}, &e.Index, &e.IntegratedAt, &e.Body)
	if err := found(err, "entry with leaf hash %x", hash); err != nil {
		return storage.Entry{}, err
	}
	return e, nil
}

// chunkSize is the smallest of the sizes, which go down, that n fits in.
func chunkSize(sizes []int, n int) int {
	best := sizes[0]
	for _, size := range sizes {
		if n <= size {
			best = size
		}
	}
	return best
}
