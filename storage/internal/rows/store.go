// Package rows is what the SQL engines have in common: the statements of the
// storage contract. What differs between databases is in a Dialect.
//
// Every statement is prepared on the server and kept. No statement depends on
// the state of a session.
package rows

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"indelible/storage"
)

// Dialect is what differs between databases.
type Dialect struct {
	// ForUpdate is put after a SELECT that is to lock its row.
	ForUpdate string
	// LeafIndex is put after the table's name in a look-up by leaf hash, to name
	// the index: from stale statistics a planner may choose to read the log.
	LeafIndex string
	// NowMillis is an expression for the database's time, Unix milliseconds.
	NowMillis string
	// Isolation is what every transaction asks for.
	Isolation sql.IsolationLevel
	// Duplicate reports a violated unique key.
	Duplicate func(error) bool
	// ShowsDurable says that nobody sees a commit before it is durable.
	ShowsDurable bool
	// Refused returns why the database takes no writes at all, in words, where a
	// driver says no more than that the connection is bad; nil if it does. It may
	// be left out.
	Refused func(ctx context.Context, db *sql.DB) error
	// Explain puts words to an error of the database. It may be left out.
	Explain func(error) error
	// Overtaken reports that another transaction came first, and ours was undone.
	// It may be left out.
	Overtaken func(error) bool
	// Elsewhere reports that this server takes nothing at present, while another
	// behind the same address may. It may be left out.
	Elsewhere func(error) bool
	// Newest refuses a server that follows another and so may lag, and reports
	// whether others commit as well, so that even a locking read may lag. It may be
	// left out.
	Newest func(ctx context.Context, conn *sql.Conn) (others bool, err error)
	// Warnings, see storage.Store.
	Warnings func(ctx context.Context, db *sql.DB) ([]string, error)
}

// Store implements storage.Store over database/sql.
type Store struct {
	read    *sql.DB // for single SELECTs
	write   *sql.DB // for all that writes or locks; reads cannot use up its connections
	dialect Dialect

	mu       sync.Mutex
	prepared map[stmtKey]*sql.Stmt
	wanted   map[string]bool // statements that a transaction had to prepare for itself
}

type stmtKey struct {
	db    *sql.DB
	query string
}

var _ storage.Store = (*Store)(nil)

// New makes a Store. Close closes both handles, which may be one.
func New(read, write *sql.DB, d Dialect) *Store {
	return &Store{read: read, write: write, dialect: d, prepared: make(map[stmtKey]*sql.Stmt), wanted: make(map[string]bool)}
}

// stmt returns a statement, prepared once for each handle; database/sql
// prepares it anew on each connection.
func (s *Store) stmt(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	key := stmtKey{db, query}
	s.mu.Lock()
	have := s.prepared[key]
	s.mu.Unlock()
	if have != nil {
		return have, nil
	}
	made, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.prepared[key]; have != nil {
		made.Close()
		return have, nil
	}
	s.prepared[key] = made
	return made, nil
}

// runner runs prepared statements: alone, or in a transaction.
type runner struct {
	s  *Store
	tx *sql.Tx // nil: alone
}

// stmt returns a statement for the transaction, or for db where there is none.
func (r runner) stmt(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	if r.tx == nil {
		return r.s.stmt(ctx, db, query)
	}
	r.s.mu.Lock()
	have := r.s.prepared[stmtKey{r.s.write, query}]
	r.s.wanted[query] = have == nil
	r.s.mu.Unlock()
	if have == nil {
		// Preparing it for all takes a connection, and waiting for one while
		// holding another can wait for ever. It is done before the next
		// transaction begins.
		return r.tx.PrepareContext(ctx, query)
	}
	return r.tx.StmtContext(ctx, have), nil
}

// begin begins a transaction.
func (s *Store) begin(ctx context.Context) (*sql.Tx, error) {
	s.mu.Lock()
	var queries []string
	for q, missing := range s.wanted {
		if missing {
			queries = append(queries, q)
		}
	}
	clear(s.wanted)
	s.mu.Unlock()
	for _, q := range queries {
		if _, err := s.stmt(ctx, s.write, q); err != nil {
			return nil, err
		}
	}
	tx, err := s.write.BeginTx(ctx, s.options())
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return tx, nil
}

func (s *Store) options() *sql.TxOptions { return &sql.TxOptions{Isolation: s.dialect.Isolation} }

func (r runner) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := r.stmt(ctx, r.s.write, query)
	if err != nil {
		return 0, r.s.explain(ctx, err)
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, r.s.explain(ctx, err)
	}
	return res.RowsAffected()
}

// leave closes the connections that nobody uses, so that the next is made anew:
// a balancer may know a better server by now.
func (s *Store) leave() {
	for _, db := range []*sql.DB{s.read, s.write} {
		db.SetMaxIdleConns(0)
		db.SetMaxIdleConns(db.Stats().MaxOpenConnections)
	}
}

// explainTimeout bounds the question why a statement failed.
const explainTimeout = 5 * time.Second

// explain finds words for a connection that the driver gave up.
func (s *Store) explain(ctx context.Context, err error) error {
	if err != nil && s.dialect.Explain != nil {
		err = s.dialect.Explain(err)
	}
	if err != nil && s.dialect.Elsewhere != nil && s.dialect.Elsewhere(err) {
		s.leave()
	}
	if !errors.Is(err, driver.ErrBadConn) || s.dialect.Refused == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	if why := s.dialect.Refused(ctx, s.read); why != nil {
		return why
	}
	return err
}

func (r runner) row(ctx context.Context, query string, args []any, into ...any) error {
	st, err := r.stmt(ctx, r.s.read, query)
	if err == nil {
		err = st.QueryRowContext(ctx, args...).Scan(into...)
	}
	return r.s.explain(ctx, err)
}

// each calls f for every row.
func (r runner) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	st, err := r.stmt(ctx, r.s.read, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Store) alone() runner { return runner{s: s} }

// transact runs f in a transaction.
func (s *Store) transact(ctx context.Context, f func(runner) error) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	return s.finish(tx, f)
}

func (s *Store) finish(tx *sql.Tx, f func(runner) error) error {
	if err := f(runner{s, tx}); err != nil {
		tx.Rollback() // its error would say the same again
		return err
	}
	return tx.Commit()
}

// found turns the absence of a row into ErrNotFound.
func found(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
	}
	return nil
}

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
	err := s.logs(ctx, &logs, `WHERE origin = ?`, origin)
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
	err = s.logs(ctx, &all, `ORDER BY id`)
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

// ReplaceRegister implements storage.Store.
func (s *Store) ReplaceRegister(ctx context.Context, logID int64, was, id string) error {
	n, err := s.alone().exec(ctx, `UPDATE logs SET register_id = ? WHERE id = ? AND register_id = ?`, id, logID, was)
	if err == nil && n == 0 {
		if err = s.alone().exists(ctx, logID); err == nil {
			err = fmt.Errorf("log %d no longer has register %s: %w", logID, was, storage.ErrConflict)
		}
	}
	return err
}

const headColumns = `SELECT size, root, compact_range, integrated_at FROM tree_heads WHERE log_id = ?`

func (r runner) head(ctx context.Context, logID int64, lock string) (h storage.Head, err error) {
	var root, rng []byte
	if err := r.row(ctx, headColumns+lock, []any{logID}, &h.Size, &root, &rng, &h.IntegratedAt); err != nil {
		return h, found(err, "tree head of log %d", logID)
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

// maxReserve is for how many rows room is made before they are seen: a range
// may end far beyond the log.
const maxReserve = 4096

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

// Entries implements storage.Store.
func (s *Store) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	if start < 0 || start > end {
		return nil, fmt.Errorf("entries [%d, %d): not a range", start, end)
	}
	entries := make([]storage.Entry, 0, min(end-start, maxReserve))
	err := s.alone().each(ctx, entryColumns+`WHERE log_id = ? AND idx >= ? AND idx < ? ORDER BY idx`,
		[]any{logID, start, end}, func(scan func(...any) error) error {
			e, err := scanEntry(scan, start+int64(len(entries)))
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
		args := make([]any, 0, 1+size)
		args = append(args, logID)
		for i := range size {
			args = append(args, chunk[min(i, len(chunk)-1)])
		}
		err := s.alone().each(ctx, entryColumns+`WHERE log_id = ? AND idx IN (?`+strings.Repeat(`, ?`, size-1)+`) ORDER BY idx`, args, func(scan func(...any) error) error {
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
	err := r.each(ctx, `SELECT idx, leaf_hash FROM entries WHERE log_id = ? AND idx >= ? AND idx < ? ORDER BY idx`,
		[]any{logID, start, end}, func(scan func(...any) error) error {
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
		args := make([]any, 0, 1+size)
		args = append(args, logID)
		for i := range size {
			args = append(args, leafKey(chunk[min(i, len(chunk)-1)]))
		}
		query := `SELECT leaf_hash, idx, integrated_at FROM entries` + r.s.dialect.LeafIndex + ` WHERE log_id = ? AND leaf_key IN (?` + strings.Repeat(`, ?`, size-1) + `)`
		err := r.each(ctx, query, args, func(scan func(...any) error) error {
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

// tileBytes is the size of a full tile: 256 hashes.
const tileBytes = 256 * 32

// Tile implements storage.Store.
func (s *Store) Tile(ctx context.Context, logID int64, level int, index int64) ([]byte, error) {
	return s.alone().tile(ctx, logID, level, index)
}

func (r runner) tile(ctx context.Context, logID int64, level int, index int64) ([]byte, error) {
	var hashes []byte
	err := r.row(ctx, `SELECT hashes FROM tiles WHERE log_id = ? AND level = ? AND idx = ?`, []any{logID, level, index}, &hashes)
	if err == nil && len(hashes) != tileBytes {
		err = fmt.Errorf("it has %d bytes: %w", len(hashes), storage.ErrCorrupt)
	}
	return hashes, found(err, "tile %d of level %d", index, level)
}

// Edge implements storage.Store.
func (s *Store) Edge(ctx context.Context, logID int64, level int) (storage.Edge, error) {
	return s.alone().edge(ctx, logID, level)
}

func (r runner) edge(ctx context.Context, logID int64, level int) (storage.Edge, error) {
	e := storage.Edge{Level: level}
	err := r.row(ctx, `SELECT idx, hashes FROM edges WHERE log_id = ? AND level = ?`, []any{logID, level}, &e.Index, &e.Hashes)
	if n := len(e.Hashes); err == nil && (n == 0 || n%32 != 0 || n >= tileBytes) {
		err = fmt.Errorf("it has %d bytes: %w", n, storage.ErrCorrupt)
	}
	return e, found(err, "edge of level %d", level)
}

// Warnings implements storage.Store.
func (s *Store) Warnings(ctx context.Context) ([]string, error) {
	return s.dialect.Warnings(ctx, s.read)
}

// Ping implements storage.Store.
func (s *Store) Ping(ctx context.Context) error { return s.read.PingContext(ctx) }

// Close implements storage.Store.
func (s *Store) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

func toHash(b []byte) (h storage.Hash, err error) {
	if len(b) != len(h) {
		return h, fmt.Errorf("a hash of %d bytes: %w", len(b), storage.ErrCorrupt)
	}
	copy(h[:], b)
	return h, nil
}

func joinHashes(hashes []storage.Hash) []byte {
	b := make([]byte, 0, 32*len(hashes))
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

func splitHashes(b []byte) ([]storage.Hash, error) {
	var hashes []storage.Hash
	for chunk := range slices.Chunk(b, 32) {
		h, err := toHash(chunk)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}
