package rows

import (
	"context"
	"database/sql"
	"fmt"

	"indelible/storage"
)

// The register is of the head's moment, as long as the statement does not wait
// for the row's lock.
const headColumns = `SELECT size, root, compact_range, integrated_at,
	(SELECT register_id FROM logs WHERE logs.id = tree_heads.log_id)`

func (r runner) head(ctx context.Context, logID int64, lock string) (h storage.Head, err error) {
	var root, rng []byte
	var session string
	query, into := headColumns, []any{&h.Size, &root, &rng, &h.IntegratedAt, &h.Register}
	judged := lock != "" && r.s.dialect.Session != ""
	if judged { // whoever locks the head relies on the session
		query, into = query+", "+r.s.dialect.Session, append(into, &session)
	}
	if err := r.row(ctx, query+" FROM tree_heads WHERE log_id = ?"+lock, []any{logID}, into...); err != nil {
		return h, found(err, "tree head of log %d", logID)
	}
	if judged {
		if err := r.s.dialect.Judge(session); err != nil {
			return h, err
		}
	}
	if h.Root, err = toHash(root); err == nil {
		h.Range, err = splitHashes(rng)
	}
	if err != nil {
		return h, fmt.Errorf("tree head of log %d: %w", logID, err)
	}
	return h, nil
}

// Head implements storage.Store.
func (s *Store) Head(ctx context.Context, logID int64) (storage.Head, error) {
	return s.alone().head(ctx, logID, "")
}

// LockedHead implements storage.Store. Where other servers commit as well, a
// commit of our own goes before: all of a cluster's commits have one order, and
// this connection's server has everything before it.
func (s *Store) LockedHead(ctx context.Context, logID int64) (h storage.Head, err error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return h, s.explain(ctx, err)
	}
	defer conn.Close()
	if s.dialect.Newest != nil {
		others, err := s.dialect.Newest(ctx, conn)
		if err == nil && others {
			err = s.transactOn(ctx, conn, func(r runner) error { return r.touch(ctx, logID) })
		}
		if err != nil {
			return h, err
		}
	}
	err = s.transactOn(ctx, conn, func(r runner) error {
		h, err = r.head(ctx, logID, s.dialect.ForUpdate)
		return err
	})
	return h, err
}

// transactOn is transact on one connection.
func (s *Store) transactOn(ctx context.Context, conn *sql.Conn, f func(runner) error) error {
	tx, err := conn.BeginTx(ctx, s.options())
	if err != nil {
		return s.explain(ctx, err)
	}
	return s.finish(tx, f)
}

// DurableHead implements storage.Store. The head and the write are of one
// transaction, and so of one life of the server: its log is written in order,
// and what was seen before is durable when the write is.
func (s *Store) DurableHead(ctx context.Context, logID int64) (h storage.Head, err error) {
	if s.dialect.ShowsDurable {
		return s.Head(ctx, logID)
	}
	err = s.transact(ctx, func(r runner) error {
		if h, err = r.head(ctx, logID, ""); err != nil {
			return err
		}
		return r.touch(ctx, logID)
	})
	return h, err
}

// touch writes to a row that nobody reads. Its name is no lease's.
func (r runner) touch(ctx context.Context, logID int64) error {
	n, err := r.exec(ctx, `UPDATE leases SET epoch = epoch + 1 WHERE log_id = ? AND name = 'touched'`, logID)
	if err == nil && n == 0 {
		_, err = r.exec(ctx, `INSERT INTO leases (log_id, name, holder, epoch, expires_at) VALUES (?, 'touched', '', 1, 0)`, logID)
	}
	return err
}
