//go:build unix

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"indelible/internal/dbtest"
)

// The passwords of a log's database and of its register's change while the log
// takes entries: adds go on when the file has the new one, without a restart and
// without a signal. A DSN that names another database is refused with words.
func TestRotatedPasswords(t *testing.T) {
	db := newMariaDB(t)
	log, register := newAccount(t, db, "log"), newAccount(t, db, "registers")
	args := []string{
		"--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--storage", "mysql",
		"--mysql-dsn-file", log.file, "--register", "mysql:" + register.file,
	}
	must(t, nil, "logserver", append([]string{"init"}, args...)...)
	s := newServer(t, args...)
	s.start()
	s.ready()
	l, c := newLedger(t), s.client(s.vkey())
	stop := l.load(2, c)
	defer stop()
	for _, a := range []*account{log, register} {
		l.grows(1)
		a.rotate()
		s.prints("Access denied for user '" + a.database + "_user'")
		a.write(a.dsn + "_of_another")
		s.prints("/"+a.database+"_of_another", "restart to change that")
		a.write(a.dsn)
		l.grows(1)
		s.ready()
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.prints("the settings were read again")
	stop()
	l.settle(c)
	if said := s.out.String(); strings.Contains(said, "secret") || strings.Contains(said, "take effect after a restart") {
		t.Errorf("it says a password, or asks for a restart:\n%s", said)
	}
	log.write(log.dsn + "_of_another")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.prints(`"setting":"mysql-dsn-file"`)
}

// A witness goes on as well.
func TestRotatedPasswordOfWitness(t *testing.T) {
	a := newAccount(t, newMariaDB(t), "witness")
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	must(t, nil, "logwitness", "keygen", "--name", "witness.example/w1", "--out", key)
	addrs := freeAddrs(t, 2)
	s := &signalled{t: t, admin: addrs[1]}
	s.run("logwitness", []string{
		"serve", "--listen", addrs[0], "--admin", addrs[1], "--key", key, "--data-dir", filepath.Join(dir, "data"),
		"--storage", "mysql", "--mysql-dsn-file", a.file,
	})
	s.readiness(200)
	a.rotate()
	s.readiness(503)
	a.write(a.dsn)
	s.readiness(200)
	s.hangUp("the settings were read again")
	if said := s.out.String(); strings.Contains(said, "secret") || strings.Contains(said, "take effect after a restart") {
		t.Errorf("it says a password, or asks for a restart:\n%s", said)
	}
}

// account is a user of a database, and the file with its DSN.
type account struct {
	t              *testing.T
	db             *dbtest.Server
	database, file string
	dsn            string // what the server takes
}

func newAccount(t *testing.T, db *dbtest.Server, database string) *account {
	t.Helper()
	a := &account{t: t, db: db, database: database, file: filepath.Join(t.TempDir(), "dsn")}
	a.password("old-secret")
	a.write(a.dsn)
	return a
}

func (a *account) password(text string) {
	a.t.Helper()
	var err error
	if a.dsn, err = a.db.Account(context.Background(), a.database, text); err != nil {
		a.t.Fatal(err)
	}
}

// rotate changes the password, and ends the connections.
func (a *account) rotate() {
	a.t.Helper()
	a.password("new-secret")
	if err := a.db.Disconnect(context.Background(), a.database); err != nil {
		a.t.Fatal(err)
	}
}

// write puts a DSN into the file, in one step.
func (a *account) write(dsn string) {
	a.t.Helper()
	next := a.file + ".next"
	if err := os.WriteFile(next, []byte(dsn+"\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(next, a.file); err != nil {
		a.t.Fatal(err)
	}
}
