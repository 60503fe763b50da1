package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"indelible/client"
	"indelible/internal/dbtest"
	"indelible/merkle"
)

// space is what a database writes to; it can be used up, and given back.
type space interface {
	fill(t *testing.T)
	free(t *testing.T)
	// readable reports whether the database lives on without space.
	readable() bool
}

// limit is space without being root: no file of a server may grow beyond so
// many bytes. The error is EFBIG then, and not ENOSPC.
type limit struct {
	of    *server
	bytes int64
}

func (l limit) fill(t *testing.T) { l.set(t, strconv.FormatInt(l.bytes, 10)) }
func (l limit) free(t *testing.T) { l.set(t, "unlimited") }

func (limit) readable() bool { return true }

func (l limit) set(t *testing.T, soft string) {
	t.Helper()
	// The hard limit stays: only root could raise it again.
	out, err := exec.Command("prlimit", "--pid", strconv.Itoa(l.of.cmd.Process.Pid), "--fsize="+soft+":").CombinedOutput()
	if err != nil {
		t.Fatalf("prlimit: %v: %s", err, out)
	}
}

// tablespace is the one file that all tables of a MariaDB lie in, and that must
// not grow beyond so many MiB. More is given to it by an operator, who restarts
// the database.
type tablespace struct {
	db *dbtest.Server
}

const tablespaceMiB = 18

func tablespaceOptions(more string) []string {
	return []string{"--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend" + more}
}

func newTablespace(t *testing.T) tablespace {
	return tablespace{newMariaDB(t, tablespaceOptions(fmt.Sprintf(":max:%dM", tablespaceMiB))...)}
}

// fill has nothing to do: entries fill it.
func (tablespace) fill(*testing.T) {}

func (s tablespace) free(t *testing.T) {
	t.Helper()
	s.db.Options(tablespaceOptions("")...)
	startAgain(t, s.db)
}

func (tablespace) readable() bool { return true }

func startAgain(t *testing.T, db *dbtest.Server) {
	t.Helper()
	if err := db.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := db.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// disk is a small file system in memory.
type disk struct{ dir string }

// newDisk mounts a file system. It reports false where we may not.
func newDisk(t *testing.T, size string) (disk, bool) {
	t.Helper()
	d := disk{t.TempDir()}
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size="+size+",mode=0700")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return d, false
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d, true
}

func (d disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill writes until nothing more fits.
func (d disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(d.ballast())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func (d disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}

func (disk) readable() bool { return true }

// mariadbDisk is the disk of a MariaDB, which ends itself on a full one now and
// then, and is started again once there is room.
type mariadbDisk struct {
	disk
	db *dbtest.Server
}

func (d mariadbDisk) free(t *testing.T) {
	t.Helper()
	d.disk.free(t)
	startAgain(t, d.db)
}

func (mariadbDisk) readable() bool { return false }

func TestDiskFullSQLite(t *testing.T) {
	t.Run("a file cannot grow", func(t *testing.T) {
		s := newSQLite(t)
		s.args = append(s.args, patience...)
		fullDisk(t, s, limit{s, 1 << 20})
	})
	if d, ok := newDisk(t, "8m"); ok {
		t.Run("a full file system", func(t *testing.T) {
			s := newServer(t, append([]string{"--data-dir", filepath.Join(d.dir, "data"), "--origin", origin}, patience...)...)
			fullDisk(t, s, d)
		})
	}
}

func TestDiskFullMariaDB(t *testing.T) {
	on := func(t *testing.T, db *dbtest.Server) *server {
		return newServer(t, append(mysqlArgs(t, db, "log"), patience...)...)
	}
	t.Run("a tablespace cannot grow", func(t *testing.T) {
		sp := newTablespace(t)
		fullDisk(t, on(t, sp.db), sp)
	})
	if d, ok := newDisk(t, "160m"); ok {
		t.Run("a full file system", func(t *testing.T) {
			t.Setenv("TMPDIR", d.dir) // the database's folder is made there
			db := newMariaDB(t, "--innodb-log-file-size=4M", "--aria-log-file-size=8M", "--innodb-temp-data-file-path=ibtmp1:4M:autoextend")
			fullDisk(t, on(t, db), mariadbDisk{d, db})
		})
	}
}

// patience is how long an add waits for a database that takes nothing, and a
// stop for such adds.
var patience = []string{"--add-timeout", "500ms", "--shutdown-timeout", "1s"}

// fullDisk uses the database's space up under a running server, and gives it
// back.
func fullDisk(t *testing.T, s *server, sp space) {
	s.start()
	s.ready()
	c := s.client(s.vkey())
	l := newLedger(t)
	l.add(c, "before")
	sp.fill(t)
	refused := s.untilRefused(l, c)
	t.Logf("%d entries fit", l.len())
	stop := l.load(4, c)
	s.addsNothing(l, c)
	if sp.readable() {
		s.readsGoOn(l, c)
	}
	sp.free(t)
	s.recovers(l, c, refused, stop)
}

// untilRefused adds large entries until the database takes one no more, which
// it returns. The answer must say that the same may succeed later.
func (s *server) untilRefused(l *ledger, c *client.Client) string {
	s.t.Helper()
	for i := range 2000 {
		text := fmt.Sprintf("large %d %s", i, strings.Repeat("x", 60_000))
		got, err := c.Add(context.Background(), rawEntry(s.t, text))
		if err == nil {
			l.promised(text, got)
			continue
		}
		var refusal *client.StatusError
		if !errors.As(err, &refusal) || refusal.Status != http.StatusGatewayTimeout || !strings.Contains(refusal.Message, "add it again") {
			s.t.Fatalf("refused with %v", err)
		}
		if !s.wasSlow(c, text) && s.saysWhy(c, text) {
			return text
		}
		l.add(c, text)
	}
	s.t.Fatal("2000 large entries found room")
	return ""
}

// saysWhy demands that an add that is not answered in time is told what the
// server cannot do. The first one after the space was used up may have waited
// for an append that had not failed yet. It reports false where there was room
// in the end: what a database undoes it can use again.
func (s *server) saysWhy(c *client.Client, text string) (cannot bool) {
	s.t.Helper()
	eventually(s.t, "an add is told what the server cannot do", func() error {
		_, err := c.Add(context.Background(), rawEntry(s.t, text))
		var refusal *client.StatusError
		if err == nil {
			return nil
		}
		if cannot = errors.As(err, &refusal) && refusal.Status == http.StatusGatewayTimeout && strings.Contains(refusal.Message, ", since the log cannot "); cannot {
			return nil
		}
		return fmt.Errorf("it is told %v", err)
	})
	return cannot
}

// wasSlow reports whether an entry that was not published in time was
// published after all, and the database takes it.
func (s *server) wasSlow(c *client.Client, text string) (slow bool) {
	s.t.Helper()
	eventually(s.t, "an entry is published, or the server says why not", func() error {
		if s.cannotAdd() == nil {
			return nil
		}
		_, err := c.Lookup(context.Background(), merkle.LeafHash([]byte(text)))
		slow = err == nil
		return err
	})
	return slow
}

// cannotAdd demands that the server says that it cannot append, or that it
// cannot publish what it appended.
func (s *server) cannotAdd() error {
	err := s.readiness()
	if err != nil && (strings.Contains(err.Error(), "append to the database: ") || strings.Contains(err.Error(), "publish: ")) {
		return nil
	}
	return fmt.Errorf("readiness says %v", err)
}

// addsNothing demands that a server that cannot write says so, and signs
// nothing beyond what it acknowledged.
func (s *server) addsNothing(l *ledger, c *client.Client) {
	s.t.Helper()
	eventually(s.t, "the server says what it cannot do", s.cannotAdd)
	// A small entry may have fitted, whose client has not heard of it yet.
	eventually(s.t, "the newest checkpoint is one that was acknowledged", func() error {
		newest, err := c.Checkpoint(context.Background())
		if err == nil && newest.Size != l.largest() {
			err = fmt.Errorf("it has size %d, and the last that was acknowledged %d", newest.Size, l.largest())
		}
		return err
	})
}

// readsGoOn demands that a server shows what was acknowledged.
func (s *server) readsGoOn(l *ledger, c *client.Client) {
	s.t.Helper()
	index, _ := l.place("before")
	s.has(c, index, "before")
}

// place is the index that an entry was promised.
func (l *ledger) place(text string) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index, ok := l.index[text]
	return index, ok
}
