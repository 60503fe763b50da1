package rows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"indelible/storage"
)

// createTries is how often an id is chosen for a log: of any number that are
// created at once, each time at least one gets its id.
const createTries = 20

// CreateLog implements storage.Store.
func (s *Store) CreateLog(ctx context.Context, l storage.Log, empty storage.Head) (storage.Log, error) {
	keys, err := json.Marshal(l.Keys)
	if err != nil {
		return storage.Log{}, err
	}
	for range createTries {
		err = s.transact(ctx, func(r runner) error { return r.insertLog(ctx, &l, keys, empty) })
		if err == nil || !s.dialect.Duplicate(err) {
			break
		}
		// Either the origin is taken, or another log took the id we chose.
		_, found := s.FindLog(ctx, l.Origin)
		if found == nil {
			err = storage.ErrExists
		}
		if !errors.Is(found, storage.ErrNotFound) {
			break
		}
	}
	if err != nil {
		return storage.Log{}, fmt.Errorf("create log %q: %w", l.Origin, err)
	}
	return l, nil
}

func (r runner) insertLog(ctx context.Context, l *storage.Log, keys []byte, empty storage.Head) error {
	if err := r.row(ctx, `SELECT COALESCE(MAX(id), 0) + 1 FROM logs`, nil, &l.ID); err != nil {
		return err
	}
	if _, err := r.exec(ctx, `INSERT INTO logs (id, instance, origin, vkeys, register_id, created_at, poisoned) VALUES (?, ?, ?, ?, ?, ?, '')`,
		l.ID, l.Instance, l.Origin, keys, l.Register, l.CreatedAt.UnixMilli()); err != nil {
		return err
	}
	_, err := r.exec(ctx, `INSERT INTO tree_heads (log_id, size, root, compact_range, integrated_at) VALUES (?, ?, ?, ?, ?)`,
		l.ID, empty.Size, empty.Root[:], joinHashes(empty.Range), empty.IntegratedAt)
	return err
}

const logColumns = `SELECT id, instance, origin, vkeys, register_id, created_at, poisoned FROM logs `

func scanLog(scan func(...any) error) (l storage.Log, err error) {
	var keys []byte
	var created int64
	if err := scan(&l.ID, &l.Instance, &l.Origin, &keys, &l.Register, &created, &l.Poisoned); err != nil {
		return l, err
	}
	l.CreatedAt = time.UnixMilli(created).UTC()
	if err := json.Unmarshal(keys, &l.Keys); err != nil {
		return l, fmt.Errorf("keys of log %q: %w", l.Origin, storage.ErrCorrupt)
	}
	return l, nil
}

// FindLog implements storage.Store.
func (s *Store) FindLog(ctx context.Context, origin string) (storage.Log, error) {
	var logs []storage.Log
	err := s.logs(ctx, &logs, `WHERE origin = ? LIMIT 1`, origin)
	if err == nil && len(logs) == 0 {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Log{}, fmt.Errorf("log %q: %w", origin, err)
	}
	return logs[0], nil
}

// Logs implements storage.Store.
func (s *Store) Logs(ctx context.Context) (all []storage.Log, err error) {
	err = s.logs(ctx, &all, `ORDER BY id LIMIT ?`, int64(math.MaxInt64))
	return all, err
}

func (s *Store) logs(ctx context.Context, into *[]storage.Log, where string, args ...any) error {
	return s.alone().each(ctx, logColumns+where, args, func(scan func(...any) error) error {
		l, err := scanLog(scan)
		*into = append(*into, l)
		return err
	})
}

// Poison implements storage.Store.
func (s *Store) Poison(ctx context.Context, logID int64, reason string) error {
	n, err := s.alone().exec(ctx, `UPDATE logs SET poisoned = ? WHERE id = ? AND poisoned = ''`, reason, logID)
	if err == nil && n == 0 { // it is poisoned already, or is it not there?
		err = s.alone().exists(ctx, logID)
	}
	return err
}

// exists returns ErrNotFound for a log that is not there. There are no foreign
// keys, whose locks every append would pay for.
func (r runner) exists(ctx context.Context, logID int64) error {
	var id int64
	return found(r.row(ctx, `SELECT id FROM logs WHERE id = ?`, []any{logID}, &id), "log %d", logID)
}

// ClearPoison implements storage.Store.
func (s *Store) ClearPoison(ctx context.Context, logID int64) error {
	n, err := s.alone().exec(ctx, `UPDATE logs SET poisoned = '' WHERE id = ?`, logID)
	if err == nil && n == 0 {
		err = fmt.Errorf("log %d: %w", logID, storage.ErrNotFound)
	}
	return err
}

// AddKey implements storage.Store.
func (s *Store) AddKey(ctx context.Context, logID int64, vkey string) error {
	return s.transact(ctx, func(r runner) error {
		// The head's lock makes those who add keys take turns.
		if _, err := r.head(ctx, logID, s.dialect.ForUpdate); err != nil {
			return err
		}
		var text []byte
		var keys []string
		err := found(r.row(ctx, `SELECT vkeys FROM logs WHERE id = ?`, []any{logID}, &text), "log %d", logID)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &keys); err != nil {
			return fmt.Errorf("keys of log %d: %w", logID, storage.ErrCorrupt)
		}
		if slices.Contains(keys, vkey) {
			return nil
		}
		if text, err = json.Marshal(append(keys, vkey)); err == nil {
			_, err = r.exec(ctx, `UPDATE logs SET vkeys = ? WHERE id = ?`, text, logID)
		}
		return err
	})
}

// ReplaceRegister implements storage.Store. Each append comes before it, or after
// it: it has the head's lock, and it changes the head's row, which is what keeps
// the servers of a cluster apart. What it changes it changes back.
func (s *Store) ReplaceRegister(ctx context.Context, logID int64, was, id string, at storage.Head) error {
	return s.transact(ctx, func(r runner) error {
		head, err := r.head(ctx, logID, s.dialect.ForUpdate)
		if err != nil {
			return err
		}
		if head.Size != at.Size || head.Root != at.Root {
			return fmt.Errorf("log %d went on from size %d to %d: %w", logID, at.Size, head.Size, storage.ErrConflict)
		}
		for _, step := range []int{1, -1} {
			if _, err := r.exec(ctx, `UPDATE tree_heads SET integrated_at = integrated_at + ? WHERE log_id = ?`, step, logID); err != nil {
				return err
			}
		}
		n, err := r.exec(ctx, `UPDATE logs SET register_id = ? WHERE id = ? AND register_id = ?`, id, logID, was)
		if err == nil && n == 0 {
			err = fmt.Errorf("log %d no longer has register %s: %w", logID, was, storage.ErrConflict)
		}
		return err
	})
}
