//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestGuardStatusWithoutTheDatabase: the register is shown while the database is
// away, and while it hangs.
func TestGuardStatusWithoutTheDatabase(t *testing.T) {
	db := newMariaDB(t)
	s := newServer(t, mysqlArgs(t, db, "log")...)
	s.start()
	s.ready()
	c := s.client(s.vkey())
	newLedger(t).add(c, "an entry")
	s.guardStatus(0)
	look := func(code int, state string, more ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(bins, "logserver"), append(append([]string{"guard", "status", "-o", "json"}, s.args...), more...)...)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code {
			t.Fatalf("%v, and not exit code %d: %s", err, code, out)
		}
		var r struct {
			State    string
			Register struct {
				Size  int64
				Error string
			}
			Database struct{ Error string }
		}
		if err := json.Unmarshal(out, &r); err != nil || r.State != state || r.Database.Error == "" || (r.Register.Size == 1) != (r.Register.Error == "") {
			t.Errorf("%v: %s", err, out)
		}
	}
	if err := syscall.Kill(db.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	look(7, "database-unreachable")
	if err := errors.Join(syscall.Kill(db.PID(), syscall.SIGCONT), db.Kill()); err != nil {
		t.Fatal(err)
	}
	look(7, "database-unreachable")
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(db.DSN("register")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look(6, "register-unreachable", "--register", "mysql:"+dsn)
}

// waiting starts a program that waits for its database, and says so.
func waiting(t *testing.T, program string, args ...string) (*exec.Cmd, *buffer) {
	t.Helper()
	out := new(buffer)
	cmd := exec.Command(filepath.Join(bins, program), args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, "it waits", func() error {
		if !strings.Contains(out.String(), waits) {
			return errors.New(out.String())
		}
		return nil
	})
	return cmd, out
}

const (
	waits = "waiting for the database, which cannot be reached"
	ended = "the database answers"
)

// waited demands one line of the beginning and one of the end.
func waited(t *testing.T, out *buffer) {
	t.Helper()
	eventually(t, "it says that the waiting has ended", func() error {
		if text := out.String(); strings.Count(text, waits) != 1 || strings.Count(text, ended) != 1 {
			return errors.New(text)
		}
		return nil
	})
}

// TestWaitForDatabase starts a log, and a witness, before their database.
func TestWaitForDatabase(t *testing.T) {
	db := newMariaDB(t)
	if err := db.Exec(context.Background(), "CREATE DATABASE log", "CREATE DATABASE register", "CREATE DATABASE witness"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, dsn string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{
		"--data-dir", filepath.Join(dir, "data"), "--origin", origin, "--storage", "mysql", "--mysql-dsn-file", file("dsn", db.DSN("log")),
		"--register", "mysql:" + file("register", db.DSN("register")), "--wait-for-database", "3m",
	}
	start := func() {
		if err := db.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		if err := db.Stop(); err != nil {
			t.Fatal(err)
		}
	}

	stop()
	init, out := waiting(t, "logserver", append([]string{"init"}, args...)...)
	start()
	if err := init.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	waited(t, out)

	stop()
	s := newServer(t, args...)
	s.start()
	s.prints(waits)
	start()
	s.ready()
	waited(t, s.out)
	newLedger(t).add(s.client(s.vkey()), "an entry")
	s.stop()

	must(t, nil, "logwitness", "keygen", "--name", "witness.example", "--out", filepath.Join(dir, "witness.key"))
	addrs := freeAddrs(t, 2)
	stop()
	_, out = waiting(t, "logwitness", "serve", "--key", filepath.Join(dir, "witness.key"), "--data-dir", filepath.Join(dir, "w"), "--storage", "mysql",
		"--mysql-dsn-file", file("wdsn", db.DSN("witness")), "--listen", addrs[0], "--admin", addrs[1], "--wait-for-database", "3m")
	start()
	waited(t, out)

	// It ends, and is interrupted.
	stop()
	if out, code := run(t, nil, "logserver", append(args, "--wait-for-database", "1s")...); code != 1 || strings.Count(out, waits) != 1 ||
		!strings.Contains(out, "the wait for the database has ended without it") || !strings.Contains(out, "no answer within --wait-for-database 1s") {
		t.Errorf("exit code %d: %s", code, out)
	}
	cmd, out := waiting(t, "logserver", args...)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "the wait for the database has ended without it") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWrongIsNotWaitedFor: what another try does not cure ends a start at once.
func TestWrongIsNotWaitedFor(t *testing.T) {
	db := newMariaDB(t)
	ctx := context.Background()
	if _, err := db.Account(ctx, "log", "right"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, dsn := range map[string]string{
		"Access denied":    fmt.Sprintf("log_user:wrong@tcp(%s)/log", db.Addr()),
		"Unknown database": db.DSN("none"),
		"no log in it yet": fmt.Sprintf("log_user:right@tcp(%s)/log", db.Addr()),
	} {
		path := filepath.Join(dir, "dsn")
		if err := os.WriteFile(path, []byte(dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		addrs := freeAddrs(t, 3)
		out, code := run(t, nil, "logserver", "--data-dir", filepath.Join(dir, "data"), "--storage", "mysql", "--mysql-dsn-file", path, "--wait-for-database", "1h",
			"--http", addrs[0], "--grpc", addrs[1], "--admin", addrs[2])
		if code != 1 || !strings.Contains(out, name) || strings.Contains(out, waits) {
			t.Errorf("%s: exit code %d: %s", name, code, out)
		}
	}
}
