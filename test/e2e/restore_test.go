//go:build unix

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/internal/dbtest"
)

// TestRestoredMariaDB has operators load a backup, after which entries were
// acknowledged. There is no way on from it that does not contradict what was
// signed, so the server must not find one.
func TestRestoredMariaDB(t *testing.T) {
	db := newMariaDB(t)
	for i, behind := range []int{1, 10_000} { // 10,000: full tiles are missing too
		for j, runs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d behind, running %v", behind, runs), func(t *testing.T) {
				restored(t, db, fmt.Sprintf("log%d%d", i, j), behind, runs)
			})
		}
	}
}

func restored(t *testing.T, db *dbtest.Server, name string, behind int, runs bool) {
	ctx := context.Background()
	s := newServer(t, mysqlArgs(t, db, name)...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	older := dump(t, db, name)
	l.addMany(c, behind)
	newer := dump(t, db, name)
	load := func(backup []byte) {
		t.Helper()
		if err := db.Load(ctx, name, backup); err != nil {
			t.Fatal(err)
		}
	}

	// A server that runs compares with what it saw, one that starts with what
	// the register knows.
	knows := fmt.Sprintf("this log has seen size %d", behind+1)
	if runs {
		load(older)
	} else {
		s.stop()
		load(older)
		s.start()
		knows = fmt.Sprintf("the register knows that size %d was signed", behind+1)
	}
	why := "rollback: the database's tree head has size 1, and " + knows + ": the database was restored from an older copy"
	s.refusesToGoOn(l, c, why)
	s.prints("(a database can be brought forward from a mirror: logserver restore); then logserver fsck, and logserver guard clear")
	s.stop()
	s.start()
	s.refusesToGoOn(l, c, why)
	s.stop()
	clearing := append([]string{"guard", "clear", "--reason", "test"}, s.args...)
	if out, code := run(t, nil, "logserver", clearing...); code != 1 || !strings.Contains(out, "not cleared: the database is behind") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if entries, head := sizes(t, db, name); entries != 1 || head != 1 {
		t.Errorf("something was appended: there are %d entries, and the tree head has size %d", entries, head)
	}

	// The way out that it named.
	load(newer)
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
	must(t, nil, "logserver", clearing...)
	s.start()
	s.ready()
	l.add(c, "after")
	l.settle(c)
	s.stop()
}

func dump(t *testing.T, db *dbtest.Server, name string) []byte {
	t.Helper()
	d, err := db.Dump(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// addMany has so many more entries logged, up to 1,000 a request, however often
// that takes on a busy machine.
func (l *ledger) addMany(c *client.Client, n int) {
	l.t.Helper()
	var entries []client.Entry
	for i := range n {
		entries = append(entries, rawEntry(l.t, fmt.Sprintf("more %d", i)))
	}
	for part := range slices.Chunk(entries, 1000) {
		eventually(l.t, "entries are logged", func() error { return l.addAll(c, part) })
	}
}

// addAll has entries logged by one request. Those that were logged before are
// where they were.
func (l *ledger) addAll(c *client.Client, entries []client.Entry) error {
	outcomes, err := c.AddMany(context.Background(), entries)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		if o.Err != nil {
			return o.Err
		}
		l.promised(string(entries[i].Canonical), o.Logged)
	}
	return nil
}

// refusesToGoOn demands that a server adds nothing, says why, signs nothing
// that contradicts what it signed, and serves its readers.
func (s *server) refusesToGoOn(l *ledger, c *client.Client, why string) {
	s.t.Helper()
	ctx := context.Background()
	eventually(s.t, "an add is answered", func() error {
		var refusal *client.StatusError
		_, err := c.Add(ctx, rawEntry(s.t, "another"))
		if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Message, "the log is poisoned: "+why) {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
	if err := s.readiness(); err == nil || !strings.Contains(err.Error(), why) {
		s.t.Errorf("readiness: %v", err)
	}
	// A server that finds this out when it starts serves its readers after that.
	var shown checkpoint.Opened
	eventually(s.t, "the checkpoint is shown", func() (err error) {
		shown, err = c.Checkpoint(ctx)
		return err
	})
	l.saw(shown)
	s.has(c, 0, "before")
}

// has waits until the server shows an entry, which must be this one.
func (s *server) has(c *client.Client, index int64, want string) {
	s.t.Helper()
	eventually(s.t, "an entry is shown", func() error {
		got, err := c.Get(context.Background(), index)
		if err == nil && string(got.Canonical) != want {
			s.t.Fatalf("entry %d is %q, not %q", index, got.Canonical, want)
		}
		return err
	})
}

// saw notes a checkpoint; one that was never answered before, or another of the
// same size, is a failure.
func (l *ledger) saw(o checkpoint.Opened) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.checkpoints[o.Size]; !ok {
		l.t.Errorf("a checkpoint of size %d is shown, which nobody was answered with", o.Size)
	}
	l.sawLocked(o)
}

// sizes are how many entries a log in a database of its own has, and the size
// that its tree head says.
func sizes(t *testing.T, db *dbtest.Server, name string) (entries, head int64) {
	t.Helper()
	conn, err := sql.Open("mysql", db.DSN(name))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.QueryRow(`SELECT (SELECT COUNT(*) FROM entries), (SELECT MAX(size) FROM tree_heads)`).Scan(&entries, &head); err != nil {
		t.Fatal(err)
	}
	return entries, head
}
