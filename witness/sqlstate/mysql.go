package sqlstate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// errDSN does not repeat the DSN, which holds a password.
var errDSN = errors.New("the DSN is not valid: it must be user:password@tcp(host:3306)/database, with options after a ?")

// OpenMySQL connects to a database, whose tables it creates if they are not
// there. The DSN is go-sql-driver's: user:password@tcp(host:3306)/database.
func OpenMySQL(ctx context.Context, dsn string) (*Store, error) {
	cfg, err := mysqlConfig(dsn)
	if err != nil {
		return nil, err
	}
	read, err := mysqlPool(cfg, 2*readers)
	if err != nil {
		return nil, err
	}
	write, err := mysqlPool(cfg, 2)
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	s := &Store{read: read, write: write, dialect: dialect{
		schema: mysqlSchema(), ignore: "INSERT IGNORE", isolation: sql.LevelReadCommitted, warnings: mysqlWarnings,
	}}
	if err = durable(ctx, read); err == nil {
		err = open(ctx, s)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s@%s/%s: %w", cfg.User, cfg.Addr, cfg.DBName, err), s.Close())
	}
	return s, nil
}

func mysqlConfig(dsn string) (*mysql.Config, error) {
	// The driver panics at an option that it once had.
	if _, options, _ := strings.Cut(dsn, "?"); strings.Contains("&"+options, "&strict=") {
		return nil, fmt.Errorf("%w: the option strict is gone", errDSN)
	}
	cfg, err := mysql.ParseDSN(dsn)
	switch {
	case err != nil:
		return nil, errDSN
	case cfg.DBName == "":
		return nil, fmt.Errorf("%w: it names no database", errDSN)
	case cfg.MultiStatements || cfg.InterpolateParams || cfg.AllowAllFiles || len(cfg.Params) > 0:
		// A variable such as autocommit=0 would change what the statements mean.
		return nil, fmt.Errorf("%w: multiStatements, interpolateParams, allowAllFiles and variables of the session must be left out", errDSN)
	}
	cfg.ClientFoundRows = true // the rows that an UPDATE matched, whether or not they changed
	cfg.RejectReadOnly = true  // after a failover, a connection to the old primary is given up
	cfg.Logger = &mysql.NopLogger{}
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, commitTimeout)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, commitTimeout)
	return cfg, nil
}

func mysqlPool(cfg *mysql.Config, connections int) (*sql.DB, error) {
	connector, err := mysql.NewConnector(cfg.Clone())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(30 * time.Minute) // so that a proxy or a failover can move us
	return db, nil
}

// durable refuses a server that acknowledges commits before they are on disk.
func durable(ctx context.Context, db *sql.DB) error {
	var flush int
	err := db.QueryRowContext(ctx, `SELECT @@GLOBAL.innodb_flush_log_at_trx_commit`).Scan(&flush)
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
