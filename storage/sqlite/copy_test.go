package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"indelible/storage"
)

// TestCopy copies a file that is written to, again and again.
func TestCopy(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	path := filepath.Join(dir, "log.db")
	s, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.CreateLog(ctx, storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for writing.Err() == nil {
			if err := appendOne(t, s, l.ID); err != nil {
				t.Error(err)
				return
			}
		}
	})
	last := int64(0)
	for _, name := range []string{"one", "two", "three"} {
		before, err := s.Head(ctx, l.ID)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := Copy(ctx, path, to); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		r, err := OpenBeside(ctx, to)
		if err != nil {
			t.Fatal(err)
		}
		head, err := r.Head(ctx, l.ID)
		if err != nil || head.Size < before.Size || head.Size < last {
			t.Errorf("the copy has size %d after %d, %v", head.Size, before.Size, err)
		}
		if _, err := r.Entries(ctx, l.ID, 0, head.Size); err != nil {
			t.Error(err)
		}
		last = head.Size
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		for _, more := range []string{"-wal", "-shm", "-journal"} {
			if _, err := os.Stat(to + more); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v", more, err)
			}
		}
	}
	stop()
	wg.Wait()

	// What is there stays, and what fails leaves nothing.
	if err := Copy(ctx, path, filepath.Join(dir, "one")); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	if err := Copy(ctx, filepath.Join(dir, "none.db"), filepath.Join(dir, "four")); err == nil {
		t.Error("a file that is not there was copied")
	}
	if _, err := os.Stat(filepath.Join(dir, "four")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
