package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/storage"
	"indelible/storage/internal/rows"
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

// Rows that somebody else damaged are told from rows that are not there.
func TestDamagedRows(t *testing.T) {
	ctx := t.Context()
	entries := func(s *Store, id int64) error { _, err := s.Entries(ctx, id, 0, 4); return err }
	hashes := func(s *Store, id int64) error { _, err := s.LeafHashes(ctx, id, 0, 4); return err }
	head := func(s *Store, id int64) error { _, err := s.Head(ctx, id); return err }
	find := func(s *Store, id int64) error { _, _, err := s.IndexFind(ctx, id, 7, -1, 10); return err }
	for _, c := range []struct {
		damage string
		read   func(*Store, int64) error
		want   error
	}{
		{`DELETE FROM entries WHERE idx = 1`, entries, storage.ErrCorrupt},
		{`DELETE FROM entries WHERE idx = 0`, hashes, storage.ErrCorrupt},
		{`DELETE FROM entries WHERE idx = 3`, entries, storage.ErrNotFound},
		{`UPDATE entries SET leaf_hash = x'00' WHERE idx = 2`, entries, storage.ErrCorrupt},
		{`UPDATE entries SET leaf_hash = x'00' WHERE idx = 2`, hashes, storage.ErrCorrupt},
		{`UPDATE entries SET leaf_hash = x'00' WHERE idx = 2`, func(s *Store, id int64) error {
			_, err := s.FindLeaves(ctx, id, []storage.Hash{{2}})
			return err
		}, storage.ErrCorrupt},
		{`UPDATE tree_heads SET root = x'00'`, head, storage.ErrCorrupt},
		{`UPDATE tree_heads SET compact_range = x'00'`, head, storage.ErrCorrupt},
		{`UPDATE tiles SET hashes = x'00'`, func(s *Store, id int64) error { _, err := s.Tile(ctx, id, 0, 0); return err }, storage.ErrCorrupt},
		{`UPDATE edges SET hashes = x''`, func(s *Store, id int64) error { _, err := s.Edge(ctx, id, 1); return err }, storage.ErrCorrupt},
		{`UPDATE checkpoints SET root = x'00'`, func(s *Store, id int64) error { _, err := s.Published(ctx, id); return err }, storage.ErrCorrupt},
		{`UPDATE checkpoint_history SET root = x'00'`, func(s *Store, id int64) error {
			_, err := s.PublishedHistory(ctx, id, 0, 1)
			return err
		}, storage.ErrCorrupt},
		{`UPDATE search_rows SET earlier = x'00'`, find, storage.ErrCorrupt},
		{`UPDATE search_rows SET earlier = x'80'`, find, storage.ErrCorrupt},
		{`UPDATE search_rows SET earlier = x'0105'`, find, storage.ErrCorrupt},
		{`UPDATE logs SET vkeys = x'00'`, func(s *Store, id int64) error { _, err := s.FindLog(ctx, "a"); return err }, storage.ErrCorrupt},
	} {
		t.Run(c.damage, func(t *testing.T) {
			s, db, id := filled(t)
			if err := c.read(s, id); err != nil {
				t.Fatal(err)
			}
			if res, err := db.Exec(c.damage); err != nil {
				t.Fatal(err)
			} else if n, _ := res.RowsAffected(); n != 1 {
				t.Fatalf("%d rows damaged", n)
			}
			if err := c.read(s, id); !errors.Is(err, c.want) {
				t.Fatalf("%v, not %v", err, c.want)
			}
		})
	}
}

// TestAnIndexAmongLeftovers: in a database that was restored in parts, rows may
// be newer than the index, and the index be among what is to be deleted. The
// next one is another than all of them.
func TestAnIndexAmongLeftovers(t *testing.T) {
	ctx := t.Context()
	s, db, id := filled(t)
	for _, edit := range []string{
		`INSERT INTO search_rows (index_id, key_hash, last_idx, earlier) SELECT index_id + 1, key_hash, last_idx, earlier FROM search_rows`,
		`INSERT INTO search_leftovers SELECT index_id FROM search_indexes`,
	} {
		if _, err := db.Exec(edit); err != nil {
			t.Fatal(err)
		}
	}
	was, err := s.IndexState(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.IndexReset(ctx, id, was, was.Format)
	if err != nil || st.ID <= was.ID+1 {
		t.Fatalf("%+v after %+v, %v", st, was, err)
	}
	for more := true; more; {
		if more, err = s.IndexSweep(ctx, 100); err != nil {
			t.Fatal(err)
		}
	}
}

// filled is a database with a row in every table, and a handle to damage it by.
func filled(t *testing.T) (*Store, *sql.DB, int64) {
	t.Helper()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "log.db")
	s, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	db, err := connect(path, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l, err := s.CreateLog(ctx, storage.Log{Origin: "a", Keys: []string{"k"}}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.BeginAppend(ctx, l.ID)
	if err != nil {
		t.Fatal(err)
	}
	w := storage.Append{
		Head:  storage.Head{Size: 4, Range: []storage.Hash{{4}}},
		Tiles: []storage.Tile{{Hashes: make([]byte, 8192)}},
		Edges: []storage.Edge{{Level: 1, Hashes: make([]byte, 32)}},
	}
	for i := range 4 {
		w.Entries = append(w.Entries, storage.Entry{Index: int64(i), LeafHash: storage.Hash{byte(i)}, Body: []byte("x")})
	}
	if err := errors.Join(tx.Write(ctx, w), tx.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(ctx, l.ID, storage.Published{Note: []byte("n"), Keep: true}); err != nil {
		t.Fatal(err)
	}
	st, err := s.IndexReset(ctx, l.ID, storage.IndexState{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.IndexAppend(ctx, l.ID, st, 4, []storage.IndexRow{{Key: 7, Index: 2}, {Key: 7, Index: 3}}); err != nil {
		t.Fatal(err)
	}
	return s, db, l.ID
}

// What an index had that was started again is gone after the sweeps, and no more.
func TestSweep(t *testing.T) {
	ctx := t.Context()
	s, db, id := filled(t)
	rows := func() (n int) {
		t.Helper()
		if err := db.QueryRow(`SELECT (SELECT COUNT(*) FROM search_rows) + 100 * (SELECT COUNT(*) FROM search_leftovers)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	was, err := s.IndexState(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var old []storage.IndexRow
	for i := range int64(9) {
		old = append(old, storage.IndexRow{Key: 10 + i, Index: 4})
	}
	if err := s.IndexAppend(ctx, id, was, 5, old); err != nil {
		t.Fatal(err)
	}
	st, err := s.IndexReset(ctx, id, was, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.IndexAppend(ctx, id, st, 4, old[:2]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{112, 108, 104, 2, 2} {
		if got := rows(); got != want {
			t.Fatalf("%d, not %d", got, want)
		}
		if more, err := s.IndexSweep(ctx, 4); err != nil || more != (want > 2) {
			t.Fatal(more, err)
		}
	}
}

// A migration whose lease another process took stops, and one that ended half
// way is taken up where it was.
func TestMigrationInterrupted(t *testing.T) {
	ctx := t.Context()
	s, db, _ := filled(t)
	next := schema()
	stolen := rows.Migration{Oldest: 1, Statements: []string{
		`CREATE TABLE IF NOT EXISTS extra (id INTEGER PRIMARY KEY) STRICT`,
		`UPDATE schema_lease SET holder = 'somebody else'`,
		`DROP TABLE logs`,
	}}
	next.Migrations = append(next.Migrations, stolen)
	if err := s.Migrate(ctx, next, nil); err == nil || !strings.Contains(err.Error(), "another process took the migration over") {
		t.Fatal(err)
	}
	if err := s.CheckSchema(ctx, next); !errors.Is(err, rows.ErrSchema) {
		t.Fatalf("half a migration counts: %v", err)
	}
	if _, err := s.FindLog(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	// Nobody else has the file: what holds the lease has ended, whenever it runs out.
	if _, err := db.Exec(`UPDATE schema_lease SET expires_at = 1e15`); err != nil {
		t.Fatal(err)
	}
	next.Migrations[len(next.Migrations)-1].Statements = stolen.Statements[:1]
	if err := s.Migrate(ctx, next, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSchema(ctx, next); err != nil {
		t.Fatal(err)
	}
	// A program from before the step still runs: the step allows it.
	if err := s.CheckSchema(ctx, schema()); err != nil {
		t.Fatal(err)
	}
}

// A database that cannot be written to is an error that says where, and what to
// do.
func TestReadOnlyIsExplained(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := connect(path, "mode=ro", 1) // root may write anywhere
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE x (y)")
	if told := remedy(path, fmt.Errorf("create the schema: %w", err)); err == nil || !errors.Is(told, err) || !strings.Contains(told.Error(), "the directory "+filepath.Dir(path)+", ") {
		t.Errorf("%v", told)
	}
	other := errors.New("disk I/O error")
	if told := remedy(path, other); told != other {
		t.Errorf("%v", told)
	}
}
