package registers

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// logserver builds the program, and returns how to run it to its end.
func logserver(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "logserver")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/logserver")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput()
		return string(out), err
	}
}

// A log whose register is an object: it is made once, found again, and without
// it the log does not start.
func TestProgram(t *testing.T) {
	s, run := newStore(t), logserver(t)
	dir, other := t.TempDir(), t.TempDir()
	in := func(dir string, args ...string) []string {
		return append(args, "--data-dir", dir, "--origin", "log.example", "--register", s.where())
	}
	if out, err := run(in(dir, "init")...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(in(dir, "fsck")...); err != nil || !strings.Contains(out, "0 entries") {
		t.Fatalf("%v: %s", err, out)
	}
	if r := (&object{s}); r.Put(nil) != nil {
		t.Fatal("the store takes nothing")
	}
	if out, err := run(in(dir, "fsck")...); err == nil || !strings.Contains(out, "restore the register from its newest copy") {
		t.Fatalf("a register that is corrupt: %v: %s", err, out)
	}
	if out, err := run(in(other, "init")...); err == nil || !strings.Contains(out, "corrupt") {
		t.Fatalf("a new log over a register that is corrupt: %v: %s", err, out)
	}
	s.set(func() { s.cut = true })
	for _, dir := range []string{dir, other} {
		if out, err := run(in(dir, "init")...); err == nil || strings.Contains(out, "Created") {
			t.Fatalf("a store that cannot be reached: %v: %s", err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(other, "log.key")); err == nil {
		t.Fatal("a key was made for a log without a register")
	}
	if _, err := http.Get(s.server.URL); err == nil {
		t.Fatal("the store was reached")
	}
}
