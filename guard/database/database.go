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
// The register is replaced by one statement in a transaction of its own, which is
// committed by name and then read back on another connection: what a database
// acknowledged without keeping it is never taken for registered.
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
	"indelible/internal/mysqldb"
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

	deleteRow = `DELETE FROM indelible_registers WHERE origin = ? AND record = ?`

	selectRow = `SELECT epoch, size, root, record, @@global.read_only, @@global.innodb_read_only
	 FROM indelible_registers WHERE origin = ? FOR UPDATE`

	touchRow = `UPDATE indelible_registers SET asked = asked + 1 WHERE origin = ?`

	// A log's own database is told by two of its tables.
	logTables = `SELECT COUNT(*) FROM information_schema.tables
	 WHERE table_schema = DATABASE() AND table_name IN ('tree_heads', 'checkpoint_history')`

	settings = `SELECT @@global.innodb_flush_log_at_trx_commit, @@global.read_only, @@global.innodb_read_only`
)

// The server's error numbers for a key that is there, and a table that is not.
const (
	duplicateKey = 1062
	noSuchTable  = 1146
)

// Open opens the register of a log. It is fs.ErrNotExist where the database
// holds none.
func Open(ctx context.Context, dsn string, access mysqldb.Access, origin string) (*guard.Shared, error) {
	c, err := connect(ctx, dsn, access, origin)
	if err != nil {
		return nil, err
	}
	return guard.OpenShared(ctx, c)
}

// Create makes a register, and the table where there is none. It is fs.ErrExist
// where the log has a register.
func Create(ctx context.Context, dsn string, access mysqldb.Access, first guard.Text) (*guard.Shared, error) {
	c, err := connect(ctx, dsn, access, first.Origin)
	if err != nil {
		return nil, err
	}
	return guard.CreateShared(ctx, c, first)
}

// Exposed says what is wrong with a connection that leaves this machine without
// verified TLS; it is empty where nothing is.
func Exposed(dsn string, access mysqldb.Access) (string, error) {
	d, err := describe(dsn, access)
	if err != nil {
		return "", err
	}
	return d.Exposed(), nil
}

// Remove removes a register that Create made, if it is still as it was made.
func Remove(ctx context.Context, dsn string, access mysqldb.Access, origin, id string) error {
	r, err := connect(ctx, dsn, access, origin)
	if err != nil {
		return err
	}
	now, err := r.Load(ctx)
	if err == nil && (now.ID != id || now.Epoch != 1) {
		err = fmt.Errorf("register %s: it is in use, and stays", r.where)
	}
	if err == nil {
		_, err = r.write.ExecContext(ctx, deleteRow, origin, []byte(now.Tag))
	}
	return errors.Join(err, r.Close())
}

// row is a register's row. What is written through one pool is read back through
// the other, and so on another connection.
type row struct {
	read, write *sql.DB
	where       string
	origin      string
	parser      guard.Parser
}

var _ guard.Cell = (*row)(nil)

// answerWithin is how long the server may take for one answer, where the DSN
// does not say.
const answerWithin = 5 * time.Second

// describe reads the DSN. On Galera, every statement waits until its node has
// applied what was committed before, and a node that is cut off answers none.
func describe(dsn string, access mysqldb.Access) (*mysqldb.Database, error) {
	d, err := mysqldb.New(dsn, mysqldb.Options{Access: access, AnswerWithin: answerWithin, Interpolate: true, SyncWait: "7"})
	if err != nil {
		return nil, fmt.Errorf("the register: %w", err)
	}
	return d, nil
}

func connect(ctx context.Context, dsn string, access mysqldb.Access, origin string) (*row, error) {
	d, err := describe(dsn, access)
	if err != nil {
		return nil, err
	}
	const connections = 4 // the publisher, and whoever looks beside it
	r := &row{
		read: d.Current().Open(connections, nil), write: d.Current().Open(connections, nil),
		where: fmt.Sprintf("of log %q in database %s on %s", origin, d.Name(), d.Addr()), origin: origin,
	}
	if err := r.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("register %s: %w", r.where, err), r.Close())
	}
	return r, nil
}

// check refuses a database that cannot remember better than the log's own, or
// takes no writes.
func (r *row) check(ctx context.Context) error {
	var tables, flush int
	var server, storage string
	if err := r.read.QueryRowContext(ctx, logTables).Scan(&tables); err != nil {
		return err
	}
	if err := r.read.QueryRowContext(ctx, settings).Scan(&flush, &server, &storage); err != nil {
		return err
	}
	switch {
	case tables > 0:
		return errors.New("this database holds logs: whatever takes them back would take the register back too; " +
			"keep it in a database of its own, best on another server")
	case flush != 1:
		return fmt.Errorf("innodb_flush_log_at_trx_commit is %d, so that a power cut loses what was registered: set it to 1", flush)
	}
	_, hidden := mysqldb.Following(ctx, r.read)
	return errors.Join(writable(server, storage), mysqldb.CheckPacket(ctx, r.read), hidden)
}

// writable refuses a server with these values of read_only and innodb_read_only.
func writable(server, storage string) error {
	if off(server) && off(storage) {
		return nil
	}
	return errors.New("the server is read-only (read_only or innodb_read_only is ON): a replica may be behind; name the primary in the DSN")
}

// Where implements guard.Cell.
func (r *row) Where() string { return r.where }

// Close implements guard.Cell.
func (r *row) Close() error { return errors.Join(r.read.Close(), r.write.Close()) }

// Create implements guard.Cell.
func (r *row) Create(ctx context.Context, t guard.Text) error {
	record, err := t.Marshal()
	if err != nil {
		return err
	}
	head := t.State.Newest
	insert := func() error {
		_, err := r.transact(ctx, insertRow, r.origin, t.Epoch, head.Size, head.Root[:], record)
		return err
	}
	if err = insert(); number(err) == noSuchTable {
		if _, err = r.write.ExecContext(ctx, createTable); err == nil {
			err = insert()
		}
	}
	if number(err) == duplicateKey {
		return fs.ErrExist
	}
	if err == nil {
		err = r.seen(ctx, t, record)
	}
	return err
}

// transact runs one statement and commits it by name, whatever autocommit is. It
// returns how many rows the statement matched.
func (r *row) transact(ctx context.Context, statement string, args ...any) (int64, error) {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // after Commit it is nothing
	done, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	matched, err := done.RowsAffected()
	if err == nil {
		err = tx.Commit()
	}
	return matched, err
}

// errNotKept: the database acknowledged a write that another connection does
// not see.
var errNotKept = errors.New("the database acknowledged the write, and another connection does not see it: it does not commit what it is given")

// seen makes sure that another connection sees a write. One that is committed
// nowhere is not seen, or still has the row's lock, for which this waits in vain.
// A later write has another epoch: nobody makes it while the lock is held.
func (r *row) seen(ctx context.Context, t guard.Text, record []byte) error {
	now, err := r.load(ctx, r.read)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errNotKept
	case err != nil:
		return fmt.Errorf("read back what was written: %w", err)
	case now.Tag != string(record) && now.Epoch <= t.Epoch:
		return errNotKept
	}
	return nil
}

// Load implements guard.Cell.
func (r *row) Load(ctx context.Context) (guard.Tagged, error) { return r.load(ctx, r.read) }

// Confirm implements guard.Cell.
func (r *row) Confirm(ctx context.Context) (t guard.Tagged, err error) {
	if err := r.follows(ctx); err != nil {
		return t, err
	}
	for range attempts {
		if t, err = r.touch(ctx); !mysqldb.Overtaken(err) {
			break
		}
	}
	return t, err
}

// attempts is how often a read that another node's write overtook is tried.
const attempts = 5

// touch reads the row in a transaction that changes it.
func (r *row) touch(ctx context.Context) (guard.Tagged, error) {
	tx, err := r.write.BeginTx(ctx, nil)
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
	how, err := mysqldb.Following(ctx, r.read)
	if err == nil && how != "" {
		err = fmt.Errorf("the server replicates from another at present (%s), and may be behind: name the primary in the DSN; "+
			"or, if this is to be the primary, let it catch up and then stop its replication (STOP SLAVE; MySQL: STOP REPLICA)", how)
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
	}
	if err := writable(server, storage); err != nil {
		return guard.Tagged{}, err
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
	matched, err := r.transact(ctx, updateRow,
		next.Epoch, to.Size, to.Root[:], record, r.origin, was.Epoch, from.Size, from.Root[:], []byte(was.Tag))
	if mysqldb.Overtaken(err) {
		return "", fmt.Errorf("%w: %w", err, guard.ErrMoved)
	}
	if err == nil && matched == 0 {
		err = guard.ErrMoved
	}
	if err == nil {
		r.parser.Keep(record, next)
		err = r.seen(ctx, next, record)
	}
	if err != nil {
		return "", err
	}
	return string(record), nil
}

func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}
