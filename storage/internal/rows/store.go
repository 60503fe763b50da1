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
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"indelible/internal/wait"
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
	// Alone says that no other process has the database: one that seems to be at
	// work on it has ended.
	Alone bool
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
	// Refuses reports that the database does not take the rows of a statement, and
	// will not the next time.
	Refuses func(error) bool
	// MaxPacket is a query for the most bytes that a statement with its values may
	// have. Empty: no limit is near.
	MaxPacket string
	// Elsewhere reports that this server takes nothing at present, while another
	// behind the same address may. It may be left out.
	Elsewhere func(error) bool
	// Newest refuses a server that follows another and so may lag, and reports
	// whether others commit as well, so that even a locking read may lag. It may be
	// left out.
	Newest func(ctx context.Context, conn *sql.Conn) (others bool, err error)
	// Session is an expression of what the session is; Judge returns an error if that
	// is not what it was made as. Both may be left out.
	Session string
	Judge   func(session string) error
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

	packet atomic.Int64 // what MaxPacket returned last; 0: it is to be asked
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
// prepares it again on each connection.
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
	// A statement that is a transaction of its own has changed nothing when another
	// came first. Two servers that write in step would overtake each other for long: each
	// pauses for a random time.
	for try := 1; err != nil && r.tx == nil && try < overtakenTries && r.s.dialect.Overtaken != nil && r.s.dialect.Overtaken(err); try++ {
		if wait.For(ctx, rand.N(time.Millisecond<<try)) != nil {
			break
		}
		res, err = st.ExecContext(ctx, args...)
	}
	if err != nil {
		return 0, r.s.explain(ctx, err)
	}
	return res.RowsAffected()
}

// overtakenTries is how often a statement that other transactions overtake is tried, within
// half a second.
const overtakenTries = 8

// leave closes the connections that nobody uses, so that the next is opened again:
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
	err = s.refused(err)
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

// refused makes storage.ErrRefused of an error that says that the rows are not
// taken.
func (s *Store) refused(err error) error {
	if err == nil || errors.Is(err, storage.ErrRefused) || !s.dialect.Refuses(err) {
		return err
	}
	return fmt.Errorf("%w: %w", storage.ErrRefused, err)
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
	return s.refused(tx.Commit())
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
func (s *Store) Ping(ctx context.Context) error {
	err := s.read.PingContext(ctx)
	if err == nil && s.dialect.Refused != nil {
		err = s.dialect.Refused(ctx, s.read)
	}
	return err
}

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
