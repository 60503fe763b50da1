//go:build unix

package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"modernc.org/sqlite" // also the driver called sqlite

	"indelible/internal/filelock"
	"indelible/internal/sqlerror"
)

// ErrLocked: another process has the file open.
var ErrLocked = errors.New("another process uses the database")

// readers is how many connections read at once.
const readers = 4

// OpenSQLite opens a file, which it creates if it is not there. A commit is on
// disk when it returns: the file is in WAL mode with synchronous=FULL. If it fails,
// it leaves no file that was not there before.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	_, locked := os.Lstat(path + ".lock")
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	_, stat := os.Lstat(path)
	made := errors.Is(stat, os.ErrNotExist)
	s, err := openSQLite(ctx, path)
	if err != nil {
		err = fmt.Errorf("open %s: %w", path, err)
		if made {
			err = errors.Join(err, removeFiles(path))
		} else if errors.Is(locked, os.ErrNotExist) {
			err = errors.Join(err, os.Remove(path+".lock"))
		}
		return nil, errors.Join(err, lock.Close())
	}
	s.lock, s.made = lock, made
	s.remove = func(context.Context) error {
		return errors.Join(s.closePools(), removeFiles(path), lock.Close())
	}
	return s, nil
}

// removeFiles deletes a database, and its lock last: until then no other process
// opens it.
func removeFiles(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".lock"} {
		if err := os.Remove(path + suffix); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func openSQLite(ctx context.Context, path string) (*Store, error) {
	// SQLite itself would make the file readable to all.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
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

// lockFile takes a lock that ends with the process, however it ends. A process whose first start failed may delete the file.
func lockFile(path string) (*os.File, error) {
	f, err := filelock.Hold(path)
	if errors.Is(err, filelock.ErrInUse) {
		err = fmt.Errorf("%w: stop it first, or give this witness a data directory of its own", ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
