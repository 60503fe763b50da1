//go:build unix

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files are a stopped log's files on SQLite.
type files struct{ dir, db, key, register string }

func stopped(t *testing.T) files {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := newServer(t, "--data-dir", dir, "--origin", origin)
	s.start()
	s.ready()
	newLedger(t).add(s.client(s.vkey()), "x")
	s.stop()
	return files{dir, filepath.Join(dir, "log.db"), filepath.Join(dir, "log.key"), filepath.Join(dir, "register")}
}

// refuses demands that logserver does not start, says why and what to do, and
// changes nothing.
func (f files) refuses(t *testing.T, says string, args ...string) {
	t.Helper()
	before := f.listing(t)
	args = append([]string{"--data-dir", f.dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	out, code := run(t, nil, "logserver", args...)
	if code != 1 || !strings.Contains(out, says) {
		t.Errorf("logserver %s: exit code %d, want 1 and %q:\n%s", strings.Join(args, " "), code, says, out)
	}
	if after := f.listing(t); after != before {
		t.Errorf("it changed the files:\n%s\n%s", before, after)
	}
}

func (f files) listing(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, file := range []string{f.key, f.register} {
		data, err := os.ReadFile(file)
		b.WriteString(file + " " + string(data))
		if err != nil {
			b.WriteString("gone")
		}
	}
	return b.String()
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]func(*testing.T, files){
		"the database is gone": func(t *testing.T, f files) {
			remove(t, f.db, f.db+"-wal", f.db+"-shm")
			f.refuses(t, "signed a tree of size 1, and the database does not hold that log")
		},
		"the register is gone": func(t *testing.T, f files) {
			remove(t, f.register)
			f.refuses(t, "its register ("+f.register+") does not")
		},
		"the key is gone": func(t *testing.T, f files) {
			remove(t, f.key)
			f.refuses(t, "the key of log")
		},
		"only the key is there": func(t *testing.T, f files) {
			remove(t, f.db, f.db+"-wal", f.db+"-shm", f.register)
			f.refuses(t, "no log that it belongs to")
		},
		"another log's key": func(t *testing.T, f files) {
			copyFile(t, stopped(t).key, f.key)
			f.refuses(t, "is not the key of log")
		},
		"another log's register": func(t *testing.T, f files) {
			copyFile(t, stopped(t).register, f.register)
			f.refuses(t, "give the log's own with --register")
		},
		"a corrupt register": func(t *testing.T, f files) {
			data, err := os.ReadFile(f.register)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(f.register, data, 0o600); err != nil {
				t.Fatal(err)
			}
			f.refuses(t, "the register is corrupt")
		},
		"a key that others can read": func(t *testing.T, f files) {
			if err := os.Chmod(f.key, 0o644); err != nil {
				t.Fatal(err)
			}
			f.refuses(t, "chmod")
		},
		"another name":              func(t *testing.T, f files) { f.refuses(t, `holds no log "other"`, "--origin", "other") },
		"a name that cannot be":     func(t *testing.T, f files) { f.refuses(t, "--origin", "--origin", "a b") },
		"a name of Rekor v1's":      func(t *testing.T, f files) { f.refuses(t, "--origin", "--origin", "log - 123") },
		"an unknown setting":        func(t *testing.T, f files) { f.refuses(t, "unknown flag", "--nonsense") },
		"a setting out of range":    func(t *testing.T, f files) { f.refuses(t, "not a size", "--max-body", "many") },
		"an unknown kind":           func(t *testing.T, f files) { f.refuses(t, "not one of", "--entry-kinds", "hashedrekord,nonsense") },
		"mysql without a DSN":       func(t *testing.T, f files) { f.refuses(t, "--mysql-dsn-file", "--storage", "mysql") },
		"a certificate without key": func(t *testing.T, f files) { f.refuses(t, "--tls-key", "--tls-cert", "x") },
	} {
		t.Run(name, func(t *testing.T) { c(t, stopped(t)) })
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "sup3rs3cret"
	f := stopped(t)
	dsn := "app:" + secret + "@tcp(127.0.0.1:1)/db"
	check := func(says, out string) {
		t.Helper()
		if strings.Contains(out, secret) || !strings.Contains(out, says) {
			t.Errorf("want %q and no secret:\n%s", says, out)
		}
	}
	out, _ := run(t, nil, "logserver", "--data-dir", f.dir, "--storage", "mysql", "--mysql-dsn", dsn)
	check("--mysql-dsn-file", out)
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = run(t, nil, "logserver", "--data-dir", f.dir, "--storage", "mysql", "--mysql-dsn-file", file)
	check("app@127.0.0.1:1/db", out)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ = run(t, nil, "logserver", "--data-dir", f.dir, "--storage", "mysql", "--mysql-dsn-file", file)
	check("chmod 600", out)
	out, _ = run(t, []string{"INDELIBLE_STORAGE=mysql", "INDELIBLE_MYSQL_DSN=" + dsn}, "logserver", "config", "check")
	check("app@127.0.0.1:1/db", out)
}

func TestTwoProcessesOnOneDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	a := newServer(t, "--data-dir", dir, "--origin", origin)
	a.start()
	a.ready()
	out, code := run(t, nil, "logserver", "--data-dir", dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if code != 1 || !strings.Contains(out, "another process uses the database (process ") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
}

func TestInitOnMariaDB(t *testing.T) {
	db := newMariaDB(t)
	if err := db.Exec(context.Background(), "CREATE DATABASE empty"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	args := []string{"--data-dir", dir, "--origin", origin, "--storage", "mysql", "--mysql-dsn", db.DSN("empty")}
	out, code := run(t, nil, "logserver", args...)
	if code != 1 || !strings.Contains(out, "logserver init") {
		t.Fatalf("serve on an empty database: exit code %d:\n%s", code, out)
	}
	out = must(t, nil, "logserver", append([]string{"init"}, args...)...)
	if !strings.Contains(out, "Created log") || !strings.Contains(out, "root@"+db.Addr()+"/empty") {
		t.Fatal(out)
	}
	out = must(t, nil, "logserver", append([]string{"init"}, args...)...)
	if !strings.Contains(out, "is there already") {
		t.Fatal(out)
	}
	s := newServer(t, args...)
	s.start()
	s.ready()
	newLedger(t).add(s.client(s.vkey()), "x")
	s.stop()
	// The database replaced by an empty one.
	if err := db.Exec(context.Background(), "DROP DATABASE empty", "CREATE DATABASE empty"); err != nil {
		t.Fatal(err)
	}
	out, code = run(t, nil, "logserver", append([]string{"init"}, args...)...)
	if code != 1 || !strings.Contains(out, "signed a tree of size 1") {
		t.Fatalf("a second history was begun: exit code %d:\n%s", code, out)
	}
}

// An init that was interrupted, before the log's row was written or before the
// key was, is completed by the next.
func TestInterruptedInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	args := []string{"init", "--data-dir", dir, "--origin", origin}
	must(t, nil, "logserver", args...)
	for _, missing := range [][]string{{"log.db"}, {"log.db", "log.key"}} {
		for _, name := range missing {
			remove(t, filepath.Join(dir, name))
		}
		remove(t, filepath.Join(dir, "log.db-wal"), filepath.Join(dir, "log.db-shm"))
		if out := must(t, nil, "logserver", args...); !strings.Contains(out, "Created log") {
			t.Fatal(out)
		}
	}
}

func TestGuardClear(t *testing.T) {
	f := stopped(t)
	older := filepath.Join(t.TempDir(), "older")
	copyFile(t, f.db, older)
	s := newServer(t, "--data-dir", f.dir)
	s.start()
	s.ready()
	c := s.client(s.vkey())
	l := newLedger(t)
	l.add(c, "y")
	s.stop()
	newer := filepath.Join(t.TempDir(), "newer")
	copyFile(t, f.db, newer)

	// Restored from the older copy: poisoned, and not to be cleared.
	copyFile(t, older, f.db)
	s.start()
	eventually(t, "poisoned", func() error {
		if err := s.readiness(); err == nil || !strings.Contains(err.Error(), "rollback") {
			return os.ErrInvalid
		}
		return nil
	})
	s.stop()
	out, code := run(t, nil, "logserver", "guard", "clear", "--reason", "test", "--data-dir", f.dir)
	if code != 1 || !strings.Contains(out, "not cleared: the database is behind") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	if out, code := run(t, nil, "logserver", "guard", "status", "--data-dir", f.dir); code != poisoned || !strings.Contains(out, "Poisoned, says the register: rollback") {
		t.Fatal(out)
	}
	// The newer copy back: cleared, and it goes on.
	copyFile(t, newer, f.db)
	for _, says := range []string{"Cleared at size 2. Reason given: test", "Nothing to clear: the log is not poisoned, and all of its entries (2) check."} {
		if out := must(t, nil, "logserver", "guard", "clear", "--reason", "test", "--data-dir", f.dir); !strings.Contains(out, says) {
			t.Errorf("%s\nand not: %s", out, says)
		}
	}
	s.start()
	s.ready()
	if l.add(c, "z"); l.index["z"] != 2 {
		t.Fatal(l.index)
	}
	s.stop()
	must(t, nil, "logserver", "fsck", "--data-dir", f.dir)
}

// What was accepted is answered, although the server was told to stop.
func TestGracefulStop(t *testing.T) {
	s := newSQLite(t)
	s.start()
	s.ready()
	l := newLedger(t)
	c := s.client(s.vkey())
	stop := l.load(16, c)
	eventually(t, "under load", func() error {
		if l.len() < 100 {
			return os.ErrInvalid
		}
		return nil
	})
	s.stop()
	stop()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.start()
	s.ready()
	l.settle(c)
}
