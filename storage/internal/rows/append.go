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
	logID  int64
	head   storage.Head
	failed error // the first error: what was written until then must not be committed
}

// BeginAppend implements storage.Store.
func (s *Store) BeginAppend(ctx context.Context, logID int64) (storage.Appender, error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	a := &appender{runner: runner{s, tx}, logID: logID}
	if a.head, err = a.runner.head(ctx, logID, s.dialect.ForUpdate); err != nil {
		tx.Rollback() // its error would say the same again
		return nil, a.overtaken(err)
	}
	return a, nil
}

// ends notes an error after which the transaction cannot be committed. A
// database may have undone all of it, the last statement only, or nothing.
func (a *appender) ends(err error) error {
	err = a.overtaken(err)
	if err != nil && a.failed == nil && !errors.Is(err, storage.ErrNotFound) {
		a.failed = err
	}
	return err
}

// overtaken makes storage.ErrConflict of an error that says that another
// transaction came first.
func (a *appender) overtaken(err error) error {
	if err == nil || a.s.dialect.Overtaken == nil || !a.s.dialect.Overtaken(err) {
		return err
	}
	return fmt.Errorf("another append came first: %w: %w", storage.ErrConflict, err)
}

func (a *appender) Head() storage.Head { return a.head }

func (a *appender) LeafHashes(ctx context.Context, start, end int64) ([]storage.Hash, error) {
	hashes, err := a.leafHashes(ctx, a.logID, start, end)
	return hashes, a.ends(err)
}

func (a *appender) FindLeaves(ctx context.Context, hashes []storage.Hash) ([]storage.Leaf, error) {
	leaves, err := a.findLeaves(ctx, a.logID, hashes)
	return leaves, a.ends(err)
}

func (a *appender) Tile(ctx context.Context, level int, index int64) ([]byte, error) {
	hashes, err := a.tile(ctx, a.logID, level, index)
	return hashes, a.ends(err)
}

func (a *appender) Edge(ctx context.Context, level int) (storage.Edge, error) {
	edge, err := a.edge(ctx, a.logID, level)
	return edge, a.ends(err)
}

// Write implements storage.Appender.
func (a *appender) Write(ctx context.Context, w storage.Append) error {
	err := check(a.head, w)
	if err == nil {
		err = a.write(ctx, w)
	}
	if err != nil && a.s.dialect.Duplicate(err) {
		// A row is where the tree head says that there is none.
		err = fmt.Errorf("%w: %w", storage.ErrRefused, err)
	}
	if err != nil {
		a.s.packet.Store(0) // it may be another by now
	}
	return a.ends(err)
}

// check holds what is to be written against the contract: a row that breaks it
// would be there for good.
func check(from storage.Head, w storage.Append) error {
	n := int64(len(w.Entries))
	if n == 0 || w.Head.Size != from.Size+n {
		return fmt.Errorf("%d entries after size %d, and a head of size %d: %w", n, from.Size, w.Head.Size, storage.ErrCorrupt)
	}
	last := from.IntegratedAt
	for i := range w.Entries {
		e, index := &w.Entries[i], from.Size+int64(i)
		switch {
		case e.Index != index:
			return fmt.Errorf("entry %d where entry %d belongs: %w", e.Index, index, storage.ErrCorrupt)
		case e.IntegratedAt < last:
			return fmt.Errorf("entry %d has time %d, which is before %d: %w", index, e.IntegratedAt, last, storage.ErrCorrupt)
		case len(e.Body) < 1 || len(e.Body) > maxBody:
			return fmt.Errorf("entry %d has %d bytes, not 1 to %d: %w", index, len(e.Body), maxBody, storage.ErrCorrupt)
		}
		last = e.IntegratedAt
	}
	if w.Head.IntegratedAt != last {
		return fmt.Errorf("the head has time %d, and its last entry %d: %w", w.Head.IntegratedAt, last, storage.ErrCorrupt)
	}
	return checkTiles(w)
}

const maxBody = 65535

func checkTiles(w storage.Append) error {
	for _, t := range w.Tiles {
		if len(t.Hashes) != tileBytes {
			return fmt.Errorf("tile %d of level %d has %d bytes, not %d: %w", t.Index, t.Level, len(t.Hashes), tileBytes, storage.ErrCorrupt)
		}
	}
	for _, e := range w.Edges {
		if n := len(e.Hashes); e.Level < 1 || n%32 != 0 || n >= tileBytes {
			return fmt.Errorf("edge of level %d with %d bytes: %w", e.Level, n, storage.ErrCorrupt)
		}
	}
	return nil
}

func (a *appender) write(ctx context.Context, w storage.Append) error {
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
// Those below are so close together that a batch of any length takes three
// statements at most after those of 256: each is a round trip while the tree
// head is locked. A statement is kept well under MariaDB's default packet of
// 16 MiB, and under the server's own where that is smaller.
var insertSizes = [...]int{
	256, 224, 192, 160, 128, 112, 96, 80, 64, 56, 48, 40, 32, 28, 24, 20, 16,
	14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1,
}

const (
	maxStatementBytes = 4 << 20
	// statementOverhead is more than a statement has beside its rows, and
	// rowOverhead more than a row has beside its body: the other values, their
	// types, and the row's share of the text.
	statementOverhead, rowOverhead = 512, 128
)

// statementBytes is how many bytes the rows of a statement may have together.
func (a *appender) statementBytes(ctx context.Context) (int64, error) {
	query := a.s.dialect.MaxPacket
	if query == "" {
		return maxStatementBytes, nil
	}
	packet := a.s.packet.Load()
	if packet == 0 {
		if err := a.row(ctx, query, nil, &packet); err != nil {
			return 0, fmt.Errorf("read how large a statement may be: %w", err)
		}
		a.s.packet.Store(packet)
	}
	return min(maxStatementBytes, packet-statementOverhead), nil
}

func (a *appender) insertEntries(ctx context.Context, entries []storage.Entry) error {
	most, err := a.statementBytes(ctx)
	if err != nil {
		return err
	}
	for len(entries) > 0 {
		n := fitting(entries, most)
		if n == 0 {
			return fmt.Errorf("%w: entry %d has %d bytes, and a statement of the database may have %d (max_allowed_packet)",
				storage.ErrRefused, entries[0].Index, len(entries[0].Body), most+statementOverhead)
		}
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

// fitting is how many of the entries the next statement takes; 0 where the first
// is too large.
func fitting(entries []storage.Entry, most int64) int {
	for _, n := range insertSizes {
		if n > len(entries) {
			continue
		}
		bytes := int64(0)
		for i := range n {
			bytes += rowOverhead + int64(len(entries[i].Body))
		}
		if bytes <= most {
			return n
		}
	}
	return 0
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

// Touch implements storage.Appender.
func (a *appender) Touch(ctx context.Context) error { return a.ends(a.touch(ctx, a.logID)) }

// Commit implements storage.Appender. How long it waits for the server is the
// connection's business.
func (a *appender) Commit(context.Context) error {
	if a.failed != nil {
		a.tx.Rollback()
		return fmt.Errorf("not committed, since the transaction failed: %w", a.failed)
	}
	return a.overtaken(a.s.refused(a.tx.Commit()))
}

// Rollback implements storage.Appender.
func (a *appender) Rollback() error {
	if err := a.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}
