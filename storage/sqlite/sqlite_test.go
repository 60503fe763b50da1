package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/storage"
	"indelible/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		s, err := Open(t.Context(), filepath.Join(t.TempDir(), "log.db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%.db") // a name that a URL would read otherwise
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process ") {
		t.Fatalf("a second one opened it: %v", err)
	}
	if w, err := s.Warnings(t.Context()); err != nil || len(w) > 0 {
		t.Fatal(w, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	s, err = Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestASchemaThatIsTooNewIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := connect(path, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO schema_versions VALUES (9, 8)`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	s.Close()
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Fatal(err)
	}
}
