package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"indelible/internal/mysqldb"
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
	if r := statusOf(t, dir); r.Exit != statusContradicts || r.Database.size() != 300 || r.Register.size() != 310 {
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

// TestDumpScript: a dump that fails leaves nothing, and can be run again; one that is
// whole is there alone, and is not overwritten.
func TestDumpScript(t *testing.T) {
	dir, programs := filepath.Join(t.TempDir(), `it's "a" $folder`), t.TempDir()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "log.sql")
	script := dumpScript(mysqldb.Client{MariaDB: true, Database: "indelible"}, filepath.Join(dir, "backup.cnf"), to)
	run := func(does string) (string, error) {
		if err := os.WriteFile(filepath.Join(programs, "mariadb-dump"), []byte("#!/bin/sh\n"+does+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = []string{"PATH=" + programs + ":" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for does, says := range map[string]string{
		"echo half; echo no connection >&2; exit 2": "no connection",
		"echo half":          "the dump is not whole",
		"echo half; kill $$": "",
		"echo half; kill $PPID; echo -- Dump completed": "",
	} {
		out, err := run(does)
		left, none := os.ReadDir(dir)
		if err == nil || !strings.Contains(out, says) || none != nil || len(left) != 0 {
			t.Errorf("%s: %v: %s; it left %v, %v", does, err, out, left, none)
		}
	}
	if out, err := run("echo all; echo -- Dump completed"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if out, err := run("echo another; echo -- Dump completed"); err == nil || !strings.Contains(out, "log.sql is there already, and is not overwritten") {
		t.Errorf("%v: %s", err, out)
	}
	text, err := os.ReadFile(to)
	left, none := os.ReadDir(dir)
	if err != nil || string(text) != "all\n-- Dump completed\n" || none != nil || len(left) != 1 {
		t.Errorf("%q, %v; %v, %v", text, err, left, none)
	}
}

// TestWriteOptions: an option file of somebody else stays, and what cannot be written
// leaves no file with a password.
func TestWriteOptions(t *testing.T) {
	dir := t.TempDir()
	own, other := filepath.Join(dir, "own.cnf"), filepath.Join(dir, "other.cnf")
	if err := os.WriteFile(other, []byte("[client]\nuser=somebody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"password=first\n", "password=second\n"} {
		for _, path := range []string{own, other} {
			if err := writeOptions(path, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text, err := os.ReadFile(own); err != nil || string(text) != ours+"password=second\n" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := os.ReadFile(other); err != nil || strings.Contains(string(text), "password") {
		t.Errorf("%q, %v", text, err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeOptions(folder, "password=third\n"); err == nil {
		t.Error("a folder was taken for an option file")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 3 {
		t.Errorf("%v, %v", left, err)
	}
}
