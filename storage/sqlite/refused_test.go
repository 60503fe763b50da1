package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"indelible/storage"
	"indelible/storage/internal/rows"
)

// What SQLite says of rows that it will never take is storage.ErrRefused.
func TestRefused(t *testing.T) {
	for _, harm := range []string{
		`CREATE TRIGGER harm BEFORE INSERT ON entries BEGIN SELECT zeroblob(2000000000); END`,                                      // SQLITE_TOOBIG
		`CREATE TRIGGER harm BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'no'); END`,                                        // SQLITE_CONSTRAINT
		`CREATE TRIGGER harm BEFORE INSERT ON entries BEGIN INSERT INTO tree_heads VALUES ('text', 0, x'', x'', 0); END`,           // SQLITE_MISMATCH
		`CREATE TRIGGER harm BEFORE INSERT ON entries BEGIN INSERT INTO entries VALUES (NEW.log_id, NEW.idx, 0, x'', 0, x''); END`, // a row that is there
	} {
		t.Run(harm, func(t *testing.T) {
			s, db, id := filled(t)
			if _, err := db.Exec(harm); err != nil {
				t.Fatal(err)
			}
			if err := appendOne(t, s, id); !errors.Is(err, storage.ErrRefused) {
				t.Errorf("%v", err)
			}
			if _, err := db.Exec(`DROP TRIGGER harm`); err != nil {
				t.Fatal(err)
			}
			if err := appendOne(t, s, id); err != nil {
				t.Error(err)
			}
		})
	}
}

// A full disk is not: that is tried again.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	first, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := first.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err = errors.Join(err, first.Close()); err != nil {
		t.Fatal(err)
	}
	write, err := connect(path, "_txlock=immediate&_pragma=max_page_count(1)", 1) // as many as there are
	if err != nil {
		t.Fatal(err)
	}
	s := rows.New(write, write, dialect(path))
	defer s.Close()
	for err = nil; err == nil; err = appendOne(t, s, l.ID) {
	}
	if errors.Is(err, storage.ErrRefused) || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
}

// appendOne appends an entry of four pages.
func appendOne(t *testing.T, s storage.Store, logID int64) error {
	t.Helper()
	tx, err := s.BeginAppend(t.Context(), logID)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	head := tx.Head()
	w := storage.Append{
		Entries: []storage.Entry{{Index: head.Size, LeafHash: storage.Hash{9}, IntegratedAt: head.IntegratedAt, Body: make([]byte, 16384)}},
		Head:    storage.Head{Size: head.Size + 1, IntegratedAt: head.IntegratedAt},
	}
	if err := tx.Write(t.Context(), w); err != nil {
		return err
	}
	return tx.Commit(t.Context())
}
