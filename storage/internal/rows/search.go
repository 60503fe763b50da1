package rows

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/storage"
)

// A row of the table search_rows stands for a run of entries that have one key:
// last_idx is the last of them, and earlier has the steps down from it to those
// before, as varints. A run is what one append had of the key, so that a key
// which many entries share, such as an issuer's, costs a row an append and not
// a row an entry. A key that a single entry has, as an artifact's digest
// usually, is a row without steps. Since the last entry is part of the primary
// key, the rows with entries above some index are those whose last_idx is.

// maxEarlier is the most bytes of steps that a row has.
const maxEarlier = 1024

// run is a row of search_rows.
type run struct {
	key, last int64
	earlier   []byte
}

// runs makes rows of what one append has.
func runs(rows []storage.IndexRow) ([]run, error) {
	all := make([]run, 0, len(rows))
	steps := make([]byte, 0, maxEarlier) // never nil, which would be NULL
	for end := len(rows); end > 0; {
		r := run{key: rows[end-1].Key, last: rows[end-1].Index}
		begin := len(steps)
		for end--; end > 0 && rows[end-1].Key == r.key && len(steps)-begin+binary.MaxVarintLen64 <= maxEarlier; end-- {
			step := rows[end].Index - rows[end-1].Index
			if step < 1 {
				break
			}
			steps = binary.AppendUvarint(steps, uint64(step))
		}
		if end > 0 && (rows[end-1].Key > r.key || rows[end-1].Key == r.key && rows[end-1].Index >= rows[end].Index) {
			return nil, fmt.Errorf("index rows %d and %d do not ascend: %w", end-1, end, storage.ErrCorrupt)
		}
		r.earlier = steps[begin:len(steps):len(steps)]
		all = append(all, r)
	}
	slices.Reverse(all)
	return all, nil
}

// expand appends the entries of a run that are above after.
func (r run) expand(entries []int64, after int64) ([]int64, error) {
	first, index := len(entries), r.last
	for steps := r.earlier; index > after; {
		entries = append(entries, index)
		if len(steps) == 0 {
			break
		}
		step, n := binary.Uvarint(steps)
		if n <= 0 || step == 0 || step > uint64(index) {
			return nil, fmt.Errorf("the run of key %x that ends with entry %d: %w", uint64(r.key), r.last, storage.ErrCorrupt)
		}
		index, steps = index-int64(step), steps[n:]
	}
	slices.Reverse(entries[first:])
	return entries, nil
}

// SetOnce implements storage.Store.
func (s *Store) SetOnce(ctx context.Context, logID int64, name, value string) (string, error) {
	stands, err := s.fact(ctx, logID, name)
	if !errors.Is(err, sql.ErrNoRows) {
		return stands, err
	}
	if err := s.alone().exists(ctx, logID); err != nil {
		return "", err
	}
	_, err = s.alone().exec(ctx, `INSERT INTO facts (log_id, name, value) VALUES (?, ?, ?)`, logID, name, []byte(value))
	switch {
	case err == nil:
		return value, nil
	case s.dialect.Duplicate(err):
		stands, err = s.fact(ctx, logID, name)
	}
	return stands, err
}

func (s *Store) fact(ctx context.Context, logID int64, name string) (string, error) {
	var value []byte
	err := s.alone().row(ctx, `SELECT value FROM facts WHERE log_id = ? AND name = ?`, []any{logID, name}, &value)
	return string(value), err
}

// Facts implements storage.Store. No name has a byte above the tilde's after the
// prefix.
func (s *Store) Facts(ctx context.Context, logID int64, prefix string) (map[string]string, error) {
	facts := make(map[string]string)
	err := s.alone().each(ctx, `SELECT name, value FROM facts WHERE log_id = ? AND name >= ? AND name < ?`, []any{logID, prefix, prefix + "~"},
		func(scan func(...any) error) error {
			var name string
			var value []byte
			err := scan(&name, &value)
			facts[name] = string(value)
			return err
		})
	return facts, err
}

// IndexState implements storage.Store.
func (s *Store) IndexState(ctx context.Context, logID int64) (storage.IndexState, error) {
	return s.alone().indexState(ctx, logID)
}

func (r runner) indexState(ctx context.Context, logID int64) (st storage.IndexState, err error) {
	err = r.row(ctx, `SELECT index_id, format, size FROM search_indexes WHERE log_id = ?`, []any{logID}, &st.ID, &st.Format, &st.Size)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.IndexState{}, nil
	}
	if err != nil {
		return st, fmt.Errorf("state of the index of log %d: %w", logID, err)
	}
	return st, nil
}

// IndexReset implements storage.Store.
func (s *Store) IndexReset(ctx context.Context, logID int64, was storage.IndexState, format int) (storage.IndexState, error) {
	next := storage.IndexState{Format: format}
	err := s.transact(ctx, func(r runner) error { return r.resetIndex(ctx, logID, was, &next) })
	if err != nil && s.dialect.Duplicate(err) {
		err = storage.ErrConflict // another took the id, for this log or for one beside it
	}
	if err != nil {
		return storage.IndexState{}, fmt.Errorf("begin the index of log %d again: %w", logID, err)
	}
	return next, nil
}

func (r runner) resetIndex(ctx context.Context, logID int64, was storage.IndexState, next *storage.IndexState) error {
	if err := r.exists(ctx, logID); err != nil {
		return err
	}
	// In a database that was restored in parts, rows may be newer than their index.
	if err := r.row(ctx, `SELECT COALESCE(MAX(id), 0) + 1 FROM (SELECT MAX(index_id) AS id FROM search_indexes
		UNION ALL SELECT MAX(index_id) FROM search_leftovers UNION ALL SELECT MAX(index_id) FROM search_rows) ids`, nil, &next.ID); err != nil {
		return err
	}
	if was.ID == 0 {
		_, err := r.exec(ctx, `INSERT INTO search_indexes (log_id, index_id, format, size) VALUES (?, ?, ?, 0)`, logID, next.ID, next.Format)
		return err
	}
	n, err := r.exec(ctx, `UPDATE search_indexes SET index_id = ?, format = ?, size = 0 WHERE log_id = ? AND index_id = ?`, next.ID, next.Format, logID, was.ID)
	if err == nil && n == 0 {
		err = storage.ErrConflict
	}
	if err == nil {
		_, err = r.exec(ctx, `DELETE FROM search_leftovers WHERE index_id = ?`, was.ID)
	}
	if err == nil {
		_, err = r.exec(ctx, `INSERT INTO search_leftovers (index_id) VALUES (?)`, was.ID)
	}
	return err
}

// IndexAppend implements storage.Store. The first statement locks the state's
// row, so of two that are at the same size one finds another.
func (s *Store) IndexAppend(ctx context.Context, logID int64, was storage.IndexState, to int64, rows []storage.IndexRow) error {
	all, err := runs(rows)
	if err == nil && to <= was.Size {
		err = fmt.Errorf("an index of size %d cannot go on to %d: %w", was.Size, to, storage.ErrCorrupt)
	}
	if err == nil {
		err = s.transact(ctx, func(r runner) error {
			n, err := r.exec(ctx, `UPDATE search_indexes SET size = ? WHERE log_id = ? AND index_id = ? AND size = ?`, to, logID, was.ID, was.Size)
			if err == nil && n == 0 {
				err = storage.ErrConflict
			}
			if err != nil {
				return err
			}
			return r.insertRuns(ctx, was.ID, all)
		})
	}
	if err != nil {
		return fmt.Errorf("index the entries [%d, %d) of log %d: %w", was.Size, to, logID, err)
	}
	return nil
}

func (r runner) insertRuns(ctx context.Context, id int64, all []run) error {
	var args []any
	for len(all) > 0 {
		n := runsFitting(len(all))
		args = args[:0]
		for _, row := range all[:n] {
			args = append(args, id, row.key, row.last, row.earlier)
		}
		query := `INSERT INTO search_rows (index_id, key_hash, last_idx, earlier) VALUES (?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?)`, n-1)
		if _, err := r.exec(ctx, query, args...); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// runsFitting is how many of n runs the next statement takes. A run has 1 KiB at
// most, so the packet's limit is far; where it is not, the index gives fewer
// entries at a time.
func runsFitting(n int) int {
	for _, size := range insertSizes {
		if size <= n {
			return size
		}
	}
	return 1
}

// fewRuns is how many runs are read at first: most keys have fewer, and a key
// that very many entries have has long runs.
const fewRuns = 8

// IndexFind implements storage.Store.
func (s *Store) IndexFind(ctx context.Context, logID, key, after int64, limit int) (st storage.IndexState, entries []int64, err error) {
	for _, atMost := range []int{min(limit, fewRuns), limit} {
		var read int
		st, entries, read, err = s.findRuns(ctx, logID, key, after, atMost)
		if err != nil {
			return st, nil, fmt.Errorf("search the index of log %d: %w", logID, err)
		}
		if read < atMost || len(entries) >= limit {
			break
		}
	}
	return st, entries[:min(len(entries), limit)], nil
}

// findRuns reads up to limit runs. State and runs are read by one statement, so
// that they are of one moment, on whatever server they are read. (A join would
// make MariaDB read and sort all runs of the key.)
func (s *Store) findRuns(ctx context.Context, logID, key, after int64, limit int) (st storage.IndexState, entries []int64, read int, err error) {
	var found []run
	err = s.alone().each(ctx, `SELECT 0, index_id, format, size, '' FROM search_indexes WHERE log_id = ?
		UNION ALL SELECT 1, last_idx, 0, 0, earlier FROM (
			SELECT last_idx, earlier FROM search_rows
			WHERE index_id = (SELECT index_id FROM search_indexes WHERE log_id = ?) AND key_hash = ? AND last_idx > ?
			ORDER BY last_idx LIMIT ?) runs LIMIT ?`,
		[]any{logID, logID, key, after, limit, limit + 1}, func(scan func(...any) error) error {
			var part, number, format, size int64
			r := run{key: key}
			err := scan(&part, &number, &format, &size, &r.earlier)
			if part == 0 {
				st = storage.IndexState{ID: number, Format: int(format), Size: size}
			} else {
				r.last = number
				found = append(found, r)
			}
			return err
		})
	// The parts of a UNION may come in any order.
	slices.SortFunc(found, func(a, b run) int { return cmp.Compare(a.last, b.last) })
	for _, r := range found {
		if err == nil {
			entries, err = r.expand(entries, after)
		}
	}
	return st, entries, len(found), err
}

// IndexSweep implements storage.Store.
func (s *Store) IndexSweep(ctx context.Context, limit int) (more bool, err error) {
	var id int64
	err = s.alone().row(ctx, `SELECT index_id FROM search_leftovers ORDER BY index_id LIMIT 1`, nil, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		err = s.sweep(ctx, id, limit)
	}
	if err != nil {
		return true, fmt.Errorf("delete an index that was replaced: %w", err)
	}
	return true, nil
}

// sweep deletes rows from the front. Neither engine has both a DELETE with a
// limit and a subquery with one, so where to stop is read first.
func (s *Store) sweep(ctx context.Context, id int64, limit int) error {
	var key, last int64
	err := s.alone().row(ctx, `SELECT key_hash, last_idx FROM search_rows WHERE index_id = ? ORDER BY key_hash, last_idx LIMIT 1 OFFSET ?`,
		[]any{id, limit}, &key, &last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s.transact(ctx, func(r runner) error {
			_, err := r.exec(ctx, `DELETE FROM search_rows WHERE index_id = ?`, id)
			if err == nil {
				_, err = r.exec(ctx, `DELETE FROM search_leftovers WHERE index_id = ?`, id)
			}
			return err
		})
	case err != nil:
		return err
	}
	_, err = s.alone().exec(ctx, `DELETE FROM search_rows WHERE index_id = ? AND (key_hash < ? OR key_hash = ? AND last_idx < ?)`, id, key, key, last)
	return err
}
