//go:build unix

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/internal/dbtest"
)

// hostile makes a database on a server that gives its users every session that
// they should not rely on, and returns a file with an ordinary user's DSN, and
// what makes the server an ordinary one.
func hostile(t *testing.T, db *dbtest.Server, name string) (file string, mend func()) {
	t.Helper()
	if err := db.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	dsn, err := db.User(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	var backs []func() error
	for _, setting := range db.Hostile() {
		back, err := db.Set(t.Context(), setting)
		if err != nil {
			t.Fatal(err)
		}
		backs = append([]func() error{back}, backs...)
	}
	return file, func() {
		var errs []error
		for _, back := range backs {
			errs = append(errs, back())
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
}

// On servers whose sessions commit nothing, cut answers and refuse to write, the
// log and its register work as on any other: adding again finds what is there,
// the audit finds nothing, and a log that is put back is told by its register.
func TestHostileServers(t *testing.T) {
	db, registers := newMariaDB(t), newMariaDB(t)
	dsn, mend := hostile(t, db, "log")
	register, mendRegister := hostile(t, registers, "registers")
	args := []string{
		"--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--storage", "mysql", "--mysql-dsn-file", dsn,
		"--register", "mysql:" + register,
	}
	must(t, nil, "logserver", append([]string{"init"}, args...)...)
	s := newServer(t, args...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	for range 2 {
		stop := l.load(16, c) // batches of many
		l.grows(100)
		stop()
	}
	for i := 1; i <= 50; i++ {
		l.add(c, fmt.Sprint("entry ", i)) // they are there, or the ledger complains
	}
	l.settle(c)
	s.stop()
	if out := must(t, nil, "logserver", append([]string{"fsck"}, args...)...); strings.Contains(out, "not there") {
		t.Error(out)
	}

	mend() // for mariadb-dump
	older := dump(t, db, "log")
	s.start()
	s.ready()
	l.add(c, "one more")
	size := l.largest()
	mendRegister()
	if got := registered(t, registers); got != size {
		t.Errorf("another connection sees that size %d is registered, not %d", got, size)
	}
	s.stop()
	if err := db.Load(context.Background(), "log", older); err != nil {
		t.Fatal(err)
	}
	s.start()
	eventually(t, "readiness says that the log went back", func() error {
		if err := s.readiness(); err == nil || !strings.Contains(err.Error(), "rollback") {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
}

// registered is the size that a register's row has for who asks the server.
func registered(t *testing.T, db *dbtest.Server) (size int64) {
	t.Helper()
	pool, err := sql.Open("mysql", db.DSN("registers"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.QueryRowContext(t.Context(), "SELECT size FROM indelible_registers").Scan(&size); err != nil {
		t.Fatal(err)
	}
	return size
}

// What only an administrator can set is demanded before anything is made.
func TestDemandedSettings(t *testing.T) {
	db := newMariaDB(t, "--log-bin", "--server-id=1", "--binlog-format=STATEMENT")
	if err := db.Exec(t.Context(), "CREATE DATABASE log"); err != nil {
		t.Fatal(err)
	}
	dir, why := filepath.Join(t.TempDir(), "data"), "binlog_format is STATEMENT, and must be ROW or MIXED"
	args := []string{"--data-dir", dir, "--origin", origin, "--storage", "mysql", "--mysql-dsn", db.DSN("log")}
	if out, code := run(t, nil, "logserver", append([]string{"init"}, args...)...); code != 1 || !strings.Contains(out, why) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if files, err := os.ReadDir(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left its folder, with %v: %v", files, err)
	}
	if left, err := db.Dump(t.Context(), "log"); err != nil || strings.Contains(string(left), "CREATE TABLE") {
		t.Errorf("it left tables: %v", err)
	}
	// The same of a log that is there.
	back, err := db.Set(t.Context(), "binlog_format = 'ROW'")
	if err != nil {
		t.Fatal(err)
	}
	must(t, nil, "logserver", append([]string{"init"}, args...)...)
	if err := back(); err != nil {
		t.Fatal(err)
	}
	newServer(t, args...).refusesStart(why)
}
