//go:build unix

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/client"
	"indelible/internal/dbtest"
)

// kept is a register that tests can put back to how it was, and take away.
type kept struct {
	where string
	save  func(t *testing.T) (restore func())
	lose  func(t *testing.T)
	// cut makes its place unreachable, which a file's is not, and mend takes that
	// back.
	cut, mend func(t *testing.T)
}

func keptInFile(t *testing.T) kept {
	path := filepath.Join(t.TempDir(), "register")
	return kept{
		where: path,
		save: func(t *testing.T) func() {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				// In its place, as a restore does, and not into it.
				if err := errors.Join(os.WriteFile(path+".x", data, 0o600), os.Rename(path+".x", path)); err != nil {
					t.Fatal(err)
				}
			}
		},
		lose: func(t *testing.T) { remove(t, path) },
	}
}

func keptInDatabase(t *testing.T) kept {
	db := newMariaDB(t)
	return keptIn(t, db)
}

func keptIn(t *testing.T, db *dbtest.Server) kept {
	t.Helper()
	ctx := context.Background()
	if err := db.Exec(ctx, "CREATE DATABASE registers"); err != nil {
		t.Fatal(err)
	}
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(db.DSN("registers")), 0o600); err != nil {
		t.Fatal(err)
	}
	return kept{
		where: "mysql:" + dsn,
		save: func(t *testing.T) func() {
			data := dump(t, db, "registers")
			return func() {
				if err := db.Load(ctx, "registers", data); err != nil {
					t.Fatal(err)
				}
			}
		},
		lose: func(t *testing.T) {
			if err := db.Exec(ctx, "DELETE FROM registers.indelible_registers"); err != nil {
				t.Fatal(err)
			}
		},
		cut: func(t *testing.T) {
			if err := db.Stop(); err != nil {
				t.Fatal(err)
			}
		},
		mend: func(t *testing.T) {
			if err := db.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// says demands that an add is not answered with success, and that readiness
// gives the reason.
func (s *server) says(c *client.Client, why string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if got, err := c.Add(ctx, rawEntry(s.t, "an add while "+why)); err == nil {
		s.t.Errorf("it was added as number %d", got.Index)
	}
	eventually(s.t, "readiness says "+why, func() error {
		if err := s.readiness(); err == nil || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
}

// refusesStart demands that the server ends and says why.
func (s *server) refusesStart(why string) {
	s.t.Helper()
	if out, code := run(s.t, nil, "logserver", s.args...); code != 1 || !strings.Contains(out, why) {
		s.t.Errorf("exit code %d, want 1 and %q:\n%s", code, why, tail(out))
	}
}

// What can happen to a register, of each kind, under a server that runs, and
// before one starts.
func TestRegisterStates(t *testing.T) {
	for name, kind := range map[string]func(*testing.T) kept{"file": keptInFile, "database": keptInDatabase, "object": keptInObject} {
		t.Run(name, func(t *testing.T) { registerStates(t, kind(t)) })
	}
}

func registerStates(t *testing.T, k kept) {
	s := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--register", k.where, "--add-timeout", "2s")
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	older := k.save(t)
	l.add(c, "second")
	newest := k.save(t)

	// Lost for a while: nothing is published, and the log goes on when it is back.
	k.lose(t)
	s.says(c, "publish: ")
	newest()
	s.ready()
	l.add(c, "third")
	s.stop()
	newest = k.save(t)

	k.lose(t)
	s.refusesStart("its register (" + k.where + ") does not")
	older()
	s.start()
	s.refusesToGoOn(l, c, "the register is older than the log: ")
	s.stop()
	s.start()
	s.refusesToGoOn(l, c, "the register is older than the log: ")
	s.stop()
	newest()
	s.start()
	s.ready()
	l.settle(c)

	// Put back under a server that runs.
	older()
	s.says(c, "the log is poisoned: ")
	s.stop()
	newest()
	s.refusesNothing(t, l, c)
	s.stop()
}

// refusesNothing clears the log and demands that it goes on.
func (s *server) refusesNothing(t *testing.T, l *ledger, c *client.Client) {
	t.Helper()
	must(t, nil, "logserver", append([]string{"guard", "clear", "--reason", "the newest register is back"}, s.args...)...)
	s.start()
	s.ready()
	l.settle(c)
}

// A register that cannot be reached stops the log for as long, and no longer.
func TestRegisterUnreachable(t *testing.T) {
	for name, kind := range map[string]func(*testing.T) kept{"database": keptInDatabase, "object": keptInObject} {
		t.Run(name, func(t *testing.T) { registerUnreachable(t, kind(t)) })
	}
}

func registerUnreachable(t *testing.T, k kept) {
	s := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--register", k.where, "--add-timeout", "2s")
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	k.cut(t)
	s.says(c, "publish: ")
	s.has(c, 0, "before")
	k.mend(t)
	s.ready()
	l.add(c, "it is back")
	s.stop()
	k.cut(t)
	s.refusesStart("without its register the log signs nothing")
	k.mend(t)
	s.start()
	s.ready()
	l.add(c, "after")
	l.settle(c)
	s.stop()
}

// TestKillSharedRegister kills the database of the register that two replicas
// share, under load: what one of them saw there may be lost, and no log is
// frozen for that.
func TestKillSharedRegister(t *testing.T) {
	logs, registers := newMariaDB(t), newMariaDB(t)
	if err := logs.Exec(t.Context(), "CREATE DATABASE log"); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin,
		"--storage", "mysql", "--mysql-dsn", logs.DSN("log"), "--register", keptIn(t, registers).where,
	}
	must(t, nil, "logserver", append([]string{"init"}, args...)...)
	a, b := newServer(t, args...), newServer(t, args...)
	for _, s := range []*server{a, b} {
		s.start()
		s.ready()
	}
	l := newLedger(t)
	clients := []*client.Client{a.client(a.vkey()), b.client(a.vkey())}
	stop := l.load(8, clients...)
	for range 5 {
		n := l.len()
		eventually(t, "adds", func() error {
			if now := l.len(); now < n+200 {
				return fmt.Errorf("%d entries after %d; %w", now, n, errors.Join(a.readiness(), b.readiness()))
			}
			return nil
		})
		if err := errors.Join(registers.Kill(), registers.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	t.Logf("%d adds", l.len())
	for i, s := range []*server{a, b} {
		s.ready()
		l.settle(clients[i])
		s.stop()
	}
}

// Two replicas that were given different registers: the one that has an older
// copy finds that out, and no two heads of one size are signed.
func TestTwoReplicasWithDifferentRegisters(t *testing.T) {
	db := newMariaDB(t)
	args := mysqlArgs(t, db, "log")
	a := newServer(t, args...)
	a.start()
	a.ready()
	c, l := a.client(a.vkey()), newLedger(t)
	l.add(c, "before")
	dir := args[1]
	copyFile(t, filepath.Join(dir, "register"), filepath.Join(dir, "copy"))
	l.add(c, "second")
	b := newServer(t, append(args[:len(args):len(args)], "--register", filepath.Join(dir, "copy"))...)
	b.start()
	b.refusesToGoOn(l, b.client(a.vkey()), "the register is older than the log: it knows size 1, and a checkpoint of size 2 is published")
	b.stop()
	other := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin)
	must(t, nil, "logserver", append([]string{"init"}, other.args...)...)
	b.args = append(b.args, "--register", filepath.Join(other.args[len(other.args)-3], "register"))
	b.refusesStart("give the log's own with --register")
	// The log itself is well, and servers that have its register go on.
	a.stop()
	a.start()
	a.ready()
	l.add(c, "third")
	l.settle(c)
	a.stop()
}

// Two replicas that were given a copy each of one register, so that neither is
// older when they start: who publishes second finds out, and signs nothing. The
// other goes on, and so do both when they share a register.
func TestTwoReplicasWithCopiesOfARegister(t *testing.T) {
	db := newMariaDB(t)
	args := mysqlArgs(t, db, "log")
	a := newServer(t, args...)
	a.start()
	a.ready()
	c, l := a.client(a.vkey()), newLedger(t)
	l.add(c, "before")
	a.stop()
	register, other := filepath.Join(args[1], "register"), filepath.Join(args[1], "copy")
	copyFile(t, register, other)
	b := newServer(t, append(args[:len(args):len(args)], "--register", other)...)
	for _, s := range []*server{a, b} {
		s.start()
		s.ready()
	}
	cb, why := b.client(a.vkey()), "the register is older than the log: it knows size 1, and a checkpoint of size 2 is published"
	l.add(c, "second")
	b.refusesToGoOn(l, cb, why)
	b.stop()
	b.start()
	b.refusesToGoOn(l, cb, why)
	l.add(c, "third")
	a.stop()
	a.start()
	a.ready()
	l.add(c, "fourth")
	b.stop()
	b.args = append(b.args, "--register", register)
	b.start()
	b.ready()
	l.add(cb, "fifth")
	l.settle(c)
	l.settle(cb)
	a.stop()
	b.stop()
}

// The DSNs of two logs are swapped. They have two names, or one.
func TestTwoMySQLDatabasesSwapped(t *testing.T) {
	db := newMariaDB(t)
	one, two := mysqlArgs(t, db, "one"), mysqlArgs(t, db, "two")
	swapped := newServer(t, append(one[:len(one)-1:len(one)-1], two[len(two)-1])...)
	swapped.refusesStart("is not the key of log")
	swapped.args = append(swapped.args, "--log-key", filepath.Join(two[1], "log.key"))
	swapped.refusesStart("give the log's own with --register")
	swapped.args = append(swapped.args, "--origin", "log2.example")
	swapped.refusesStart(`holds no log "log2.example", but log.example`)
}

// A clock that is far back: nothing is appended until it is right, and the log
// is not poisoned.
func TestClockBack(t *testing.T) {
	db := newMariaDB(t)
	s := newServer(t, mysqlArgs(t, db, "log")...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	conn, err := sql.Open("mysql", db.DSN("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shift := func(ms int64) {
		t.Helper()
		for _, table := range []string{"tree_heads", "entries"} { // what the clock said then was an hour ahead of what it says now
			if _, err := conn.ExecContext(t.Context(), "UPDATE "+table+" SET integrated_at = integrated_at + ?", ms); err != nil {
				t.Fatal(err)
			}
		}
	}
	shift(3600_000)
	eventually(t, "an add is refused", func() error {
		var refusal *client.StatusError
		_, err := c.Add(t.Context(), rawEntry(t, "x"))
		if err == nil {
			t.Fatal("an entry was added an hour before the one before it")
		}
		if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Message, "the clock is wrong") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
	shift(-3600_000)
	l.add(c, "after")
	s.ready()
	l.settle(c)
	s.stop()
}
