package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// statusOf is what guard status prints as JSON, which it must repeat in its exit code.
func statusOf(t *testing.T, dir string, args ...string) (r statusReport) {
	t.Helper()
	var out printed
	err := commandTo(t, &out, dir, append([]string{"guard", "status", "-o", "json"}, args...)...)
	if broken := json.Unmarshal([]byte(out.String()), &r); broken != nil {
		t.Fatalf("%v, %v: %s", err, broken, out.String())
	}
	if exitCode(err) != r.Exit || statusNames()[r.Exit] != r.State || (len(r.Reasons) == 0) != (r.Exit == 0) {
		t.Errorf("exit code %d of %+v", exitCode(err), r)
	}
	return r
}

// size is the size that a part reports; -1 if it reports none.
func (r headReport) size() int64 {
	if r.Size == nil {
		return -1
	}
	return *r.Size
}

// TestGuardStatusCodes: each state has its exit code, and what can be asked is
// shown, whatever else cannot.
func TestGuardStatusCodes(t *testing.T) {
	dir, older, register := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "register")
	outside := []string{"--register", register}
	grows(t, dir, "a")
	if err := os.Rename(filepath.Join(dir, "register"), register); err != nil {
		t.Fatal(err)
	}
	copyDir(t, dir, older)
	if err := os.Rename(register, filepath.Join(dir, "register")); err != nil {
		t.Fatal(err)
	}
	newest := grows(t, dir, "b", "c")
	if err := os.Rename(filepath.Join(dir, "register"), register); err != nil {
		t.Fatal(err)
	}
	root := hex.EncodeToString(newest.Root[:])

	r := statusOf(t, dir, outside...)
	if r.Exit != statusOK || r.Origin != "log.example.com" || r.Register.size() != 3 || r.Register.Root != root || r.Register.Place != register ||
		r.Database.size() != 3 || r.Database.Root != root || r.Published == nil || r.Published.size() != 3 || r.Server != nil {
		t.Errorf("sound: %+v", r)
	}
	is := func(what string, code int, says string, args ...string) statusReport {
		t.Helper()
		r := statusOf(t, dir, args...)
		if r.Exit != code || !strings.Contains(strings.Join(r.Reasons, "\n"), says) {
			t.Errorf("%s: %+v", what, r)
		}
		return r
	}
	r = is("a register that is gone", statusRegisterLost, "without the register it is not known what the log signed", "--register", filepath.Join(t.TempDir(), "none"))
	if r.Database.size() != 3 || r.Register.size() != -1 || r.Register.Error == "" {
		t.Errorf("%+v", r)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	is("a damaged register", statusRegisterLost, "restore the register from its newest copy", "--register", bad)
	is("a register that cannot be asked", statusRegisterAway, "without its register the log signs nothing", "--register", "s3://bucket/x?endpoint=http://127.0.0.1:1&region=r")

	copyDir(t, older, dir)
	r = is("an older database", statusContradicts, "the database is behind: size 3 was signed", outside...)
	if r.Register.size() != 3 || r.Database.size() != 1 {
		t.Errorf("%+v", r)
	}
	for what, broken := range map[string]func(db string) error{
		"a damaged database": func(db string) error { return os.WriteFile(db, []byte(strings.Repeat("nothing\n", 1024)), 0o600) },
	} {
		if err := broken(filepath.Join(dir, "log.db")); err != nil {
			t.Fatal(err)
		}
		r = is(what, statusDatabaseAway, "not a database", outside...)
		if r.Register.size() != 3 || r.Register.Root != root || r.Database.Error == "" || r.Database.size() != -1 || r.Published != nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	for _, name := range []string{"log.db", "log.db-wal", "log.db-shm"} {
		os.Remove(filepath.Join(dir, name))
	}
	r = is("no database", statusContradicts, "the register knows that size 3 was signed", outside...)
	if r.Register.size() != 3 {
		t.Errorf("%+v", r)
	}
	out, err := command(t, dir, append([]string{"guard", "status"}, outside...)...)
	if exitCode(err) != statusContradicts || !strings.Contains(out, "register   size 3 ") || !strings.Contains(out, "database   not known: there is no log in") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := command(t, filepath.Join(t.TempDir(), "nothing"), "guard", "status"); exitCode(err) != 1 {
		t.Errorf("no log at all: %v", err)
	}
}
