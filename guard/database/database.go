// Package database keeps registers in a second MySQL or MariaDB: one row a log,
// in one table.
//
//	indelible_registers
//	  origin   VARBINARY(255)  primary key
//	  epoch    BIGINT          one more with every write
//	  size     BIGINT          of the newest head
//	  root     BINARY(32)      of the newest head
//	  record   BLOB            the register's text (guard.Text); it is what counts
//	  asked    BIGINT          one more with every read that must be sure
//
// The register is replaced by one statement, and so by one round trip and one
// commit:
//
//	UPDATE indelible_registers SET epoch = …, size = …, root = …, record = …
//	 WHERE origin = ? AND epoch = ? AND size = ? AND root = ? AND record = ?
//
// One row matched: it is ours. None: another replica was faster. The record is
// compared as well, so that only what was read and checked is ever replaced.
//
// The database must not be the log's own, nor be restored together with it: a
// server of its own is best. It must commit durably
// (innodb_flush_log_at_trx_commit = 1), and be the primary: a server that is
// read-only, or replicates from another at present, is refused, because a replica
// may be behind. Reads lock the row, which proxies take as a sign to ask the
// primary, and on Galera wait for what other nodes have committed.
//
// That is not always enough. A Galera node that stood still may answer from the
// past for a moment, and InnoDB shows a commit before it is durable. So a read
// that finds what this process did not write itself is made sure of: the row is
// changed (asked) in the transaction that reads it. Galera commits that only if
// the row was the newest, and what a transaction saw is durable when its own
// commit is.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"indelible/guard"
)

const (
	createTable = `CREATE TABLE IF NOT EXISTS indelible_registers (
	origin VARBINARY(255) NOT NULL PRIMARY KEY,
	epoch BIGINT NOT NULL,
	size BIGINT NOT NULL,
	root BINARY(32) NOT NULL,
	record BLOB NOT NULL,
	asked BIGINT NOT NULL DEFAULT 0) ENGINE=InnoDB`

	insertRow = `INSERT INTO indelible_registers (origin, epoch, size, root, record) VALUES (?, ?, ?, ?, ?)`

	updateRow = `UPDATE indelible_registers SET epoch = ?, size = ?, root = ?, record = ?
	 WHERE origin = ? AND epoch = ? AND size = ? AND root = ? AND record = ?`

	selectRow = `SELECT epoch, size, root, record, @@global.read_only, @@global.innodb_read_only
	 FROM indelible_registers WHERE origin = ? FOR UPDATE`

	touchRow = `UPDATE indelible_registers SET asked = asked + 1 WHERE origin = ?`

	// How many servers it replicates from. MySQL 8 does not say.
	replicates = `SHOW GLOBAL STATUS WHERE Variable_name = 'Slaves_running' AND Value <> '0'`

	// A log's own database is told by two of its tables.
	logTables = `SELECT COUNT(*) FROM information_schema.tables
	 WHERE table_schema = DATABASE() AND table_name IN ('tree_heads', 'checkpoint_history')`

	variables = `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'wsrep_sync_wait')`
)

// The server's error numbers for a key that is there, a table that is not, and a
// transaction that was rolled back since another was first (on Galera, perhaps
// on another node).
const (
	duplicateKey = 1062
	noSuchTable  = 1146
	overtaken    = 1213
)

// Open opens the register of a log. It is fs.ErrNotExist where the database
// holds none.
func Open(ctx context.Context, dsn, origin string) (*guard.Shared, error) {
	c, err := connect(ctx, dsn, origin)
	if err != nil {
		return nil, err
	}
	return guard.OpenShared(ctx, c)
}

// Create makes a register, and the table where there is none. It is fs.ErrExist
// where the log has a register.
func Create(ctx context.Context, dsn string, first guard.Text) (*guard.Shared, error) {
	c, err := connect(ctx, dsn, first.Origin)
	if err != nil {
		return nil, err
	}
	return guard.CreateShared(ctx, c, first)
}

// row is a register's row.
type row struct {
	db     *sql.DB
	where  string
	origin string
	parser guard.Parser
}

var _ guard.Cell = (*row)(nil)

func connect(ctx context.Context, dsn, origin string) (*row, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	r := &row{where: fmt.Sprintf("of log %q in database %s on %s", origin, cfg.DBName, cfg.Addr), origin: origin}
	if r.db, err = openPool(cfg); err != nil {
		return nil, err
	}
	waits, err := r.check(ctx)
	if err == nil && waits {
		// Galera: a read waits until this node has applied what was committed before,
		// and a node that is cut off answers none.
		err = r.db.Close()
		cfg.Params = map[string]string{"wsrep_sync_wait": "7", "wsrep_dirty_reads": "OFF"}
		if err == nil {
			r.db, err = openPool(cfg)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register %s: %w", r.where, err), r.db.Close())
	}
	return r, nil
}

func openPool(cfg *mysql.Config) (*sql.DB, error) {
	connector, err := mysql.NewConnector(cfg.Clone())
	if err != nil {
		return nil, errDSN
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(4) // the publisher, and whoever looks beside it
	db.SetMaxIdleConns(4)
	db.SetConnMaxLifetime(30 * time.Minute)
	return db, nil
}

// check refuses a database that cannot remember better than the log's own, and
// reports whether its reads can be made to wait for other nodes.
func (r *row) check(ctx context.Context) (waits bool, err error) {
	var tables int
	if err := r.db.QueryRowContext(ctx, logTables).Scan(&tables); err != nil {
		return false, err
	}
	if tables > 0 {
		return false, errors.New("this database holds logs: whatever takes them back would take the register back too; " +
			"keep it in a database of its own, best on another server")
	}
	rows, err := r.db.QueryContext(ctx, variables)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return false, err
		}
		switch {
		case name == "wsrep_sync_wait":
			waits = true
		case value != "1":
			return false, fmt.Errorf("%s is %s, so that a power cut loses what was registered: set it to 1", name, value)
		}
	}
	return waits, rows.Err()
}

// Where implements guard.Cell.
func (r *row) Where() string { return r.where }

// Close implements guard.Cell.
func (r *row) Close() error { return r.db.Close() }

// Create implements guard.Cell.
func (r *row) Create(ctx context.Context, t guard.Text) error {
	record, err := t.Marshal()
	if err != nil {
		return err
	}
	head := t.State.Newest
	insert := func() error {
		_, err := r.db.ExecContext(ctx, insertRow, r.origin, t.Epoch, head.Size, head.Root[:], record)
		return err
	}
	if err = insert(); number(err) == noSuchTable {
		if _, err = r.db.ExecContext(ctx, createTable); err == nil {
			err = insert()
		}
	}
	if number(err) == duplicateKey {
		return fs.ErrExist
	}
	return err
}

// Load implements guard.Cell.
func (r *row) Load(ctx context.Context) (guard.Tagged, error) { return r.load(ctx, r.db) }

// Confirm implements guard.Cell.
func (r *row) Confirm(ctx context.Context) (t guard.Tagged, err error) {
	if err := r.follows(ctx); err != nil {
		return t, err
	}
	for range attempts {
		if t, err = r.touch(ctx); number(err) != overtaken {
			break
		}
	}
	return t, err
}

// attempts is how often a read that another node's write overtook is tried.
const attempts = 5

// touch reads the row in a transaction that changes it.
func (r *row) touch(ctx context.Context) (guard.Tagged, error) {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return guard.Tagged{}, err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, touchRow, r.origin); err != nil {
		return guard.Tagged{}, err
	}
	t, err := r.load(ctx, tx)
	if err == nil {
		err = tx.Commit()
	}
	return t, err
}

// follows refuses a server that receives what another commits: it may be
// behind, and what is written to it is not there.
func (r *row) follows(ctx context.Context) error {
	var name, servers string
	err := r.db.QueryRowContext(ctx, replicates).Scan(&name, &servers)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("the server replicates from another at present (%s is %s), and may be behind: name the primary in the DSN; "+
			"or, if this is to be the primary, let it catch up and then STOP SLAVE", name, servers)
	}
	return err
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (r *row) load(ctx context.Context, q querier) (guard.Tagged, error) {
	var (
		epoch, size     int64
		root, record    []byte
		server, storage string
	)
	err := q.QueryRowContext(ctx, selectRow, r.origin).Scan(&epoch, &size, &root, &record, &server, &storage)
	switch {
	case errors.Is(err, sql.ErrNoRows) || number(err) == noSuchTable:
		return guard.Tagged{}, fs.ErrNotExist
	case err != nil:
		return guard.Tagged{}, err
	case !off(server) || !off(storage):
		return guard.Tagged{}, errors.New("the server is read-only: a replica may be behind; name the primary in the DSN")
	}
	t, err := r.parser.Parse(record)
	if err != nil {
		return guard.Tagged{}, err
	}
	if head := t.State.Newest; t.Epoch != epoch || head.Size != size || string(head.Root[:]) != string(root) {
		return guard.Tagged{}, fmt.Errorf("its row says epoch %d, size %d, root %x, and its text epoch %d, size %d, root %x: %w",
			epoch, size, root, t.Epoch, head.Size, head.Root, guard.ErrCorrupt)
	}
	return guard.Tagged{Text: t, Tag: string(record)}, nil
}

func off(value string) bool { return value == "0" || strings.EqualFold(value, "off") }

// Swap implements guard.Cell.
func (r *row) Swap(ctx context.Context, was guard.Tagged, next guard.Text) (string, error) {
	record, err := next.Marshal()
	if err != nil {
		return "", err
	}
	from, to := was.State.Newest, next.State.Newest
	done, err := r.db.ExecContext(ctx, updateRow,
		next.Epoch, to.Size, to.Root[:], record, r.origin, was.Epoch, from.Size, from.Root[:], []byte(was.Tag))
	if number(err) == overtaken {
		return "", fmt.Errorf("%w: %w", err, guard.ErrMoved)
	}
	if err != nil {
		return "", err
	}
	matched, err := done.RowsAffected()
	if err == nil && matched == 0 {
		err = guard.ErrMoved
	}
	if err == nil {
		r.parser.Keep(record, next)
	}
	return string(record), err
}

func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}
