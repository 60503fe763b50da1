//go:build unix

package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		text string
		mode fs.FileMode
		want string // of the error; empty: there is none
	}{
		{" a secret\n", 0o600, ""},
		{"a secret", 0o400, ""},
		{"a secret", 0o440, "others can read it (mode 0440): chmod 600"},
		{"a secret", 0o640, "others can read it (mode 0640): chmod 600"},
		{"a secret", 0o604, "others can read it (mode 0604): chmod 600"},
		{"two\nlines", 0o600, "must hold one line"},
		{"\n", 0o600, "must hold one line"},
	} {
		path := filepath.Join(dir, "secret")
		os.Remove(path)
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := Line(path)
		if c.want == "" && (err != nil || got != "a secret") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q with mode %o: %q, %v", c.text, c.mode, got, err)
		}
	}
	if _, err := Line(dir); err == nil || !strings.Contains(err.Error(), "is a directory; name a file") {
		t.Error(err)
	}
	if _, err := Line(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestAnotherOwner: the group of a file may read it if another user owns it.
func TestAnotherOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("a secret"), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, os.Geteuid()+1, -1); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		return // only root can give a file away
	}
	if _, err := Line(path); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := Line(path); err == nil {
		t.Error("everybody can read it")
	}
}
