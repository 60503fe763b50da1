//go:build unix

package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite" // also the driver called sqlite

	"indelible/internal/sqlerror"
	"indelible/internal/sqlitefile"
)

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("another process uses the database")

// readers is how many connections read at once.
const readers = 4

// OpenSQLite opens a file, which it creates if it is not there. A commit is on
// disk when it returns: the file is in WAL mode with synchronous=FULL. If it fails,
// it leaves no file that was not there before.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	var s *Store
	file, err := sqlitefile.Open(path, ErrLocked, func() (err error) {
		if s, err = openSQLite(ctx, path); err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.lock, s.made = file, file.Made()
	s.remove = func(context.Context) error { return errors.Join(s.closePools(), file.Remove()) }
	return s, nil
}

func openSQLite(ctx context.Context, path string) (*Store, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-1000)" // KiB a connection
	write, err := openPool(dsn+"&_txlock=immediate", 1)
	if err != nil {
		return nil, err
	}
	read, err := openPool(dsn, readers)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	s := &Store{read: read, write: write, dialect: dialect{schema: sqliteSchema(), ignore: "INSERT OR IGNORE", warnings: sqliteWarnings, refuses: sqliteRefuses}}
	if err := open(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openPool(dsn string, connections int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// sqliteWarnings checks that the settings took.
func sqliteWarnings(ctx context.Context, db *sql.DB) ([]string, error) {
	var mode string
	var synchronous int
	if err := errors.Join(
		db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode),
		db.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous),
	); err != nil {
		return nil, err
	}
	if mode != "wal" || synchronous != 2 {
		return []string{fmt.Sprintf("SQLite's journal_mode is %s and synchronous %d, not wal and 2: a power cut can lose what was cosigned", mode, synchronous)}, nil
	}
	return nil, nil
}

func sqliteRefuses(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && sqlerror.SQLite(e.Code())
}
