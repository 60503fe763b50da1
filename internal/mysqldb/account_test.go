//go:build unix

package mysqldb

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// A password that was changed is taken from the source when the server refuses
// the old one, by all pools, and read once for each connection that is refused.
func TestRotatedPassword(t *testing.T) {
	r := newRotation(t)
	first, second := r.pool(), r.pool()
	r.ask(first)
	r.ask(second)
	r.rotate("new-secret")
	err := r.refused(first)
	if errors.Is(err, ErrElsewhere) || r.reads != 1 {
		t.Errorf("%d reads: %v", r.reads, err)
	}
	r.source = r.dsn
	r.ask(first)
	r.ask(second)
	if r.reads != 2 {
		t.Errorf("the DSN was read %d times, not 2", r.reads)
	}
	r.rotate("newest-secret")
	r.source = r.dsn
	r.ask(second)
}

// What the source gives is used only if it names the same database, with the
// same options.
func TestRotatedElsewhere(t *testing.T) {
	r := newRotation(t)
	db := r.pool()
	r.ask(db)
	old := r.dsn
	r.rotate("new-secret")
	for name, c := range map[string]struct {
		dsn  string
		fail error
		want error
		says string
	}{
		"database": {dsn: r.dsn + "2", want: ErrElsewhere, says: "/rotated2, and " + server.Addr() + "/rotated stays in use; restart"},
		"server":   {dsn: strings.Replace(r.dsn, "127.0.0.1", "127.0.0.2", 1), want: ErrElsewhere, says: "127.0.0.2"},
		"options":  {dsn: r.dsn + "?tls=skip-verify", want: ErrElsewhere, says: "restart"},
		"variable": {dsn: r.dsn + "?autocommit=0", want: ErrDSN, says: "autocommit"},
		"nonsense": {dsn: "old-secret", want: ErrDSN, says: "the one in use stays"},
		"no file":  {fail: os.ErrNotExist, want: os.ErrNotExist, says: "could not be read again"},
		"the same": {dsn: old, says: "Access denied"},
	} {
		r.source, r.fail = c.dsn, c.fail
		err := r.refused(db)
		if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if checked := r.database.CheckSource(); !errors.Is(checked, c.want) {
			t.Errorf("%s: the check says %v", name, checked)
		}
	}
	r.source, r.fail = r.dsn, nil
	r.ask(db)
}

// rotation is a user whose password changes.
type rotation struct {
	t           *testing.T
	database    *Database
	dsn, source string // what the server takes, and what the source gives
	fail        error
	reads       int
}

func newRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{t: t}
	r.rotate("old-secret")
	r.source = r.dsn
	var err error
	r.database, err = New(r.dsn, Options{SyncWait: "1", Access: Access{Source: func() (string, error) {
		r.reads++
		return r.source, r.fail
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pool opens one of a single connection, and so reads from one goroutine at a time.
func (r *rotation) pool() *sql.DB {
	db := r.database.Open(1, nil)
	r.t.Cleanup(func() { db.Close() })
	return db
}

// rotate changes the password, and ends the connections.
func (r *rotation) rotate(password string) {
	r.t.Helper()
	var err error
	if r.dsn, err = server.Account(context.Background(), "rotated", password); err != nil {
		r.t.Fatal(err)
	}
	if err := server.Disconnect(context.Background(), "rotated"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rotation) ask(db *sql.DB) {
	r.t.Helper()
	if _, err := db.ExecContext(r.t.Context(), "DO 1"); err != nil {
		r.t.Fatal(err)
	}
}

// refused returns the server's refusal, in which there is no secret.
func (r *rotation) refused(db *sql.DB) error {
	r.t.Helper()
	_, err := db.ExecContext(r.t.Context(), "DO 1")
	var e *mysql.MySQLError
	if !errors.As(err, &e) || e.Number != accessDenied || strings.Contains(err.Error(), "secret") {
		r.t.Fatal(err)
	}
	return err
}
