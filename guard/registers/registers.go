//go:build unix

// Package registers opens registers by their place:
//
//	/var/lib/indelible/register                       a file (guard.File)
//	mysql:/etc/indelible/register-dsn                 a row in a second MySQL or MariaDB (guard/database)
//	s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1
//	                                                  an object (guard/object)
//
// A place holds no secret: a DSN stands in a file of its own, which only its
// owner may read, and an object store's credentials come from the environment.
package registers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"indelible/guard"
	"indelible/guard/database"
	"indelible/guard/object"
)

// Register is a register of any kind.
type Register interface {
	guard.Register
	// Origin is the name of the log that the register belongs to.
	Origin() string
	Close() error
}

// Kind is what a place is.
type Kind string

const (
	File     Kind = "file"
	Database Kind = "mysql"
	Object   Kind = "s3"
)

// KindOf says what a place is, and what comes after its name.
func KindOf(where string) (Kind, string) {
	if dsn, ok := strings.CutPrefix(where, "mysql:"); ok {
		return Database, dsn
	}
	if strings.HasPrefix(where, "s3:") {
		return Object, where
	}
	return File, where
}

// Open opens the register of a log. It is fs.ErrNotExist where there is none. In
// a database the log's own is looked for; a file or an object may turn out to be
// another log's, which Origin and ID tell.
func Open(ctx context.Context, where, origin string) (Register, error) {
	kind, at := KindOf(where)
	switch kind {
	case Database:
		dsn, err := secret(at)
		if err != nil {
			return nil, err
		}
		return opened(database.Open(ctx, dsn, origin))
	case Object:
		place, err := object.ParsePlace(at)
		if err != nil {
			return nil, err
		}
		return opened(object.Open(ctx, place, object.Options{}))
	default:
		return opened(guard.OpenFile(at))
	}
}

// Create makes the register of a new log. It is fs.ErrExist where there is one.
func Create(ctx context.Context, where, origin, id string) (Register, error) {
	if kind, at := KindOf(where); kind == File {
		return opened(guard.CreateFile(at, origin, id))
	}
	return createShared(ctx, where, guard.NewText(origin, id))
}

// Accept makes a register in the place of one that is lost, on an operator's
// word that newest is the newest head that was ever signed. It is fs.ErrExist
// where there is one.
func Accept(ctx context.Context, where, origin, id string, newest guard.Head, word guard.Word) (Register, error) {
	if kind, at := KindOf(where); kind == File {
		return opened(guard.CreateAccepted(at, origin, id, newest, word))
	}
	return createShared(ctx, where, guard.AcceptedText(origin, id, newest, word))
}

func createShared(ctx context.Context, where string, first guard.Text) (Register, error) {
	kind, at := KindOf(where)
	if kind == Database {
		dsn, err := secret(at)
		if err != nil {
			return nil, err
		}
		return opened(database.Create(ctx, dsn, first))
	}
	place, err := object.ParsePlace(at)
	if err != nil {
		return nil, err
	}
	return opened(object.Create(ctx, place, first, object.Options{}))
}

// Exists reports whether there is a register of the log, be it one that cannot
// be read. A place that cannot be asked is an error.
func Exists(ctx context.Context, where, origin string) (bool, error) {
	if kind, at := KindOf(where); kind == File {
		_, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	r, err := Open(ctx, where, origin)
	switch {
	case err == nil:
		return true, r.Close()
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, guard.ErrCorrupt):
		return true, nil
	}
	return false, err
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened[R Register](r R, err error) (Register, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// secret reads a file that holds one line and that only its owner may read. A
// file that is missing is not a register that is: the error is not fs.ErrNotExist.
func secret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the register's DSN: %v", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s holds the register's DSN and others can read it (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the register's DSN: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("%s must hold one line, the register's DSN", path)
	}
	return text, nil
}
