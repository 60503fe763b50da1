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
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"indelible/internal/sqlerror"
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
	lock *os.File
	path string
	made bool
}

var _ storage.Store = (*Store)(nil)

// ErrLocked: another process has the file open.
var ErrLocked = errors.New("another process uses the database")

// Open opens a file, which it creates and migrates as needed. When it fails, it
// leaves no file that was not there before.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	_, locked := os.Lstat(path + ".lock")
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	_, stat := os.Lstat(path)
	made := errors.Is(stat, os.ErrNotExist)
	s, err := open(ctx, path, o)
	if err != nil {
		if made {
			err = errors.Join(err, removeFiles(path))
		} else if errors.Is(locked, os.ErrNotExist) {
			err = errors.Join(err, os.Remove(path+".lock"))
		}
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, remedy(path, err)), lock.Close())
	}
	s.lock, s.path, s.made = lock, path, made
	return s, nil
}

// Made reports whether Open made the file.
func (s *Store) Made() bool { return s.made }

// Remove closes the file, deletes it and all that SQLite keeps beside it, and
// lets the next process in. It is for a file that Open made and that nothing
// was logged in.
func (s *Store) Remove() error {
	return errors.Join(s.Store.Close(), removeFiles(s.path), s.lock.Close())
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

// remedy adds what to do where SQLite says only that it cannot write.
func remedy(path string, err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_READONLY {
		return fmt.Errorf("%w: the directory %s, in which SQLite keeps files beside the database, and the database itself must be writable to the user that runs this, "+
			"and not on a file system that is mounted read-only", err, filepath.Dir(path))
	}
	return err
}

func open(ctx context.Context, path string, o Options) (*Store, error) {
	// SQLite would make the file readable to all.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
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
	s := &Store{Store: rows.New(read, write, dialect(path))}
	if err := s.Migrate(ctx, schema(), nil); err != nil {
		return nil, errors.Join(err, s.Store.Close())
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
func (s *Store) Close() error { return errors.Join(s.Store.Close(), s.lock.Close()) }

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

// holder reads the process id from a lock file, for the message.
func holder(path string) string {
	b, _ := os.ReadFile(path)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return "its process id is not known"
	}
	return fmt.Sprintf("process %d", pid)
}
