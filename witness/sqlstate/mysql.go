package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"indelible/internal/mysqldb"
	"indelible/internal/sqlerror"
)

// OpenMySQL connects to a database, whose tables it creates if they are not
// there. The DSN is go-sql-driver's: user:password@tcp(host:3306)/database.
func OpenMySQL(ctx context.Context, dsn string, access mysqldb.Access) (*Store, error) {
	d, err := mysqldb.New(dsn, mysqldb.Options{Access: access, AnswerWithin: commitTimeout, SyncWait: "1"})
	if err != nil {
		return nil, err
	}
	read := d.Open(2*readers, nil)
	s := &Store{read: read, write: d.Current().Open(2, nil), source: d.CheckSource, dialect: dialect{
		schema: mysqlSchema(), ignore: "INSERT IGNORE", isolation: sql.LevelReadCommitted, refuses: mysqlRefuses,
		warnings: func(ctx context.Context, db *sql.DB) ([]string, error) {
			w, err := mysqlWarnings(ctx, db)
			if exposed := d.Exposed(); exposed != "" {
				w = append(w, exposed)
			}
			return w, err
		},
	}}
	s.remove = func(ctx context.Context) error { return errors.Join(dropTables(ctx, s.write), s.Close()) }
	if err = durable(ctx, read); err == nil {
		s.made, err = empty(ctx, s.write)
	}
	if err == nil {
		if err = open(ctx, s); err != nil && s.unused(context.WithoutCancel(ctx)) == nil {
			err = errors.Join(err, dropTables(context.WithoutCancel(ctx), s.write))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", d, err), s.Close())
	}
	return s, nil
}

// empty reports whether a database has none of a witness's tables.
func empty(ctx context.Context, db *sql.DB) (bool, error) {
	var tables int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN
		('witness_schema', 'witness_logs', 'witness_heads', 'witness_facts')`).Scan(&tables)
	return tables == 0, err
}

// dropTables removes tables that were made a moment ago.
func dropTables(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `DROP TABLE IF EXISTS witness_schema, witness_logs, witness_heads, witness_facts`)
	if err != nil {
		err = fmt.Errorf("the new tables, which are empty, stay: %w", err)
	}
	return err
}

func mysqlRefuses(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && sqlerror.MySQL(e.Number, string(e.SQLState[:]), e.Message)
}

// durable refuses a server that acknowledges commits before they are on disk, and
// one that takes no writes.
func durable(ctx context.Context, db *sql.DB) error {
	var flush int
	var readOnly bool
	err := db.QueryRowContext(ctx, `SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.read_only OR @@GLOBAL.innodb_read_only`).Scan(&flush, &readOnly)
	if err == nil {
		err = mysqldb.CheckPacket(ctx, db)
	}
	if err == nil && readOnly {
		return errors.New("the server is read-only (read_only or innodb_read_only is ON), and nothing could be cosigned: if it is a replica, or was demoted, name the primary in the DSN")
	}
	if err == nil && flush != 1 {
		err = fmt.Errorf("innodb_flush_log_at_trx_commit is %d: a crash of the server could lose what was cosigned. "+
			"It must be 1: SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in the server's configuration", flush)
	}
	return err
}

func mysqlWarnings(ctx context.Context, db *sql.DB) ([]string, error) {
	var readOnly int
	err := db.QueryRowContext(ctx, `SELECT @@GLOBAL.read_only`).Scan(&readOnly)
	if err == nil && readOnly != 0 {
		return []string{"read_only is on: nothing can be cosigned"}, nil
	}
	return nil, err
}
