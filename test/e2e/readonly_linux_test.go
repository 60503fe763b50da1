package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"indelible/client"
)

// A database that an operator has made read-only, as for a switch to another.
func TestReadOnlyMariaDB(t *testing.T) {
	db := newMariaDB(t)
	exec := func(statement string) {
		t.Helper()
		if err := db.Exec(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	args := mysqlArgs(t, db, "log")
	// Users with READ ONLY ADMIN, such as root, write all the same.
	exec("CREATE USER app@localhost IDENTIFIED BY ''")
	exec("GRANT ALL ON log.* TO app@localhost")
	exec("GRANT REPLICATION CLIENT ON *.* TO app@localhost")
	for i, arg := range args {
		args[i] = strings.Replace(arg, "root@", "app@", 1)
	}
	s := newServer(t, append(args, patience...)...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")

	exec("SET GLOBAL read_only=1")
	refused := s.untilRefused(l, c)
	s.addsNothing(l, c)
	s.readsGoOn(l, c)
	s.stop() // it starts on a read-only database as well, for its readers
	s.start()
	eventually(t, "reads after a start", func() error {
		_, err := c.Get(context.Background(), 0)
		return err
	})
	stop := l.load(4, c)
	s.addsNothing(l, c)
	exec("SET GLOBAL read_only=0")
	s.recovers(l, c, refused, stop)
}

// Files that logserver may not write, found at the start: it says which.
func TestReadOnlySQLite(t *testing.T) {
	for name, c := range map[string]struct {
		file func(f files) string
		says string
	}{
		"the directory": {func(f files) string { return f.dir }, "log.db: create the schema: attempt to write a readonly database (1544): the directory "},
		"the database":  {func(f files) string { return f.db }, "log.db: permission denied"},
		"the lock":      {func(f files) string { return f.db + ".lock" }, "log.db.lock: permission denied"},
		"the register":  {func(f files) string { return f.register }, "register: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			f := stopped(t)
			before := f.listing(t)
			protect(t, c.file(f))
			out, code := runAsOwner(t, "--data-dir", f.dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")
			// A register that may not be written is not damaged: no copy helps.
			if code != 1 || !strings.Contains(out, filepath.Join(f.dir, c.says)) || strings.Contains(out, "newest copy") || f.listing(t) != before {
				t.Errorf("exit code %d, want 1 and %q:\n%s", code, c.says, out)
			}
		})
	}
}

// protect takes the right to write away until the test ends.
func protect(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(path, info.Mode().Perm()&^0o222)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(path, info.Mode().Perm()) })
}

// runAsOwner runs logserver without root's right to write what nobody may.
func runAsOwner(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bins, "logserver"), args...)
	if os.Geteuid() == 0 {
		cmd = exec.Command("setpriv", append([]string{"--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search", cmd.Path}, args...)...)
	}
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// recovers demands that a server that can write again goes on by itself, with
// the entry that it refused, under load that stop ends.
func (s *server) recovers(l *ledger, c *client.Client, refused string, stop func()) {
	s.t.Helper()
	eventually(s.t, "adds go on by themselves", func() error {
		if err := s.readiness(); err != nil {
			return err
		}
		_, err := c.Add(context.Background(), rawEntry(s.t, "again"))
		return err
	})
	stop()
	l.add(c, refused)
	l.add(c, "after")
	l.settle(c)
	s.stop()
	must(s.t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
}
