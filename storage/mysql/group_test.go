package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
	"indelible/storage"
)

// TestOnGroup is on a group whose three members all take writes.
func TestOnGroup(t *testing.T) {
	g, err := dbtest.StartGroup(context.Background(), 3, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Remove() })
	t.Run("a member that lags", func(t *testing.T) { laggingMember(t, g) })
	t.Run("conflicts", func(t *testing.T) { conflicts(t, g) })
	t.Run("a lost majority", func(t *testing.T) { lostMajority(t, g) })
	t.Run("a member outside", func(t *testing.T) { memberOutside(t, g) })
}

// A member of a group applies what others committed a while after they did, and
// shows what it has. What a log may be frozen for is never such a read.
func laggingMember(t *testing.T, g *dbtest.Group) {
	dsn := database(t, g.Members[0], "lags")
	there := open(t, dsn)
	defer there.Close()
	l, err := there.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	lagging := g.Members[2]
	dsn = strings.Replace(dsn, g.Members[0].Addr(), lagging.Addr(), 1)
	here := openWhenThere(t, dsn)
	defer here.Close()
	db, err := sql.Open("mysql", lagging.DSN("lags"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	block, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	if _, err := block.ExecContext(t.Context(), `FLUSH TABLES WITH READ LOCK`); err != nil {
		t.Fatal(err)
	}
	if err := appendOne(t.Context(), there, l.ID); err != nil {
		t.Fatal(err)
	}
	if h, err := here.Head(t.Context(), l.ID); err != nil || h.Size != 0 {
		t.Fatalf("the member does not lag: size %d, %v", h.Size, err)
	}
	type read struct {
		head storage.Head
		err  error
	}
	locked := make(chan read, 1)
	go func() {
		h, err := here.LockedHead(t.Context(), l.ID)
		locked <- read{h, err}
	}()
	waiting := func() (n int) {
		if err := db.QueryRow(`SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%hook on transaction begin%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for end := time.Now().Add(time.Minute); waiting() == 0 && len(locked) == 0; {
		if time.Now().After(end) {
			t.Fatal("LockedHead neither waits nor answers")
		}
	}
	if _, err := block.ExecContext(t.Context(), `UNLOCK TABLES`); err != nil {
		t.Fatal(err)
	}
	if r := <-locked; r.err != nil || r.head.Size != 1 {
		t.Errorf("LockedHead answered from the past: size %d, %v", r.head.Size, r.err)
	}
}

// Appends through two members conflict. The one that comes second is told so, and
// has changed nothing.
func conflicts(t *testing.T, g *dbtest.Group) {
	dsn := database(t, g.Members[0], "conflicts")
	first := open(t, dsn)
	defer first.Close()
	l, err := first.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	second := openWhenThere(t, strings.Replace(dsn, g.Members[0].Addr(), g.Members[1].Addr(), 1))
	defer second.Close()
	done := make(chan error)
	for i, s := range []*Store{first, second} {
		go func() {
			added := 0
			for added < 30 {
				err := appendOne(t.Context(), s, l.ID)
				switch {
				case err == nil:
					added++
				case !errors.Is(err, storage.ErrConflict):
					done <- errors.Join(err, context.Cause(t.Context()))
					return
				}
			}
			t.Logf("member %d: %d entries", i, added)
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	leases(t, []*Store{first, second}, l.ID)
	if h, err := first.LockedHead(t.Context(), l.ID); err != nil || h.Size != 60 {
		t.Errorf("60 appends were committed, and the size is %d, %v", h.Size, err)
	}
}

// What two members write at once through a statement of its own is tried again: it
// is the second here as often as it is the first.
func leases(t *testing.T, stores []*Store, logID int64) {
	done := make(chan error)
	for i, s := range stores {
		go func() {
			for range 1000 {
				if _, err := s.Lease(t.Context(), logID, "lease", fmt.Sprint(i), time.Nanosecond); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range stores {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A member that has lost the others begins nothing that would wait for them
// forever, and does so again when they are back.
func lostMajority(t *testing.T, g *dbtest.Group) {
	dsn := database(t, g.Members[0], "alone")
	s := open(t, dsn)
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	freeze := func(frozen bool) {
		if err := errors.Join(g.Freeze(1, frozen), g.Freeze(2, frozen)); err != nil {
			t.Fatal(err)
		}
	}
	freeze(true)
	defer freeze(false)
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return appendOne(ctx, s, l.ID)
	}
	until(t, func() error {
		if err := try(); !errors.Is(err, mysqldb.ErrOutside) {
			return fmt.Errorf("an append: %w", err)
		}
		return nil
	})
	before, err := g.Members[0].Sessions(t.Context())
	for range 20 {
		if err := try(); !errors.Is(err, mysqldb.ErrOutside) {
			t.Fatal(err)
		}
	}
	after, err2 := g.Members[0].Sessions(t.Context())
	if err := errors.Join(err, err2); err != nil || after > before+2 {
		t.Errorf("%d sessions became %d: %v", before, after, err)
	}
	if w, err := s.Warnings(t.Context()); err != nil || !strings.Contains(strings.Join(w, "\n"), "is not ONLINE in the group's majority") {
		t.Errorf("warnings: %v, %v", w, err)
	}
	freeze(false)
	until(t, try)
}

// A member that was started again, and has not joined its group, takes writes like
// any server. It lacks what the group has: nothing is written there, and no log
// is frozen.
func memberOutside(t *testing.T, g *dbtest.Group) {
	dsn := strings.Replace(database(t, g.Members[0], "outside"), g.Members[0].Addr(), g.Members[1].Addr(), 1)
	here := open(t, g.Members[0].DSN("outside"))
	defer here.Close()
	l, err := here.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	there := openWhenThere(t, dsn)
	defer there.Close()
	until(t, func() error { return appendOne(t.Context(), there, l.ID) })
	if err := errors.Join(g.Members[1].Kill(), g.Members[1].Restart(context.Background())); err != nil {
		t.Fatal(err)
	}
	until(t, func() error { return appendOne(t.Context(), here, l.ID) })
	for name, ask := range map[string]func() error{
		"append":      func() error { return appendOne(t.Context(), there, l.ID) },
		"locked head": func() error { _, err := there.LockedHead(t.Context(), l.ID); return err },
		"publish":     func() error { _, err := there.Publish(t.Context(), l.ID, storage.Published{}); return err },
		"poison":      func() error { return there.Poison(t.Context(), l.ID, "reason") },
	} {
		until(t, func() error { // one that was begun before may end otherwise
			err := ask()
			if err == nil {
				t.Fatalf("%s: it was done", name)
			}
			if !errors.Is(err, mysqldb.ErrOutside) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	if err := g.Join(context.Background(), 1, false); err != nil {
		t.Fatal(err)
	}
	until(t, func() error { return appendOne(t.Context(), there, l.ID) })
}

// until tries again what a group refuses for a while.
func until(t *testing.T, do func() error) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// openWhenThere opens a database as soon as a member has its tables.
func openWhenThere(t *testing.T, dsn string) *Store {
	t.Helper()
	var s *Store
	until(t, func() (err error) {
		s, err = Open(t.Context(), dsn, Options{})
		return err
	})
	return s
}
