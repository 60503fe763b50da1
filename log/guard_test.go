package log

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/sqlite"
)

// onDisk is a log in a SQLite file, whose database and register can be put
// back to older copies.
type onDisk struct {
	dir string
	key Signer
}

func newOnDisk(t *testing.T) onDisk {
	t.Helper()
	d := onDisk{dir: t.TempDir(), key: newKey(t, 1)}
	store := d.openDB(t)
	defer store.Close()
	reg, err := guard.CreateFile(d.registerPath(), testOrigin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	_, err = store.CreateLog(t.Context(), storage.Log{
		Instance: guard.NewID(), Origin: testOrigin, Keys: []string{d.key.Verifier().String()},
		Register: reg.ID(), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d onDisk) dbPath() string       { return filepath.Join(d.dir, "log.db") }
func (d onDisk) registerPath() string { return filepath.Join(d.dir, "register") }

func (d onDisk) openDB(t *testing.T) storage.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), d.dbPath(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// run starts the log on what is on disk now.
func (d onDisk) run(t *testing.T) (*Log, func()) {
	t.Helper()
	store := d.openDB(t)
	reg, err := guard.OpenFile(d.registerPath())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: store, register: reg, path: d.registerPath(), key: d.key}
	l, stop := start(t, w.config(t))
	return l, func() {
		stop()
		reg.Close()
		store.Close()
	}
}

// save copies the closed database or register; the result puts it back.
func save(t *testing.T, path string) (restore func()) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, old := range []string{"-wal", "-shm"} {
			os.Remove(path + old)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (d onDisk) exec(t *testing.T, stmt string) {
	t.Helper()
	db, err := sql.Open("sqlite", d.dbPath())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(stmt); err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
}

func addRange(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		add(t, l, fmt.Sprint("entry ", i))
	}
}

// mustRefuse runs the log and demands that it neither appends nor signs, for
// the reason given, still does not after a restart, and serves readers the
// size that it has.
func (d onDisk) mustRefuse(t *testing.T, reason string, readable int64) {
	t.Helper()
	for run := range 2 {
		before, err := os.ReadFile(d.registerPath())
		if err != nil {
			t.Fatal(err)
		}
		l, stop := d.run(t)
		poll(t, "poisoned", func() bool { return errors.Is(l.Ready(), ErrPoisoned) })
		if err := l.Ready(); !strings.Contains(err.Error(), reason) {
			t.Fatalf("run %d: %v does not say %q", run, err, reason)
		}
		_, err = l.Add(deadline(t), raw(t, "must not be added"))
		if !errors.Is(err, ErrPoisoned) {
			t.Fatalf("run %d: add: %v", run, err)
		}
		if readable >= 0 {
			p, err := l.AwaitNewer(deadline(t), readable-1)
			if err != nil || p.Size != readable {
				t.Fatalf("run %d: readers see size %d, %v", run, p.Size, err)
			}
			checkWhole(t, l)
		}
		h, err := l.cfg.Store.Head(t.Context(), l.cfg.Record.ID)
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := l.cfg.Store.FindLeaves(t.Context(), l.cfg.Record.ID, []merkle.Hash{merkle.LeafHash([]byte("must not be added"))}); len(found) > 0 {
			t.Fatalf("run %d: the entry was appended; size %d", run, h.Size)
		}
		stop()
		after, err := os.ReadFile(d.registerPath())
		if err != nil {
			t.Fatal(err)
		}
		if extra := strings.TrimPrefix(string(after), string(before)); strings.Contains("\n"+extra, "\nhead ") {
			t.Fatalf("run %d: the register moved: %q", run, extra)
		}
	}
}

func TestDatabaseRestoredFromAnOlderCopy(t *testing.T) {
	for _, missing := range []int{1, 300} {
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			d := newOnDisk(t)
			l, stop := d.run(t)
			addRange(t, l, 0, 10)
			stop()
			restore := save(t, d.dbPath())
			l, stop = d.run(t)
			addRange(t, l, 10, 10+missing)
			stop()
			restore()
			d.mustRefuse(t, "rollback", 10)
		})
	}
}

func TestDatabaseThatWentAnotherWay(t *testing.T) {
	for _, c := range []struct{ common, one, other int }{{10, 1, 1}, {10, 5, 300}, {300, 300, 5}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			d := newOnDisk(t)
			l, stop := d.run(t)
			addRange(t, l, 0, c.common)
			stop()
			restoreDB, restoreRegister := save(t, d.dbPath()), save(t, d.registerPath())
			l, stop = d.run(t)
			addRange(t, l, 1000, 1000+c.one)
			stop()
			signed := save(t, d.registerPath())
			restoreDB()
			restoreRegister()
			l, stop = d.run(t)
			addRange(t, l, 2000, 2000+c.other)
			stop()
			signed()
			want := "fork"
			if c.other < c.one {
				want = "rollback"
			}
			d.mustRefuse(t, want, int64(c.common+c.other))
		})
	}
}

func TestRegisterRestoredFromAnOlderCopy(t *testing.T) {
	d := newOnDisk(t)
	l, stop := d.run(t)
	addRange(t, l, 0, 5)
	stop()
	restore := save(t, d.registerPath())
	l, stop = d.run(t)
	addRange(t, l, 5, 7)
	stop()
	restore()
	d.mustRefuse(t, "the register is older than the log", 7)
}

func TestRegisterDeletedWhileRunning(t *testing.T) {
	d := newOnDisk(t)
	l, stop := d.run(t)
	defer stop()
	addRange(t, l, 0, 3)
	keep, err := os.ReadFile(d.registerPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.registerPath()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := l.Add(ctx, raw(t, "late"))
		failed <- err
	}()
	poll(t, "trouble is reported", func() bool {
		err := l.Ready()
		return err != nil && strings.Contains(err.Error(), "register is gone")
	})
	if p, _ := l.Published(); p.Size != 3 {
		t.Fatalf("published size %d without a register", p.Size)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.registerPath(), keep, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := add(t, l, "late"); r.Index != 3 {
		t.Fatalf("%+v", r)
	}
}

func TestCorruptRows(t *testing.T) {
	for _, c := range []struct{ name, stmt, reason string }{
		{"an entry's bytes", `UPDATE entries SET body = x'0102' WHERE idx = 301`, "does not hash"},
		{"an entry is missing", `DELETE FROM entries WHERE idx = 301`, ""},
		{"a leaf hash", `UPDATE entries SET leaf_hash = zeroblob(32) WHERE idx = 290`, ""},
		{"the head's root", `UPDATE tree_heads SET root = zeroblob(32)`, "root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newOnDisk(t)
			l, stop := d.run(t)
			addRange(t, l, 0, 300)
			stop()
			restore := save(t, d.registerPath())
			l, stop = d.run(t)
			addRange(t, l, 300, 305)
			stop()
			// As if the entries had been appended, and the process had died before
			// it read them back.
			restore()
			d.exec(t, `DELETE FROM checkpoints; DELETE FROM checkpoint_history`)
			d.exec(t, c.stmt)
			l, stop = d.run(t)
			defer stop()
			poll(t, "refused", func() bool { err := l.Ready(); return err != nil && !strings.Contains(err.Error(), "starting") })
			if err := l.Ready(); !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v does not say %q", err, c.reason)
			}
			if p, err := l.Published(); err == nil && p.Size > 300 {
				t.Fatalf("published size %d over a corrupt row", p.Size)
			}
			data, err := os.ReadFile(d.registerPath())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "\nhead 305") {
				t.Fatal("a head over a corrupt row was registered")
			}
		})
	}
}

func TestPoisonReachesTheOthersAndSurvives(t *testing.T) {
	d := newOnDisk(t)
	l, stop := d.run(t)
	addRange(t, l, 0, 3)
	if err := l.cfg.Register.Poison(t.Context(), "another replica saw a fork", guard.Head{}); err != nil {
		t.Fatal(err)
	}
	poll(t, "poisoned", func() bool { return errors.Is(l.Ready(), ErrPoisoned) })
	stop()
	d.mustRefuse(t, "another replica saw a fork", 3)
	rec := func() storage.Log {
		store := d.openDB(t)
		defer store.Close()
		rec, err := store.FindLog(t.Context(), testOrigin)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}()
	if rec.Poisoned != "another replica saw a fork" {
		t.Fatalf("the database says %q", rec.Poisoned)
	}
}
