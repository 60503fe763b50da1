// Package sqlite keeps logs in a SQLite file: the embedded default, for one
// process.
//
// The file is in WAL mode with synchronous=FULL, so that a commit is on disk
// when it returns. Beside it lies a lock file, which keeps a second process
// away. The driver is pure Go.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"indelible/internal/sqlerror"
	"indelible/internal/sqlitefile"
	"indelible/storage"
	"indelible/storage/internal/rows"
)

// Options are how a file is opened. The zero value is what is wanted.
type Options struct {
	// Readers is how many connections read at once; 12. Clients' reads take up to 9
	// of them, see package answers, and adds have the others.
	Readers int
}

// Store is one SQLite file.
type Store struct {
	*rows.Store
	file *sqlitefile.File
}

var _ storage.Store = (*Store)(nil)

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("another process uses the database")

// Open opens a file, which it creates and migrates as needed. When it fails, it
// leaves no file that was not there before.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	var s Store
	s.file, err = sqlitefile.Open(path, ErrLocked, func() error {
		if s.Store, err = open(ctx, path, o); err != nil {
			return fmt.Errorf("open %s: %w", path, remedy(path, err))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// Made reports whether Open made the file.
func (s *Store) Made() bool { return s.file.Made() }

// Remove closes the file, deletes it and all that SQLite keeps beside it, and
// lets the next process in. It is for a file that Open made and that nothing
// was logged in.
func (s *Store) Remove() error { return errors.Join(s.Store.Close(), s.file.Remove()) }

// remedy adds what to do where SQLite says only that it cannot write.
func remedy(path string, err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_READONLY {
		return fmt.Errorf("%w: the directory %s, in which SQLite keeps files beside the database, and the database itself must be writable to the user that runs this, "+
			"and not on a file system that is mounted read-only", err, filepath.Dir(path))
	}
	return err
}

func open(ctx context.Context, path string, o Options) (*rows.Store, error) {
	write, err := connect(path, "_txlock=immediate", 1)
	if err != nil {
		return nil, err
	}
	if o.Readers == 0 {
		o.Readers = 12
	}
	read, err := connect(path, "", o.Readers)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	s := rows.New(read, write, dialect(path))
	if err := s.Migrate(ctx, schema(), nil); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func connect(path, more string, connections int) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&" + more
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Close closes the file and lets the next process in.
func (s *Store) Close() error { return errors.Join(s.Store.Close(), s.file.Close()) }

func dialect(path string) rows.Dialect {
	return rows.Dialect{
		Alone: true, // by the lock file
		// The writer's transactions are all BEGIN IMMEDIATE: they hold the one
		// write lock from the start.
		LeafIndex: ` INDEXED BY entries_by_leaf`,
		// The WAL is synced before its index shows it to other connections.
		ShowsDurable: true,
		NowMillis:    `CAST(unixepoch('subsec') * 1000 AS INTEGER)`,
		Duplicate:    duplicate,
		Refuses:      refuses,
		Warnings:     func(ctx context.Context, db *sql.DB) ([]string, error) { return warnings(ctx, db, path) },
	}
}

func duplicate(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func refuses(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && sqlerror.SQLite(e.Code())
}

// warnings checks that the settings took, and where the file lies.
func warnings(ctx context.Context, db *sql.DB, path string) ([]string, error) {
	var w []string
	if fs, err := remote(path); err != nil {
		return nil, err
	} else if fs != "" {
		w = append(w, fmt.Sprintf("%s is on a network file system (%s): SQLite's locks and its WAL do not work there; use a local disk", path, fs))
	}
	for _, p := range []struct{ pragma, want, means string }{
		{"journal_mode", "wal", "readers and the writer wait for each other"},
		{"synchronous", "2", "a power cut can lose commits"},
	} {
		var got string
		if err := db.QueryRowContext(ctx, "PRAGMA "+p.pragma).Scan(&got); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.pragma, err)
		}
		if got != p.want {
			w = append(w, fmt.Sprintf("SQLite's %s is %s, not %s: %s", p.pragma, got, p.want, p.means))
		}
	}
	return w, nil
}
