// Package mysql keeps logs in MySQL 8 or MariaDB 10.11 and later, for any
// number of processes.
//
// It uses what both have in common: InnoDB, READ COMMITTED (said with every
// transaction), row locks. No GET_LOCK, no session variables, no
// auto-increment. Statements are prepared on the server, which is 40 % faster
// for the multi-row inserts than having the client put them together.
package mysql

import (
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
	read, err := connect(cfg, o.Readers)
	if err != nil {
		return nil, err
	}
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
		Warnings:  warnings,
	}
}

func hasNumber(err error, number uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == number
}

// setting is a server variable that weakens what the log promises where it has
// another value.
type setting struct{ name, want, means string }

func settings() []setting {
	return []setting{
		{"innodb_flush_log_at_trx_commit", "1", "a crash of the server can lose commits that were acknowledged"},
		{"innodb_doublewrite", "ON", "a power cut can leave half-written pages"},
		{"read_only", "OFF", "nothing can be added"},
	}
}

func warnings(ctx context.Context, db *sql.DB) ([]string, error) {
	vars, err := variables(ctx, db)
	if err != nil {
		return nil, err
	}
	var w []string
	for _, s := range settings() {
		if got, ok := vars[s.name]; ok && !strings.EqualFold(got, s.want) {
			w = append(w, fmt.Sprintf("%s is %s, not %s: %s", s.name, got, s.want, s.means))
		}
	}
	if on(vars["log_bin"]) && vars["sync_binlog"] != "1" {
		w = append(w, fmt.Sprintf("log_bin is on and sync_binlog is %s, not 1: a replica, or the server itself after a crash, can lack commits that were acknowledged", vars["sync_binlog"]))
	}
	if on(vars["wsrep_on"]) {
		w = append(w, "this is a Galera cluster (wsrep_on): let all replicas of the log write to one node, since row locks do not reach the others")
	}
	return w, nil
}

func on(v string) bool { return strings.EqualFold(v, "ON") || v == "1" }

func variables(ctx context.Context, db *sql.DB) (map[string]string, error) {
	r, err := db.QueryContext(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN
		('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'read_only', 'log_bin', 'sync_binlog', 'wsrep_on')`)
	if err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	defer r.Close()
	vars := make(map[string]string)
	for r.Next() {
		var name, value string
		if err := r.Scan(&name, &value); err != nil {
			return nil, fmt.Errorf("read the server's settings: %w", err)
		}
		vars[strings.ToLower(name)] = value
	}
	return vars, r.Err()
}
