//go:build unix

// Package registers opens registers by their place:
//
//	/var/lib/indelible/register                       a file (guard.File)
//	mysql:/etc/indelible/register-dsn                 a row in a second MySQL or MariaDB (guard/database)
//	mysql:/etc/indelible/register-dsn?tls-ca=FILE&tls-cert=FILE&tls-key=FILE
//	                                                  the same over TLS, by files of its own
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
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"indelible/guard"
	"indelible/guard/database"
	"indelible/guard/object"
	"indelible/internal/mysqldb"
	"indelible/internal/secret"
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
		dsn, access, err := databaseAt(at)
		if err != nil {
			return nil, err
		}
		return opened(database.Open(ctx, dsn, access, origin))
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

// Remove removes a register that Create made, and that nothing was registered in
// since. One in an object store stays, as stores cannot delete on a condition: it
// is at the empty tree, and the next log of that name takes it over.
func Remove(ctx context.Context, where, origin, id string) error {
	switch kind, at := KindOf(where); kind {
	case File:
		return os.Remove(at)
	case Database:
		dsn, access, err := databaseAt(at)
		if err != nil {
			return err
		}
		return database.Remove(ctx, dsn, access, origin, id)
	}
	return fmt.Errorf("the register %s stays, at the empty tree: the next log %q takes it over", where, origin)
}

func createShared(ctx context.Context, where string, first guard.Text) (Register, error) {
	kind, at := KindOf(where)
	if kind == Database {
		dsn, access, err := databaseAt(at)
		if err != nil {
			return nil, err
		}
		return opened(database.Create(ctx, dsn, access, first))
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

// tlsOptions begins the options of a database's place.
const tlsOptions = "?tls-"

// WithTLS adds files for TLS to the place of a database that names none.
func WithTLS(where string, files mysqldb.TLS) string {
	if kind, at := KindOf(where); kind != Database || strings.Contains(at, tlsOptions) {
		return where
	}
	escape := strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", ";", "%3B")
	sign := "?"
	for _, o := range []struct{ name, file string }{{"ca", files.CA}, {"cert", files.Cert}, {"key", files.Key}} {
		if o.file != "" {
			where += sign + "tls-" + o.name + "=" + escape.Replace(o.file)
			sign = "&"
		}
	}
	return where
}

// databaseAt reads the DSN and the options of a database's place.
func databaseAt(at string) (dsn string, access mysqldb.Access, err error) {
	path, options := at, ""
	if i := strings.LastIndex(at, tlsOptions); i >= 0 {
		path, options = at[:i], at[i+1:]
	}
	values, err := url.ParseQuery(options)
	if err != nil {
		return "", access, fmt.Errorf("the register's place mysql:%s: %w", at, err)
	}
	for name, value := range values {
		switch name {
		case "tls-ca":
			access.TLS.CA = value[0]
		case "tls-cert":
			access.TLS.Cert = value[0]
		case "tls-key":
			access.TLS.Key = value[0]
		default:
			return "", access, fmt.Errorf("the register's place mysql:%s: there is no option %s; give tls-ca, tls-cert and tls-key", at, name)
		}
	}
	access.Source = func() (string, error) { return readDSN(path) }
	dsn, err = access.Source()
	return dsn, access, err
}

// Await waits for the server of a register in a database as [mysqldb.Await] does.
// It does not wait for a register of another kind.
func Await(ctx context.Context, where string, within time.Duration, log *slog.Logger) error {
	kind, at := KindOf(where)
	if kind != Database || within <= 0 {
		return nil
	}
	dsn, access, err := databaseAt(at)
	if err != nil {
		return err
	}
	return mysqldb.Await(ctx, dsn, access, within, log)
}

// Exposed says what is wrong with a connection to a register's database that
// leaves this machine without verified TLS; it is empty where nothing is.
func Exposed(where string) (string, error) {
	kind, at := KindOf(where)
	if kind != Database {
		return "", nil
	}
	dsn, access, err := databaseAt(at)
	if err != nil {
		return "", err
	}
	return database.Exposed(dsn, access)
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened[R Register](r R, err error) (Register, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// readDSN reads the DSN of a register. A file that is missing is not a register that
// is: the error is not fs.ErrNotExist.
func readDSN(path string) (string, error) {
	dsn, err := secret.Line(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the register's DSN: %v", err)
	case err != nil:
		return "", fmt.Errorf("the register's DSN: %w", err)
	}
	return dsn, nil
}
