// Package mysql keeps logs in MySQL 8 or MariaDB 10.11 and later, for any
// number of processes.
//
// It uses what both have in common: InnoDB, READ COMMITTED (said with every
// transaction), row locks. No GET_LOCK, no session variables, no
// auto-increment. Statements are prepared on the server, which is 40 % faster
// for the multi-row inserts than having the client put them together.
package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"indelible/storage"
	"indelible/storage/internal/rows"
)

// Store is one database on a server.
type Store struct{ *rows.Store }

var _ storage.Store = (*Store)(nil)

// Options are how a database is opened. The zero value is what is wanted.
type Options struct {
	// Migrate creates or updates the schema; else it is only checked.
	Migrate bool
	// Readers is how many connections read at once; 16. A few more write.
	Readers int
	// Abandoned is after what time the server ends the transaction of a client
	// that says nothing more, and gives its locks back; a minute, to the second.
	// A machine that vanished never closes its connection, and by the server's
	// own setting it would keep the tree head locked for hours.
	Abandoned time.Duration
}

// writers is how many connections append and publish at once. An append waits
// for the tree head's lock, so more would only wait.
const writers = 4

// Open connects to a database. The DSN is go-sql-driver's:
// user:password@tcp(host:3306)/database.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	cfg, err := config(dsn)
	if err != nil {
		return nil, err
	}
	if o.Readers == 0 {
		o.Readers = 16
	}
	if o.Abandoned == 0 {
		o.Abandoned = time.Minute
	}
	read, err := connect(cfg, o.Readers)
	if err != nil {
		return nil, err
	}
	// A variable of the session, and yet nothing that a statement relies on: if a
	// proxy does not pass it on, the server's own value holds.
	cfg.Params = map[string]string{"wait_timeout": fmt.Sprintf("%.0f", o.Abandoned.Seconds())}
	write, err := connect(cfg, writers)
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	s := &Store{rows.New(read, write, dialect())}
	if o.Migrate {
		err = s.Migrate(ctx, schema())
	} else {
		err = s.check(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", describe(cfg), err), s.Close())
	}
	return s, nil
}

// noSuchTable is the server's error number 1146.
const noSuchTable = 1146

func (s *Store) check(ctx context.Context) error {
	err := s.CheckSchema(ctx, schema())
	if hasNumber(err, noSuchTable) {
		return fmt.Errorf("%w: there is no log in it yet: run logserver init --storage mysql", rows.ErrSchema)
	}
	return err
}

func connect(cfg *mysql.Config, connections int) (*sql.DB, error) {
	connector, err := mysql.NewConnector(cfg.Clone())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	// A connection is replaced from time to time, so that a proxy or a failover
	// can move us elsewhere.
	db.SetConnMaxLifetime(30 * time.Minute)
	return db, nil
}

func dialect() rows.Dialect {
	return rows.Dialect{
		ForUpdate: ` FOR UPDATE`,
		LeafIndex: ` FORCE INDEX (by_leaf)`,
		NowMillis: `CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)`,
		Isolation: sql.LevelReadCommitted,
		Duplicate: func(err error) bool { return hasNumber(err, 1062) },
		Refused:   readOnly,
		Warnings:  warnings,
	}
}

func hasNumber(err error, number uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == number
}

// ErrReadOnly: the server takes no writes at present.
var ErrReadOnly = errors.New("the database server is read-only")

// readOnly explains a connection that the driver gave up because the server
// refused to write.
func readOnly(ctx context.Context, db *sql.DB) error {
	vars, err := variables(ctx, db)
	if err != nil {
		return nil // it does not answer at all, which is another fault
	}
	for _, name := range []string{"read_only", "innodb_read_only"} {
		if v, ok := vars[name]; ok && !off(v) {
			return fmt.Errorf("%w (%s is %s): if it is a replica, or was demoted, name the primary in the DSN", ErrReadOnly, name, v)
		}
	}
	return nil
}

// setting is a server variable that weakens what the log promises where it has
// another value.
type setting struct {
	name  string
	fine  func(string) bool
	want  string
	means string
}

func settings() []setting {
	return []setting{
		{"innodb_flush_log_at_trx_commit", func(v string) bool { return v == "1" }, "1", "a crash of the server can lose commits that were acknowledged"},
		// MySQL 8.0.30 has DETECT_AND_RECOVER, which is ON, and DETECT_ONLY, which is not.
		{"innodb_doublewrite", func(v string) bool { return on(v) || v == "DETECT_AND_RECOVER" }, "ON", "a power cut can leave half-written pages"},
		{"read_only", off, "OFF", "nothing can be added"},
		{"innodb_read_only", off, "OFF", "nothing can be added"},
		{"sql_mode", strict, "one with STRICT_TRANS_TABLES", "a value that does not fit its column is cut, without an error"},
	}
}

func strict(mode string) bool {
	return strings.Contains(mode, "STRICT_TRANS_TABLES") || strings.Contains(mode, "STRICT_ALL_TABLES")
}

func warnings(ctx context.Context, db *sql.DB) ([]string, error) {
	vars, err := variables(ctx, db)
	if err != nil {
		return nil, err
	}
	var w []string
	for _, s := range settings() {
		if got, ok := vars[s.name]; ok && !s.fine(got) {
			w = append(w, fmt.Sprintf("%s is %s, not %s: %s", s.name, cmp.Or(got, "empty"), s.want, s.means))
		}
	}
	if on(vars["log_bin"]) && vars["sync_binlog"] != "1" {
		w = append(w, fmt.Sprintf("log_bin is on and sync_binlog is %s, not 1: a replica, or the server itself after a crash, can lack commits that were acknowledged", vars["sync_binlog"]))
	}
	if on(vars["wsrep_on"]) {
		w = append(w, "this is a Galera cluster (wsrep_on): let all replicas of the log write to one node, since row locks do not reach the others")
	}
	tables, err := foreignEngines(ctx, db)
	return append(w, tables...), err
}

func on(v string) bool  { return strings.EqualFold(v, "ON") || v == "1" }
func off(v string) bool { return strings.EqualFold(v, "OFF") || v == "0" }

// foreignEngines finds tables that somebody altered, or that a server without
// InnoDB made otherwise.
func foreignEngines(ctx context.Context, db *sql.DB) (w []string, err error) {
	err = each(ctx, db, `SELECT table_name, engine FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND engine <> 'InnoDB' ORDER BY table_name`, func(name, engine string) {
		w = append(w, fmt.Sprintf("table %s is in %s, not in InnoDB: it has no transactions", name, engine))
	})
	return w, err
}

func variables(ctx context.Context, db *sql.DB) (map[string]string, error) {
	vars := make(map[string]string)
	err := each(ctx, db, `SHOW GLOBAL VARIABLES WHERE Variable_name IN
		('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'read_only', 'innodb_read_only', 'sql_mode', 'log_bin', 'sync_binlog', 'wsrep_on')`,
		func(name, value string) { vars[strings.ToLower(name)] = value })
	return vars, err
}

// each calls f for each row of two columns.
func each(ctx context.Context, db *sql.DB, query string, f func(a, b string)) error {
	r, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	defer r.Close()
	for r.Next() {
		var a, b string
		if err := r.Scan(&a, &b); err != nil {
			return fmt.Errorf("read the server's settings: %w", err)
		}
		f(a, b)
	}
	return r.Err()
}
