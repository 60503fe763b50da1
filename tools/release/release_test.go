package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A release has a program, what it is made of, and sums that sha256sum confirms,
// each with a proof that verifies offline, until a file is changed. The next
// release goes on with the same log.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	r := &release{root: "../..", out: filepath.Join(dir, "out"), own: filepath.Join(dir, "log"), programs: []string{"logcli"}, targets: []string{"linux/amd64"}}
	var vkeys [][]byte
	for range 2 {
		var out bytes.Buffer
		if err := r.run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		names, err := files(r.out)
		want := []string{
			"SHA256SUMS", "SHA256SUMS.tlog-proof", "log.vkey", "logcli_linux_amd64", "logcli_linux_amd64.cdx.json",
			"logcli_linux_amd64.cdx.json.tlog-proof", "logcli_linux_amd64.tlog-proof",
		}
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%q, %v", names, err)
		}
		vkey, err := os.ReadFile(filepath.Join(r.out, "log.vkey"))
		if err != nil {
			t.Fatal(err)
		}
		vkeys = append(vkeys, vkey)
	}
	if !bytes.Equal(vkeys[0], vkeys[1]) {
		t.Errorf("two logs: %s%s", vkeys[0], vkeys[1])
	}
	check := exec.Command("sha256sum", "-c", "--strict", "SHA256SUMS")
	check.Dir = r.out
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	logcli := exec.Command("go", "run", "./cmd/logcli", "verify", "--log-key", filepath.Join(r.out, "log.vkey"), filepath.Join(r.out, "SHA256SUMS"))
	logcli.Dir = r.root
	if err := os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte("other sums\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := logcli.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("artifact")) {
		t.Errorf("changed sums: %v\n%s", err, out)
	}
}
