//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"indelible/internal/dbtest"
)

// replicated is a database with an asynchronous replica, and an address that
// leads to one of the two, as an operator's proxy does.
type replicated struct {
	primary, replica *dbtest.Server
	door             *door
	args             []string // of a log in it
}

func newReplicated(t *testing.T) *replicated {
	t.Helper()
	ctx := context.Background()
	r := &replicated{
		primary: newMariaDB(t, "--server-id=1", "--log-bin=bin", "--sync-binlog=1"),
		replica: newMariaDB(t, "--server-id=2", "--log-bin=bin", "--sync-binlog=1", "--read-only=1"),
	}
	if err := r.replica.Follow(ctx, r.primary); err != nil {
		t.Fatal(err)
	}
	r.door = newDoor(t, r.primary.Addr())
	r.args = mysqlArgs(t, r.primary, "log")
	return r
}

// through are the server's arguments with another address of its database.
func (r *replicated) through(addr string) []string {
	args := make([]string, len(r.args))
	for i, a := range r.args {
		args[i] = strings.Replace(a, r.primary.Addr(), addr, 1)
	}
	return args
}

// caughtUp waits until the replica has so many entries.
func (r *replicated) caughtUp(t *testing.T, n int64) {
	t.Helper()
	eventually(t, "the replica catches up", func() error {
		if entries, head := sizes(t, r.replica, "log"); entries != n || head != n {
			return fmt.Errorf("%d entries, size %d", entries, head)
		}
		return nil
	})
}

// door is a proxy before a database, whose other end can be moved.
type door struct {
	listen net.Listener
	to     atomic.Pointer[string]

	mu   sync.Mutex
	open map[net.Conn]bool
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := &door{listen: l, open: map[net.Conn]bool{}}
	d.to.Store(&to)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go d.pass(conn)
		}
	}()
	return d
}

func (d *door) addr() string { return d.listen.Addr().String() }

func (d *door) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", *d.to.Load())
	if err != nil {
		return
	}
	defer out.Close()
	if !d.let(in, out) {
		return
	}
	go func() {
		io.Copy(in, out)
		in.Close()
	}()
	io.Copy(out, in)
	d.mu.Lock()
	delete(d.open, in)
	d.mu.Unlock()
}

// let notes a connection, unless the door was moved since it was made.
func (d *door) let(in, out net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[in] = out.RemoteAddr().String() == *d.to.Load()
	return d.open[in]
}

// move leads to another server from now on, and ends the connections there are.
func (d *door) move(to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to.Store(&to)
	for c := range d.open {
		c.Close()
	}
}

// TestFailoverThatLosesCommits promotes a replica that lacks what was
// acknowledged last. Nothing may be appended to it or signed from it; the server
// says which case it is, and goes on with the primary that has the commits.
func TestFailoverThatLosesCommits(t *testing.T) {
	for _, runs := range []bool{true, false} {
		t.Run(fmt.Sprintf("running %v", runs), func(t *testing.T) { failoverThatLoses(t, runs) })
	}
}

func failoverThatLoses(t *testing.T, runs bool) {
	ctx := context.Background()
	r := newReplicated(t)
	s := newServer(t, r.through(r.door.addr())...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	r.caughtUp(t, 1)
	if err := r.replica.StopReceiving(ctx); err != nil {
		t.Fatal(err)
	}
	l.addMany(c, 5)
	if !runs {
		s.stop()
	}
	if err := errors.Join(r.primary.Kill(), r.replica.Promote(ctx)); err != nil {
		t.Fatal(err)
	}
	r.door.move(r.replica.Addr())
	knows := "this log has seen size 6"
	if !runs {
		knows = "the register knows that size 6 was signed"
		s.start()
	}
	why := "rollback: the database's tree head has size 1, and " + knows + ": the database was restored from an older copy"
	s.refusesToGoOn(l, c, why)
	s.prints("failed over to a replica that lost commits")
	if entries, head := sizes(t, r.replica, "log"); entries != 1 || head != 1 {
		t.Errorf("something was appended: there are %d entries, and the tree head has size %d", entries, head)
	}
	s.stop()
	status := s.guardStatus(poisoned)
	if !strings.Contains(status, "the database is behind: size 6 was signed") || !strings.Contains(status, "fail over to the server that has the commits") {
		t.Errorf("guard status:\n%s", status)
	}

	// The way out.
	if err := r.primary.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	r.door.move(r.primary.Addr())
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
	must(t, nil, "logserver", append([]string{"guard", "clear", "--reason", "failed back"}, s.args...)...)
	s.start()
	s.ready()
	l.add(c, "after")
	l.settle(c)
	s.stop()
}

// TestFailoverThatLosesNothing promotes a replica that has all: the log goes on
// by itself.
func TestFailoverThatLosesNothing(t *testing.T) {
	ctx := context.Background()
	r := newReplicated(t)
	// Root would go on writing to the primary when it is read-only.
	if err := r.primary.Exec(ctx, "CREATE USER app@'%'", "GRANT ALL ON log.* TO app@'%'", "GRANT REPLICATION CLIENT ON *.* TO app@'%'"); err != nil {
		t.Fatal(err)
	}
	args := r.through(r.door.addr())
	for i, a := range args {
		args[i] = strings.Replace(a, "root@", "app@", 1)
	}
	s := newServer(t, args...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	stop := l.load(8, c)
	eventually(t, "adds", func() error {
		if n := l.len(); n < 100 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	// A planned failover: the primary takes no more, and the replica has all of
	// it before it is promoted.
	if err := r.primary.Exec(ctx, "SET GLOBAL read_only = ON"); err != nil {
		t.Fatal(err)
	}
	_, head := sizes(t, r.primary, "log")
	r.caughtUp(t, head)
	if err := errors.Join(r.replica.Promote(ctx), r.primary.Kill()); err != nil {
		t.Fatal(err)
	}
	r.door.move(r.replica.Addr())
	moved, before := time.Now(), l.len()
	eventually(t, "adds go on", func() error {
		if n := l.len(); n < before+100 {
			return fmt.Errorf("%d entries after %d: %w", n, before, s.readiness())
		}
		return nil
	})
	t.Logf("100 entries within %v of the failover", time.Since(moved).Round(time.Millisecond))
	stop()
	l.settle(c)
	s.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
}

// TestFailoverOfSemiSync kills a primary under load whose commits wait for a
// replica. What the replica received is all that anybody was shown: the log goes on
// by itself.
func TestFailoverOfSemiSync(t *testing.T) {
	ctx := context.Background()
	r := newReplicated(t)
	if err := r.primary.SemiSync(ctx, r.replica); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, r.through(r.door.addr())...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	stop := l.load(8, c)
	l.grows(200)
	if err := errors.Join(r.primary.Kill(), r.replica.Applied(ctx), r.replica.Promote(ctx)); err != nil {
		t.Fatal(err)
	}
	r.door.move(r.replica.Addr())
	l.grows(200)
	stop()
	s.ready()
	l.settle(c)
	s.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
	if status := must(t, nil, "logserver", append([]string{"guard", "status"}, s.args...)...); strings.Contains(status, "behind") || strings.Contains(status, "oisoned") {
		t.Errorf("guard status:\n%s", status)
	}
}

// TestServerOnAReplica points a second server of a healthy log to a replica
// that lags. It says so, and the log is not frozen for what the replica lacks.
func TestServerOnAReplica(t *testing.T) {
	ctx := context.Background()
	r := newReplicated(t)
	s := newServer(t, r.args...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	r.caughtUp(t, 1)
	if err := r.replica.Lag(ctx, 3600); err != nil {
		t.Fatal(err)
	}
	l.add(c, "not on the replica")
	wrong := newServer(t, r.through(r.replica.Addr())...)
	wrong.start()
	wrong.saysUnready("the database server is read-only (read_only is ON): if it is a replica, or was demoted, name the primary in the DSN")
	// One that may be written to, and still lags.
	if err := r.replica.Exec(ctx, "SET GLOBAL read_only = OFF"); err != nil {
		t.Fatal(err)
	}
	wrong.saysUnready("the database server replicates from another at present, and may lack what that one has committed")
	l.add(c, "the log goes on")
	s.ready()
	wrong.stop()
	if entries, head := sizes(t, r.replica, "log"); entries != 1 || head != 1 {
		t.Errorf("something was appended to the replica: there are %d entries, and the tree head has size %d", entries, head)
	}
	// It catches up while a server waits for that. At no moment may it be taken for
	// a primary, which it is not while it does not replicate.
	wrong.start()
	if err := errors.Join(r.replica.Exec(ctx, "SET GLOBAL read_only = ON"), r.replica.Lag(ctx, 0)); err != nil {
		t.Fatal(err)
	}
	reader := wrong.client(s.vkey())
	eventually(t, "the replica's reader sees all", func() error {
		if got, err := reader.Get(ctx, 2); err != nil || string(got.Canonical) != "the log goes on" {
			return fmt.Errorf("entry 2 is %q: %w", got.Canonical, err)
		}
		return nil
	})
	wrong.saysUnready("read_only is ON") // though it serves reads
	wrong.stop()
	l.settle(c)
}

// saysUnready waits until the server says why it is not ready, which must not be
// that the log is poisoned.
func (s *server) saysUnready(why string) {
	s.t.Helper()
	eventually(s.t, "unready: "+why, func() error {
		select {
		case <-s.done:
			s.t.Fatalf("logserver ended:\n%s", tail(s.out.String()))
		default:
		}
		err := s.readiness()
		if err == nil || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("readiness: %w", err)
		}
		if strings.Contains(err.Error(), "poison") {
			s.t.Fatal(err)
		}
		return nil
	})
}
