//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/witness"
	"indelible/witness/register"
	"indelible/witness/sqlstate"
)

// fresh goes to a new folder that has a witness's key, and returns it.
func fresh(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	t.Chdir(root)
	if err := inProcess(t.Context(), new(buffer), "keygen", "--name", "w.example/1"); err != nil {
		t.Fatal(err)
	}
	return root
}

// inProcess runs a command line without a process of its own.
func inProcess(ctx context.Context, out *buffer, args ...string) error {
	return run(ctx, args, func(string) (string, bool) { return "", false }, out, out)
}

// listing is all that is below a folder, with what is in it.
func listing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprint(&b, path)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// failsAndLeavesNothing runs a command line that must fail.
func failsAndLeavesNothing(t *testing.T, root, says string, args ...string) {
	t.Helper()
	before := listing(t, root)
	var out buffer
	if err := inProcess(t.Context(), &out, args...); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, not %q\n%s", strings.Join(args, " "), err, says, out.String())
	}
	if after := listing(t, root); after != before {
		t.Errorf("%s: before\n%sand after\n%s", strings.Join(args, " "), before, after)
	}
}

// starts has a witness start, and stops it.
func starts(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out buffer
	ended := make(chan error, 1)
	go func() { ended <- inProcess(ctx, &out, serving(args...)...) }()
	eventually(t, "the witness runs", func() error {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, out.String())
		default:
		}
		return contains(out.String(), `Witness "w.example/1"`)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// serving is a command line that serves on ports of its own.
func serving(args ...string) []string {
	return append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
}

// taken is an address that another listens on.
func taken(t *testing.T) string {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { on.Close() })
	return on.Addr().String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// feedList writes a list of logs to look at. With it and a folder for evidence
// that cannot be made, a start fails after it made all else.
func feedList(t *testing.T) string {
	t.Helper()
	write(t, "feed", fmt.Sprintf("log %s http://%s\nquorum none\n", newTree(t, "quiet.example").key.Verifier(), taken(t)))
	write(t, "file", "x")
	return "feed"
}

// A start that fails leaves nothing behind, wherever it fails, and removes nothing
// that was there: with the right settings the next one makes the witness.
func TestFailedStartLeavesNothing(t *testing.T) {
	args := func(list ...string) func(*testing.T) []string {
		return func(*testing.T) []string { return list }
	}
	for name, c := range map[string]struct {
		args func(t *testing.T) []string
		says string
	}{
		"port in use":               {func(t *testing.T) []string { return []string{"--listen", taken(t)} }, "in use; give another address with --listen"},
		"admin port in use":         {func(t *testing.T) []string { return []string{"--admin", taken(t)} }, "give another address with --admin"},
		"no certificate":            {args("--tls-cert", "none", "--tls-key", "none"), "none"},
		"no list of logs":           {args("--logs", "none"), "none"},
		"a bad list of logs":        {func(t *testing.T) []string { write(t, "bad", "x"); return []string{"--logs", "bad"} }, "bad"},
		"no list to look at":        {args("--feed", "none"), "none"},
		"a bad list to look at":     {func(t *testing.T) []string { write(t, "bad", "x"); return []string{"--feed", "bad"} }, "bad"},
		"no folder for evidence":    {func(t *testing.T) []string { return []string{"--feed", feedList(t), "--evidence", "file/evidence"} }, "evidence"},
		"no key":                    {args("--key", "none"), "no key none"},
		"no folder of the register": {args("--register", "none/register"), "none/register"},
		"a damaged register":        {func(t *testing.T) []string { write(t, "bad", "x"); return []string{"--register", "bad"} }, "bad"},
		"a register that was there": {func(t *testing.T) []string {
			theirs, err := register.Create("theirs", register.NewID(), func(func(string, witness.Head)) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			theirs.Close()
			return []string{"--register", "theirs", "--feed", feedList(t), "--evidence", "file/evidence"}
		}, "evidence"},
		"the folder is a file": {func(t *testing.T) []string { write(t, "file", "x"); return []string{"--data-dir", "file"} }, "file"},
		"it is below a file":   {func(t *testing.T) []string { write(t, "file", "x"); return []string{"--data-dir", "file/a/b"} }, "data directory"},
		"a folder of one's own": {func(t *testing.T) []string {
			write(t, "own/file", "x")
			return []string{"--data-dir", "own", "--logs", "none"}
		}, "none"},
		"not a database": {func(t *testing.T) []string {
			write(t, "own/witness.db", strings.Repeat("x", 8192))
			return []string{"--data-dir", "own"}
		}, "witness.db"},
		"it cannot be locked": {func(t *testing.T) []string {
			write(t, "own/witness.db.lock/x", "")
			return []string{"--data-dir", "own"}
		}, "lock"},
		"no DSN of the database": {args("--storage", "mysql", "--mysql-dsn-file", "none"), "none"},
	} {
		t.Run(name, func(t *testing.T) {
			root := fresh(t)
			wrong := c.args(t)
			failsAndLeavesNothing(t, root, c.says, serving(wrong...)...)
			starts(t)
		})
	}
}

// The commands beside serve that open the database leave nothing either.
func TestFailedCommandLeavesNothing(t *testing.T) {
	root := fresh(t)
	write(t, "checkpoint", "x")
	failsAndLeavesNothing(t, root, "does not know a log", "accept", "--log", "quiet.example", "--checkpoint", "checkpoint")
	failsAndLeavesNothing(t, root, "none/register", "register", "new", "--register", "none/register")
	failsAndLeavesNothing(t, root, "there is a register", "register", "new", "--register", "checkpoint")
	starts(t)
}

// A database that was there before a start that failed stays, and does not belong
// to a register that was taken back.
func TestFailedStartOverADatabase(t *testing.T) {
	fresh(t)
	write(t, "own/file", "x")
	db, err := sqlstate.OpenSQLite(t.Context(), "own/witness.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	list := feedList(t)
	var out buffer
	if err := inProcess(t.Context(), &out, serving("--data-dir", "own", "--register", "first", "--feed", list, "--evidence", "file/evidence")...); err == nil {
		t.Error("it started")
	}
	if _, err := os.Stat("first"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the register: %v", err)
	}
	starts(t, "--data-dir", "own", "--register", "second")
}

// A start that fails leaves no table either.
func TestFailedStartLeavesNoTable(t *testing.T) {
	server := startMariaDB(t)
	db, err := sql.Open("mysql", server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i, c := range []struct{ name, grant, says string }{
		{"register", "ALL", "none/register"},
		{"evidence", "ALL", "evidence"},
		{"rights", "SELECT, CREATE, DROP", "INSERT command denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fresh(t)
			name, user := fmt.Sprint("first", i), fmt.Sprint("first", i)
			if err := server.Exec(t.Context(), `CREATE DATABASE `+name, `CREATE USER `+user+`@'%'`, `GRANT `+c.grant+` ON `+name+`.* TO `+user+`@'%'`); err != nil {
				t.Fatal(err)
			}
			write(t, "dsn", strings.Replace(server.DSN(name), "root@", user+"@", 1))
			args := []string{"--storage", "mysql", "--mysql-dsn-file", "dsn"}
			wrong := map[string][]string{"register": {"--register", "none/register"}, "evidence": {"--feed", feedList(t), "--evidence", "file/evidence"}}[c.name]
			failsAndLeavesNothing(t, root, c.says, serving(append(wrong, args...)...)...)
			tables := 0
			if err := db.QueryRow(`SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?`, name).Scan(&tables); err != nil || tables != 0 {
				t.Errorf("%d tables, %v", tables, err)
			}
			if err := server.Exec(t.Context(), `GRANT ALL ON `+name+`.* TO `+user+`@'%'`); err != nil {
				t.Fatal(err)
			}
			starts(t, args...)
		})
	}
}

// keygen leaves no key if it cannot write all that belongs to one.
func TestFailedKeygenLeavesNothing(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	write(t, "file", "x")
	write(t, "taken.vkey", "x")
	if err := os.Symlink("none/vkey", "away.vkey"); err != nil {
		t.Fatal(err)
	}
	for out, says := range map[string]string{
		"none/key":               "none/key",
		"file":                   "never overwritten",
		"file/key":               "file/key",
		".":                      "",
		"taken":                  "taken.vkey is there already",
		"away":                   "away.vkey",
		strings.Repeat("n", 252): "no key was made", // with .vkey, it is longer than a file's name may be
	} {
		for _, kind := range []string{"--mldsa=false", "--mldsa"} {
			failsAndLeavesNothing(t, root, says, "keygen", "--name", "w.example/1", "--out", out, kind)
		}
	}
}
