package rows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"indelible/storage"
)

// appender is an append transaction. The lock on the tree-head row is its first
// statement.
type appender struct {
	runner
	logID int64
	head  storage.Head
}

// BeginAppend implements storage.Store.
func (s *Store) BeginAppend(ctx context.Context, logID int64) (storage.Appender, error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	a := &appender{runner: runner{s, tx}, logID: logID}
	if a.head, err = a.runner.head(ctx, logID, s.dialect.ForUpdate); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return a, nil
}

func (a *appender) Head() storage.Head { return a.head }

func (a *appender) LeafHashes(ctx context.Context, start, end int64) ([]storage.Hash, error) {
	return a.leafHashes(ctx, a.logID, start, end)
}

func (a *appender) FindLeaves(ctx context.Context, hashes []storage.Hash) ([]storage.Leaf, error) {
	return a.findLeaves(ctx, a.logID, hashes)
}

func (a *appender) Tile(ctx context.Context, level int, index int64) ([]byte, error) {
	return a.tile(ctx, a.logID, level, index)
}

func (a *appender) Edge(ctx context.Context, level int) (storage.Edge, error) {
	return a.edge(ctx, a.logID, level)
}

// Write implements storage.Appender.
func (a *appender) Write(ctx context.Context, w storage.Append) error {
	if err := a.insertEntries(ctx, w.Entries); err != nil {
		return fmt.Errorf("insert %d entries: %w", len(w.Entries), err)
	}
	for _, t := range w.Tiles {
		if _, err := a.exec(ctx, `INSERT INTO tiles (log_id, level, idx, hashes) VALUES (?, ?, ?, ?)`, a.logID, t.Level, t.Index, t.Hashes); err != nil {
			return fmt.Errorf("insert tile %d of level %d: %w", t.Index, t.Level, err)
		}
	}
	for _, e := range w.Edges {
		if err := a.writeEdge(ctx, e); err != nil {
			return fmt.Errorf("write the edge of level %d: %w", e.Level, err)
		}
	}
	h := w.Head
	n, err := a.exec(ctx, `UPDATE tree_heads SET size = ?, root = ?, compact_range = ?, integrated_at = ? WHERE log_id = ? AND size = ?`,
		h.Size, h.Root[:], joinHashes(h.Range), h.IntegratedAt, a.logID, a.head.Size)
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows have size %d: %w", n, a.head.Size, storage.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("update the tree head: %w", err)
	}
	return nil
}

// Rows go in many a statement: of the sizes tried, 256 is where the gain ends.
// A statement is kept well under MariaDB's default packet of 16 MiB.
var insertSizes = [...]int{256, 64, 16, 4, 1}

const maxStatementBytes = 4 << 20

func (a *appender) insertEntries(ctx context.Context, entries []storage.Entry) error {
	for len(entries) > 0 {
		n := fitting(entries)
		args := make([]any, 0, 6*n)
		for i := range n {
			e := &entries[i]
			args = append(args, a.logID, e.Index, leafKey(e.LeafHash), e.LeafHash[:], e.IntegratedAt, e.Body)
		}
		query := `INSERT INTO entries (log_id, idx, leaf_key, leaf_hash, integrated_at, body) VALUES (?, ?, ?, ?, ?, ?)` +
			strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, n-1)
		if _, err := a.exec(ctx, query, args...); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// fitting is how many of the entries the next statement takes.
func fitting(entries []storage.Entry) int {
	for _, n := range insertSizes {
		if n > len(entries) {
			continue
		}
		bytes := 0
		for i := range n {
			bytes += len(entries[i].Body)
		}
		if bytes <= maxStatementBytes {
			return n
		}
	}
	return 1
}

func (a *appender) writeEdge(ctx context.Context, e storage.Edge) error {
	if len(e.Hashes) == 0 {
		_, err := a.exec(ctx, `DELETE FROM edges WHERE log_id = ? AND level = ?`, a.logID, e.Level)
		return err
	}
	n, err := a.exec(ctx, `UPDATE edges SET idx = ?, hashes = ? WHERE log_id = ? AND level = ?`, e.Index, e.Hashes, a.logID, e.Level)
	if err == nil && n == 0 {
		_, err = a.exec(ctx, `INSERT INTO edges (log_id, level, idx, hashes) VALUES (?, ?, ?, ?)`, a.logID, e.Level, e.Index, e.Hashes)
	}
	return err
}

// Commit implements storage.Appender.
func (a *appender) Commit(context.Context) error { return a.tx.Commit() }

// Rollback implements storage.Appender.
func (a *appender) Rollback() error {
	if err := a.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}
