package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/internal/rows"
)

// TestBeside reads a file that another has open, and after it was closed.
func TestBeside(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "log.db")
	if _, err := OpenBeside(ctx, path); err == nil {
		t.Error("a file that is not there was opened")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	s, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := OpenBeside(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	create := func(to storage.Store, origin string) (storage.Log, error) {
		return to.CreateLog(ctx, storage.Log{Instance: origin, Origin: origin, Keys: []string{"k"}, Register: origin, CreatedAt: time.UnixMilli(1).UTC()}, storage.Head{Root: merkle.EmptyRoot()})
	}
	made, err := create(s, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.FindLog(ctx, "a"); err != nil || got.ID != made.ID {
		t.Errorf("%v, %v", got, err)
	}
	if h, err := r.LockedHead(ctx, made.ID); err != nil || h.Size != 0 || h.Root != merkle.EmptyRoot() {
		t.Errorf("%v, %v", h, err)
	}
	if _, err := create(r, "b"); err == nil {
		t.Error("it was written to")
	}
	// The writer is not in the way of a reader in the middle of a transaction, nor
	// the other way round: a lock of the file would fail one of both.
	if _, err := create(s, "c"); err != nil {
		t.Error(err)
	}
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second writer: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Logs(ctx); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	again, err := OpenBeside(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Logs(ctx); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestBesideAnOlderSchema: who reads does not migrate.
func TestBesideAnOlderSchema(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "log.db")
	s, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := connect(path, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`DELETE FROM schema_versions WHERE version = ?`, len(schema().Migrations)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBeside(ctx, path); !errors.Is(err, rows.ErrSchema) {
		t.Error(err)
	}
}
