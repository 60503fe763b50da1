package database

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/internal/dbtest"
	"indelible/internal/mysqldb"
)

// A replica that takes writes is no place for a register.
func TestReplicaThatTakesWrites(t *testing.T) {
	primary := start(t, "--log-bin", "--server-id=1")
	replica := start(t, "--server-id=2")
	dsn := newDatabase(t, primary, "registers")
	r := create(t, dsn, guardtest.Origin)
	if err := replica.Follow(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	there := strings.Replace(dsn, primary.Addr(), replica.Addr(), 1)
	open := func() (err error) {
		if r, err = Open(t.Context(), there, mysqldb.Access{}, guardtest.Origin); err == nil {
			r.Close()
		}
		return err
	}
	const want = "the server replicates from another at present ("
	err := open()
	for end := time.Now().Add(2 * time.Minute); (err == nil || !strings.Contains(err.Error(), want)) && time.Now().Before(end); {
		err = open() // it comes up to date
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatal(err)
	}
	if err := replica.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
}

// Sessions that do not wait for other nodes stand for a node that wrongly thinks
// that it has seen everything.
func TestConfirmedOnGalera(t *testing.T) {
	cluster, err := dbtest.StartCluster(context.Background(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Remove() })
	dsn := newDatabase(t, cluster.Nodes[0], "registers")
	r := create(t, dsn, guardtest.Origin)
	other := careless(t, strings.Replace(dsn, cluster.Nodes[0].Addr(), cluster.Nodes[1].Addr(), 1))
	burden(t, cluster.Nodes[0])
	stale, newest, last := 0, guard.Empty(), error(nil)
	end := time.Now().Add(3 * time.Minute)
	for size := int64(1); size <= 300 || stale == 0 && time.Now().Before(end); size++ {
		advance(t, r, newest, guardtest.Head(size))
		newest = guardtest.Head(size)
		loaded, err := other.Load(t.Context())
		if err != nil {
			last = err
			continue // not now, it says
		}
		confirmed, err := other.Confirm(t.Context())
		if err != nil {
			last = err
			continue
		}
		if confirmed.State.Newest != newest {
			t.Fatalf("it confirmed size %d, not %d", confirmed.State.Newest.Size, size)
		}
		if loaded.State.Newest != newest {
			stale++
		}
	}
	t.Logf("%d plain reads were stale; the last error was: %v", stale, last)
	if stale == 0 {
		t.Error("no read was stale and then confirmed, so nothing was tried")
	}
}

// advance advances a register in a cluster, which may refuse it for a moment: a
// machine that stands still for a second makes the nodes look for each other.
func advance(t *testing.T, r *guard.Shared, from, to guard.Head) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		err := r.Advance(t.Context(), from, to)
		if err == nil {
			return
		}
		if state, err := r.Read(t.Context()); err == nil && state.Newest == to {
			return // it was done, and the answer was lost
		}
		if errors.Is(err, guard.ErrCorrupt) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// burden gives the other nodes so much to apply that they fall behind.
func burden(t *testing.T, node *dbtest.Server) {
	t.Helper()
	db := direct(t, newDatabase(t, node, "burden"))
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ballast (id BIGINT AUTO_INCREMENT PRIMARY KEY, x CHAR(200))"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := db.ExecContext(ctx, "INSERT INTO ballast (x) SELECT REPEAT('x', 200) FROM seq_1_to_5000"); err != nil {
				<-time.After(10 * time.Millisecond) // not now, the cluster says
			}
		}
	})
}

// careless is a row whose sessions wait for no other node.
func careless(t *testing.T, dsn string) *row {
	t.Helper()
	var c *row
	var err error
	for end := time.Now().Add(2 * time.Minute); ; {
		if c, err = connect(t.Context(), dsn, mysqldb.Access{}, guardtest.Origin); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.read.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := mysqldb.New(dsn, mysqldb.Options{AnswerWithin: answerWithin, Interpolate: true, SyncWait: "0"})
	if err != nil {
		t.Fatal(err)
	}
	c.read = d.Open(4, nil)
	return c
}
