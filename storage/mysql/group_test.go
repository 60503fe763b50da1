package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"indelible/internal/dbtest"
	"indelible/storage"
)

// A member of a group applies what others committed a while after they did, and
// shows what it has. What a log may be frozen for is never such a read.
func TestLaggingMemberOnGroup(t *testing.T) {
	g := startGroup(t)
	dsn := database(t, g.Members[0], "test")
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
	db, err := sql.Open("mysql", lagging.DSN("test"))
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
func TestConflictsOnGroup(t *testing.T) {
	g := startGroup(t)
	dsn := database(t, g.Members[0], "test")
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
	if h, err := first.LockedHead(t.Context(), l.ID); err != nil || h.Size != 60 {
		t.Errorf("60 appends were committed, and the size is %d, %v", h.Size, err)
	}
}

func startGroup(t *testing.T) *dbtest.Group {
	t.Helper()
	g, err := dbtest.StartGroup(context.Background(), 3, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Remove() })
	return g
}

// openWhenThere opens a database as soon as a member has its tables.
func openWhenThere(t *testing.T, dsn string) *Store {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		s, err := Open(t.Context(), dsn, Options{})
		if err == nil {
			return s
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
