package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackup: a copy is made beside a server, is whole, and overwrites nothing.
func TestBackup(t *testing.T) {
	dir, to := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := start(t, dir, "--entry-kinds", "raw")
	addMany(t, s, "first", 300)
	first := filepath.Join(to, "first.db")
	out, err := command(t, dir, "backup", "--to", first)
	if err != nil || !strings.Contains(out, ": 300 entries, all of them audited.") || !strings.Contains(out, "The register is not in this backup, on purpose") {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(first); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	was, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	addMany(t, s, "second", 10)
	_, err = command(t, dir, "backup", "--to", first)
	refusedBy(t, err, "first.db is there already, and is not overwritten")
	if now, err := os.ReadFile(first); err != nil || !bytes.Equal(now, was) {
		t.Errorf("it was overwritten: %v", err)
	}
	_, err = command(t, dir, "backup", "--to", filepath.Join(to, "none", "x.db"))
	refusedBy(t, err, "--to", "no such file or directory")
	_, err = command(t, dir, "backup")
	refusedBy(t, err, "give --to")
	s.stop()

	// Put back, the copy is what it says it is.
	for _, more := range []string{"-wal", "-shm"} {
		os.Remove(filepath.Join(dir, "log.db"+more))
	}
	if err := os.WriteFile(filepath.Join(dir, "log.db"), was, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := statusOf(t, dir); r.Exit != statusContradicts || r.Database.Size != 300 || r.Register.Size != 310 {
		t.Errorf("%+v", r)
	}
	_, err = command(t, dir, "backup", "--to", filepath.Join(to, "behind.db"))
	refusedBy(t, err, "no backup was kept", "the database is behind: size 310 was signed")
	if left, err := filepath.Glob(filepath.Join(to, "*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestBackupOfADamagedLog: what does not check is not kept.
func TestBackupOfADamagedLog(t *testing.T) {
	dir, to := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copy.db")
	grows(t, dir, "a", "b")
	db := database(t, dir)
	if _, err := db.ExecContext(t.Context(), `UPDATE entries SET body = x'78' WHERE idx = 1`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := command(t, dir, "backup", "--to", to)
	refusedBy(t, err, "no backup was kept", "entry 1: its row's leaf hash is not that of its bytes")
	if left, err := os.ReadDir(filepath.Dir(to)); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
