//go:build unix

package registers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
)

func TestKinds(t *testing.T) {
	for where, want := range map[string]Kind{
		"register": File, "/a/b": File, "./mysql": File, "mysql:/etc/dsn": Database, "s3://b/p": Object, "s3:b": Object,
	} {
		if got, _ := KindOf(where); got != want {
			t.Errorf("%s: %s, not %s", where, got, want)
		}
	}
}

// life is what a log does with a register, wherever it is.
func life(t *testing.T, where string) {
	ctx, id := t.Context(), guard.NewID()
	exists := func(want bool) {
		t.Helper()
		if got, err := Exists(ctx, where, guardtest.Origin); err != nil || got != want {
			t.Fatalf("it exists: %v, %v", got, err)
		}
	}
	exists(false)
	if r, err := Open(ctx, where, guardtest.Origin); !errors.Is(err, fs.ErrNotExist) || r != nil {
		t.Fatalf("%v, %v", r, err)
	}
	first, err := Create(ctx, where, guardtest.Origin, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Close(), Remove(ctx, where, guardtest.Origin, id)); err != nil {
		t.Fatal(err)
	}
	exists(false)
	head, word := guardtest.Head(5), guard.Word{By: "Ada", Why: "a test", Time: 1}
	r, err := Accept(ctx, where, guardtest.Origin, id, head, word)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	exists(true)
	for _, make := range []func() (Register, error){
		func() (Register, error) { return Create(ctx, where, guardtest.Origin, guard.NewID()) },
		func() (Register, error) { return Accept(ctx, where, guardtest.Origin, guard.NewID(), head, word) },
	} {
		if r, err := make(); !errors.Is(err, fs.ErrExist) || r != nil {
			t.Fatalf("%v, %v", r, err)
		}
	}
	if err := r.Advance(ctx, head, guardtest.Head(6)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(ctx, where, guardtest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	state, err := again.Read(ctx)
	if err != nil || state != (guard.State{Newest: guardtest.Head(6), Accepted: word}) || again.ID() != id || again.Origin() != guardtest.Origin {
		t.Fatalf("%v, %v", state, err)
	}
}

func TestFile(t *testing.T) { life(t, filepath.Join(t.TempDir(), "register")) }

func TestDatabase(t *testing.T) {
	server, err := dbtest.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	if err := server.Exec(t.Context(), "CREATE DATABASE registers"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dsn")
	write(t, path, server.DSN("registers")+"\n", 0o600)
	life(t, "mysql:"+path)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := Exists(t.Context(), "mysql:"+path, guardtest.Origin); err == nil {
		t.Fatal("a server that is gone was believed")
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A place that is not right is never taken for one where there is no register.
func TestPlacesThatAreNotRight(t *testing.T) {
	dir := t.TempDir()
	open, two, empty := filepath.Join(dir, "open"), filepath.Join(dir, "two"), filepath.Join(dir, "empty")
	write(t, open, "u:top-secret@tcp(127.0.0.1:1)/d", 0o640)
	write(t, two, "u:top-secret@tcp(127.0.0.1:1)/d\nx", 0o600)
	write(t, empty, "\n", 0o600)
	for where, want := range map[string]string{
		"mysql:" + filepath.Join(dir, "none"): "no such file",
		"mysql:" + open:                       "chmod 600",
		"mysql:" + two:                        "one line",
		"mysql:" + empty:                      "one line",
		"s3:bucket":                           "s3://BUCKET/PREFIX",
		"s3://k:top-secret@bucket":            "AWS_ACCESS_KEY_ID",
	} {
		_, opened := Open(t.Context(), where, guardtest.Origin)
		_, created := Create(t.Context(), where, guardtest.Origin, guard.NewID())
		_, exists := Exists(t.Context(), where, guardtest.Origin)
		for _, err := range []error{opened, created, exists} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "top-secret") {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files, err := dbtest.NewCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := dbtest.Start(context.Background(), files.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	if err := server.Exec(t.Context(), "CREATE DATABASE registers", "CREATE USER app@'%' REQUIRE X509", "GRANT ALL ON registers.* TO app@'%'", "GRANT REPLICATION CLIENT ON *.* TO app@'%'"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "d&s+n%")
	write(t, path, "app@tcp("+server.Addr()+")/registers", 0o600)
	if _, err := Open(t.Context(), "mysql:"+path, guardtest.Origin); err == nil || !strings.Contains(err.Error(), "--mysql-tls-ca") {
		t.Fatal(err)
	}
	where := WithTLS("mysql:"+path, mysqldb.TLS{CA: files.CA, Cert: files.ClientCert, Key: files.ClientKey})
	life(t, where)
	if again := WithTLS(where, mysqldb.TLS{CA: "another"}); again != where {
		t.Errorf("the place's own files were replaced: %s", again)
	}
	if _, err := Open(t.Context(), where+"&tls-x=1", guardtest.Origin); err == nil || !strings.Contains(err.Error(), "no option tls-x") {
		t.Error(err)
	}
}

func TestPlacesWithTLS(t *testing.T) {
	files := mysqldb.TLS{CA: "/a b&c+d%e;f", Key: "k"}
	if _, got, err := databaseAt(strings.TrimPrefix(WithTLS("mysql:/dsn", files), "mysql:")); got.TLS != files {
		t.Errorf("%+v, %v", got, err)
	}
	for _, where := range []string{"register", "s3://b/p"} {
		if got := WithTLS(where, files); got != where {
			t.Errorf("%s became %s", where, got)
		}
	}
	path := filepath.Join(t.TempDir(), "dsn")
	write(t, path, "u:top-secret@tcp(10.0.0.1:1)/d", 0o600)
	if why, err := Exposed("mysql:" + path); err != nil || !strings.Contains(why, "not encrypted") || strings.Contains(why, "top-secret") {
		t.Errorf("%q, %v", why, err)
	}
	if why, err := Exposed(filepath.Join(t.TempDir(), "register")); err != nil || why != "" {
		t.Errorf("%q, %v", why, err)
	}
}
