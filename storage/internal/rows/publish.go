package rows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"indelible/storage"
)

// Published implements storage.Store.
func (s *Store) Published(ctx context.Context, logID int64) (storage.Published, error) {
	return s.alone().published(ctx, logID, "")
}

func (r runner) published(ctx context.Context, logID int64, lock string) (p storage.Published, err error) {
	var root []byte
	err = r.row(ctx, `SELECT version, size, root, note, published_at FROM checkpoints WHERE log_id = ?`+lock, []any{logID},
		&p.Version, &p.Size, &root, &p.Note, &p.At)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.Published{}, nil
	}
	if err == nil {
		p.Root, err = toHash(root)
	}
	if err != nil {
		return p, fmt.Errorf("published checkpoint of log %d: %w", logID, err)
	}
	return p, nil
}

// Publish implements storage.Store.
func (s *Store) Publish(ctx context.Context, logID int64, p storage.Published) (int64, error) {
	next := p.Version + 1
	var err error
	if p.Version > 0 && !p.Keep {
		// One statement is a transaction of its own, without the three round trips
		// that begin and end another: every add waits for this one.
		err = s.alone().swapPublished(ctx, logID, p, next)
	} else {
		err = s.transact(ctx, func(r runner) error {
			err := r.swapPublished(ctx, logID, p, next)
			if err != nil || !p.Keep {
				return err
			}
			return r.keepHistory(ctx, logID, p)
		})
	}
	if err != nil && s.dialect.Duplicate(err) {
		err = storage.ErrConflict // two wrote the first checkpoint at once
	}
	if err != nil {
		return 0, fmt.Errorf("publish size %d over version %d: %w", p.Size, p.Version, err)
	}
	return next, nil
}

// swapPublished writes a checkpoint in the place of the version that it follows.
func (r runner) swapPublished(ctx context.Context, logID int64, p storage.Published, next int64) error {
	n, err := r.replacePublished(ctx, logID, p, next)
	if err == nil && n == 0 {
		err = storage.ErrConflict
	}
	return err
}

func (r runner) replacePublished(ctx context.Context, logID int64, p storage.Published, next int64) (int64, error) {
	if p.Version == 0 {
		if err := r.exists(ctx, logID); err != nil {
			return 0, err
		}
		return r.exec(ctx, `INSERT INTO checkpoints (log_id, version, size, root, note, published_at) VALUES (?, ?, ?, ?, ?, ?)`,
			logID, next, p.Size, p.Root[:], p.Note, p.At)
	}
	return r.exec(ctx, `UPDATE checkpoints SET version = ?, size = ?, root = ?, note = ?, published_at = ? WHERE log_id = ? AND version = ? AND (size < ? OR size = ? AND root = ?)`,
		next, p.Size, p.Root[:], p.Note, p.At, logID, p.Version, p.Size, p.Size, p.Root[:])
}

// keepHistory records that a size was published; of several checkpoints of one
// size the newest stays.
func (r runner) keepHistory(ctx context.Context, logID int64, p storage.Published) error {
	n, err := r.exec(ctx, `UPDATE checkpoint_history SET note = ?, published_at = ? WHERE log_id = ? AND size = ?`, p.Note, p.At, logID, p.Size)
	if err == nil && n == 0 {
		_, err = r.exec(ctx, `INSERT INTO checkpoint_history (log_id, size, root, note, published_at) VALUES (?, ?, ?, ?, ?)`,
			logID, p.Size, p.Root[:], p.Note, p.At)
	}
	return err
}

// PublishedHistory implements storage.Store.
func (s *Store) PublishedHistory(ctx context.Context, logID, from int64, limit int) ([]storage.Published, error) {
	var all []storage.Published
	err := s.alone().each(ctx, `SELECT size, root, note, published_at FROM checkpoint_history WHERE log_id = ? AND size >= ? ORDER BY size LIMIT ?`,
		[]any{logID, from, limit}, func(scan func(...any) error) error {
			var p storage.Published
			var root []byte
			err := scan(&p.Size, &root, &p.Note, &p.At)
			if err == nil {
				p.Root, err = toHash(root)
			}
			all = append(all, p)
			return err
		})
	return all, err
}

// Lease implements storage.Store.
func (s *Store) Lease(ctx context.Context, logID int64, name, holder string, ttl time.Duration) (l storage.Lease, err error) {
	now := s.dialect.NowMillis
	_, err = s.alone().exec(ctx, `UPDATE leases SET epoch = epoch + CASE WHEN holder = ? THEN 0 ELSE 1 END, holder = ?, expires_at = `+now+` + ?
		WHERE log_id = ? AND name = ? AND (holder = ? OR holder = '' OR expires_at < `+now+`)`,
		holder, holder, ttl.Milliseconds(), logID, name, holder)
	if err != nil {
		return l, err
	}
	query, left := `SELECT holder, epoch, expires_at - `+now+` FROM leases WHERE log_id = ? AND name = ?`, int64(0)
	err = s.alone().row(ctx, query, []any{logID, name}, &l.Holder, &l.Epoch, &left)
	if errors.Is(err, sql.ErrNoRows) {
		if err = s.alone().exists(ctx, logID); err != nil {
			return l, err
		}
		_, err = s.alone().exec(ctx, `INSERT INTO leases (log_id, name, holder, epoch, expires_at) VALUES (?, ?, ?, 1, `+now+` + ?)`,
			logID, name, holder, ttl.Milliseconds())
		if err == nil || s.dialect.Duplicate(err) {
			err = s.alone().row(ctx, query, []any{logID, name}, &l.Holder, &l.Epoch, &left)
		}
	}
	l.Held, l.Left = l.Holder == holder, time.Duration(left)*time.Millisecond
	return l, err
}

// Unlease implements storage.Store.
func (s *Store) Unlease(ctx context.Context, logID int64, name, holder string) error {
	_, err := s.alone().exec(ctx, `UPDATE leases SET holder = '' WHERE log_id = ? AND name = ? AND holder = ?`, logID, name, holder)
	return err
}
