//go:build unix

package sqlitefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// names are the files of a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	opened := func() error { return nil }
	errLocked := errors.New("locked")
	f, err := Open(path, errLocked, opened)
	if err != nil || !f.Made() {
		t.Fatal(f, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Open(path, errLocked, opened); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	f, err = Open(path, errLocked, opened)
	if err != nil || f.Made() {
		t.Fatal(f, err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.WriteFile(path+suffix, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Remove(); err != nil || names(t, dir) != "" {
		t.Errorf("%v; left: %s", err, names(t, dir))
	}
}

func TestFailedOpen(t *testing.T) {
	broken := errors.New("broken")
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	fail := func() error { return broken }
	if _, err := Open(path, nil, fail); !errors.Is(err, broken) || names(t, dir) != "" {
		t.Errorf("%v; left: %s", err, names(t, dir))
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, nil, fail); !errors.Is(err, broken) || names(t, dir) != "db" {
		t.Errorf("%v; left: %s", err, names(t, dir))
	}
	if _, err := Open(filepath.Join(dir, "none", "db"), nil, fail); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
}
