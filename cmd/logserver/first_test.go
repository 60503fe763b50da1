package main

import (
	"bytes"
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
	"time"

	_ "github.com/go-sql-driver/mysql"

	"indelible/guard"
	"indelible/internal/dbtest"
	"indelible/keys"
)

// fresh goes to a new folder, with a home of its own, and returns it.
func fresh(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	t.Chdir(root)
	t.Setenv("HOME", filepath.Join(root, "home"))
	t.Setenv("XDG_STATE_HOME", "")
	if err := os.Mkdir("home", 0o700); err != nil {
		t.Fatal(err)
	}
	return root
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

// fails runs a command line that must fail.
func fails(t *testing.T, says string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out printed
	err := run(ctx, args, func(string) (string, bool) { return "", false }, &out, &out)
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, not %q\n%s", strings.Join(args, " "), err, says, out.String())
	}
}

// anyPorts are addresses with ports that are free.
func anyPorts() []string {
	return []string{"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
}

// taken is an address that somebody listens on.
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

// Wherever a first start or an init fails, it leaves nothing behind and removes
// nothing that was there: with the right settings, another name among them, the
// next one makes the log.
func TestFailedStartLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		args   func(t *testing.T) []string
		serves bool // init does not fail so
		says   string
	}{
		"HTTP port in use":       {func(t *testing.T) []string { return []string{"--http", taken(t)} }, true, "in use; give another address with --http"},
		"gRPC port in use":       {func(t *testing.T) []string { return []string{"--grpc", taken(t)} }, true, "--grpc"},
		"admin port in use":      {func(t *testing.T) []string { return []string{"--admin", taken(t)} }, true, "--admin"},
		"no certificate":         {args("--tls-cert", "none", "--tls-key", "none"), true, "none"},
		"no policy":              {args("--witness-policy", "none"), true, "none"},
		"no password of the key": {args("--log-key-password-file", "none"), false, "none"},
		"no folder of the key":   {args("--log-key", "none/key"), false, "none/key"},
		"no password of Rekor's": {args("--rekor-v1-key-password-file", "none"), false, "none"},
		"no folder of Rekor's":   {args("--rekor-v1-key", "none/key"), false, "none/key"},
		"Rekor's of another type": {func(t *testing.T) []string {
			if _, err := keys.GenerateEd25519("other.key", nil); err != nil {
				t.Fatal(err)
			}
			return []string{"--rekor-v1-key", "other.key"}
		}, false, "other.key"},
		"no ML-DSA folder": {args("--mldsa-key", "none/key"), false, "none/key"},
		"ML-DSA of another type": {func(t *testing.T) []string {
			if _, err := keys.GenerateEd25519("other.key", nil); err != nil {
				t.Fatal(err)
			}
			return []string{"--mldsa-key", "other.key"}
		}, false, "another type"},
		"no folder of the register": {args("--register", "none/register"), false, "none/register"},
		"no DSN of the register":    {args("--register", "mysql:none"), false, "none"},
		"another's register": {func(t *testing.T) []string {
			r, err := guard.CreateFile("theirs", "other.example.com", guard.NewID())
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			return []string{"--register", "theirs"}
		}, false, `of log "other.example.com"`},
		"a damaged register": {func(t *testing.T) []string { write(t, "bad", "x"); return []string{"--register", "bad"} }, false, "bad"},
		"a key without its log": {func(t *testing.T) []string {
			if _, err := keys.GenerateEd25519("old.key", nil); err != nil {
				t.Fatal(err)
			}
			return []string{"--log-key", "old.key"}
		}, false, "--adopt-key"},
		"an invalid key":       {func(t *testing.T) []string { write(t, "bad", "x"); return []string{"--log-key", "bad"} }, false, "name a file that is not there"},
		"the folder is a file": {func(t *testing.T) []string { write(t, "file", "x"); return []string{"--data-dir", "file"} }, false, "data directory"},
		"it is below a file":   {func(t *testing.T) []string { write(t, "file", "x"); return []string{"--data-dir", "file/data"} }, false, "data directory"},
		"an invalid database": {func(t *testing.T) []string {
			write(t, "there/log.db", strings.Repeat("x", 8192))
			return []string{"--data-dir", "there"}
		}, false, "log.db"},
		"it cannot be locked": {func(t *testing.T) []string {
			if err := os.MkdirAll("there/log.db.lock", 0o700); err != nil {
				t.Fatal(err)
			}
			return []string{"--data-dir", "there"}
		}, false, "lock"},
		"no service for the key": {args("--rekor-v1-key", "hashivault://key"), false, "key of the Rekor v1 API"},
	} {
		for _, verb := range []string{"serve", "init"} {
			if verb == "init" && c.serves {
				continue
			}
			t.Run(verb+", "+name, func(t *testing.T) {
				root := fresh(t)
				t.Setenv("VAULT_ADDR", "http://"+taken(t)) // which does not speak
				wrong := c.args(t)
				before := listing(t, root)
				fails(t, c.says, append(append([]string{verb, "--origin", "wrong.example.com"}, anyPorts()...), wrong...)...)
				if after := listing(t, root); after != before {
					t.Errorf("before\n%sand after\n%s", before, after)
				}
				var out bytes.Buffer
				err := run(t.Context(), []string{"init", "--origin", "right.example.com", "--log-key", "right.key"}, func(string) (string, bool) { return "", false }, &out, &out)
				if err != nil || !strings.Contains(out.String(), `Created log "right.example.com"`) {
					t.Fatalf("%v: %s", err, out.String())
				}
				if s := start(t, defaultDir, "--origin", "right.example.com", "--log-key", "right.key"); !strings.Contains(s.banner, `Log "right.example.com"`) {
					t.Error(s.banner)
				}
			})
		}
	}
}

// args are the same in every folder.
func args(list ...string) func(*testing.T) []string {
	return func(*testing.T) []string { return list }
}

// So it is on MySQL, where tables are what could be left.
func TestFailedInitLeavesNoTable(t *testing.T) {
	server, err := dbtest.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	db, err := sql.Open("mysql", server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statements ...string) {
		t.Helper()
		if err := server.Exec(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		name, grant string
		args        []string
		prepare     func()
		says        string
	}{
		{name: "no right to make tables", grant: "SELECT, INSERT, UPDATE, DELETE, DROP", says: "does not take a table"},
		{name: "no right to write", grant: "SELECT, CREATE, DROP, UPDATE, DELETE", says: "no table was made"},
		{name: "read-only", grant: "ALL", says: "read-only", prepare: func() { exec(`SET GLOBAL read_only = 1`) }},
		{name: "no right to change rows", grant: "SELECT, CREATE, DROP, INSERT, DELETE", says: "no table was made"},
		{name: "no folder of the key", grant: "ALL", args: []string{"--log-key", "none/key"}, says: "none/key"},
		{name: "no folder of the register", grant: "ALL", args: []string{"--register", "none/register"}, says: "none/register"},
		{name: "no folder of Rekor's key", grant: "ALL", args: []string{"--rekor-v1-key", "none/key"}, says: "none/key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fresh(t)
			name, user := fmt.Sprint("log", i), fmt.Sprint("user", i)
			exec(`CREATE DATABASE `+name, `CREATE USER `+user+`@'%'`, `GRANT `+c.grant+` ON `+name+`.* TO `+user+`@'%'`)
			if c.prepare != nil {
				c.prepare()
			}
			dsn := strings.Replace(server.DSN(name), "root@", user+"@", 1)
			exec(`CREATE DATABASE register` + fmt.Sprint(i))
			register := filepath.Join(t.TempDir(), "dsn")
			write(t, register, server.DSN(fmt.Sprint("register", i)))
			before := listing(t, root)
			fails(t, c.says, append([]string{"init", "--origin", "wrong.example.com", "--storage", "mysql", "--mysql-dsn", dsn, "--register", "mysql:" + register}, c.args...)...)
			if after := listing(t, root); after != before {
				t.Errorf("before\n%sand after\n%s", before, after)
			}
			tables := 0
			if err := db.QueryRow(`SELECT COUNT(*) FROM information_schema.tables WHERE table_schema IN (?, ?)`, name, fmt.Sprint("register", i)).Scan(&tables); err != nil || tables != 0 {
				t.Errorf("%d tables, %v", tables, err)
			}
			exec(`SET GLOBAL read_only = 0`, `GRANT ALL ON `+name+`.* TO `+user+`@'%'`)
			var out bytes.Buffer
			err := run(t.Context(), []string{"init", "--origin", "right.example.com", "--storage", "mysql", "--mysql-dsn", dsn}, func(string) (string, bool) { return "", false }, &out, &out)
			if err != nil || !strings.Contains(out.String(), `Created log "right.example.com"`) {
				t.Fatalf("%v: %s", err, out.String())
			}
			var logs int
			if err := db.QueryRow(`SELECT COUNT(*) FROM ` + name + `.logs`).Scan(&logs); err != nil || logs != 1 {
				t.Errorf("%d logs, %v", logs, err)
			}
		})
	}
	t.Run("the row is refused", func(t *testing.T) {
		root := fresh(t)
		dsn := server.DSN("log0")
		exec(`CREATE TRIGGER log0.no BEFORE INSERT ON log0.logs FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no row'`)
		before := listing(t, root)
		fails(t, "no row", "init", "--origin", "second.example.com", "--storage", "mysql", "--mysql-dsn", dsn)
		if after := listing(t, root); after != before {
			t.Errorf("before\n%sand after\n%s", before, after)
		}
	})
}
