//go:build unix

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/client"
)

// copies are a log on SQLite, with copies of its database and register from
// when it had so many entries.
type copies struct {
	*server
	ledger *ledger
	dir    string
}

func newCopies(t *testing.T, sizes ...int) *copies {
	t.Helper()
	c := &copies{dir: filepath.Join(t.TempDir(), "data"), ledger: newLedger(t)}
	c.server = newServer(t, "--data-dir", c.dir, "--origin", origin)
	for _, size := range sizes {
		c.grow(t, size)
		copyFile(t, c.path("log.db"), c.path(fmt.Sprint("log.db.", size)))
		copyFile(t, c.path("register"), c.path(fmt.Sprint("register.", size)))
	}
	return c
}

func (c *copies) path(name string) string { return filepath.Join(c.dir, name) }

// grow runs the server until the log has so many entries, and then leaves a
// mirror of it.
func (c *copies) grow(t *testing.T, size int) {
	t.Helper()
	c.start()
	c.ready()
	c.ledger.addUpTo(c.client(c.vkey()), size)
	saveMirror(t, c.server, c.path(fmt.Sprint("mirror.", size)))
	c.stop()
}

// put brings the copies back from when the log had so many entries.
func (c *copies) put(t *testing.T, database, register int) {
	t.Helper()
	remove(t, c.path("log.db-wal"), c.path("log.db-shm"))
	copyFile(t, c.path(fmt.Sprint("log.db.", database)), c.path("log.db"))
	copyFile(t, c.path(fmt.Sprint("register.", register)), c.path("register"))
}

// restores runs logserver restore, and demands what it says.
func (c *copies) restores(t *testing.T, from string, code int, says ...string) {
	t.Helper()
	out, got := run(t, nil, "logserver", append([]string{"restore", "--from", from}, c.args...)...)
	for _, s := range says {
		if got != code || !strings.Contains(out, s) {
			t.Fatalf("exit code %d, want %d and %q:\n%s", got, code, s, out)
		}
	}
}

func (c *copies) goesOn(t *testing.T, at int64) {
	t.Helper()
	c.start()
	c.ready()
	cl := c.client(c.vkey())
	c.ledger.add(cl, "after")
	if got := c.ledger.index["after"]; got != at {
		t.Errorf("the next entry is number %d, not %d", got, at)
	}
	c.ledger.settle(cl)
	c.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, c.args...)...)
}

// Database and register are restored together, so that neither knows. The
// mirror has a checkpoint that the log's key signed.
func TestRestoreBeyondTheRegister(t *testing.T) {
	c := newCopies(t, 3, 5, 600)
	c.put(t, 3, 5)
	c.restores(t, c.path("mirror.600"), 0, "Brought the database forward, from 3 entries to 600", "\nNext: start the server.")
	c.goesOn(t, 600)
}

// The register is lost as well: the mirror's checkpoint says where to go.
func TestRestoreWithoutRegister(t *testing.T) {
	c := newCopies(t, 3, 600)
	c.put(t, 3, 3)
	remove(t, c.path("register"))
	mirror := c.path("mirror.600")
	c.restores(t, mirror, 0, "Brought the database forward, from 3 entries to 600", "\nNext: logserver guard accept, since the register is lost;")
	head := c.ledger.checkpoints[600]
	must(t, nil, "logserver", append([]string{"guard", "accept", "--size", "600", "--root", fmt.Sprintf("%x", head.Root), "--by", "ada", "--reason", "test"}, c.args...)...)
	c.goesOn(t, 600)

	// Nobody knows: nothing is done.
	c.put(t, 3, 3)
	remove(t, c.path("register"), filepath.Join(mirror, "checkpoint"))
	c.restores(t, mirror, 1, "so nothing says what was signed")
	// A register that cannot be read is not one that is lost.
	if err := os.WriteFile(c.path("register"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.restores(t, c.path("mirror.600"), 1, "nothing was written: there is a register, "+c.path("register"))
}

// A mirror of another log, and one whose checkpoint was signed by this log's key
// on another way.
func TestRestoreFromTheWrongMirror(t *testing.T) {
	c, other := newCopies(t, 3, 600), newCopies(t, 700)
	c.put(t, 3, 600)
	c.restores(t, other.path("mirror.700"), 1, "nothing was written: the mirror's checkpoint: ", "not verified")
	c.restores(t, c.path("mirror.3"), 1, "Nothing was written: ", "has not all that was signed; find a mirror that has")
	c.restores(t, c.path("nowhere"), 1, "nowhere\" is neither a URL (http://, https://) nor a directory")
	c.restores(t, "", 1, "give --from")

	// The log forks, since the operator restored both.
	c.put(t, 3, 3)
	c.start()
	c.ready()
	l := newLedger(t)
	for i := range 9 {
		l.add(c.client(c.vkey()), fmt.Sprint("another ", i))
	}
	c.stop()
	c.restores(t, c.path("mirror.600"), 1, "the tree of size 12 that the register knows is not in that of size 600 that the checkpoint of ", "the log signed two histories, and ends here")
	c.restores(t, c.path("mirror.3"), 0, "The database is not behind: it has 12 entries")
}

// A mirror that is a server, whose database is another.
func TestRestoreFromAServer(t *testing.T) {
	c := newCopies(t, 3, 600)
	there := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"))
	dir := there.args[len(there.args)-1]
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.db", "log.key", "register", "rekor-v1.key"} {
		copyFile(t, c.path(name), filepath.Join(dir, name))
	}
	there.start()
	there.ready()
	c.put(t, 3, 600)
	c.restores(t, "http://"+there.http, 0, "Brought the database forward, from 3 entries to 600")
	there.stop()
	c.goesOn(t, 600)
}

// TestRestoredEntriesAreFound: the search index follows a database that was
// brought forward, as it follows appends.
func TestRestoredEntriesAreFound(t *testing.T) {
	s, backup := onSQLite(t)
	s.start()
	s.ready()
	u := newUser(t, s)
	mirror, before, after := filepath.Join(t.TempDir(), "mirror"), u.file("before", "before"), u.file("after", "after")
	u.exits(0, "number 0", "add", before)
	s.stop()
	restore := backup()
	s.start()
	s.ready()
	u.exits(0, "number 1", "add", after)
	saveMirror(t, s, mirror)
	s.stop()
	restore()
	must(t, nil, "logserver", append([]string{"restore", "--from", mirror}, s.args...)...)
	s.start()
	s.ready()
	for i, text := range []string{"before", "after"} {
		digest := sha256.Sum256([]byte(text))
		eventually(t, "what is found of "+text, func() error { return s.finds("sha256:"+hex.EncodeToString(digest[:]), int64(i)) })
	}
	s.stop()
}

// finds searches by an artifact's digest, which one entry has.
func (s *server) finds(digest string, index int64) error {
	c := s.client(s.vkey())
	at, err := c.Checkpoint(s.t.Context())
	if err != nil {
		return err
	}
	for found, err := range c.Search(s.t.Context(), client.Query{By: "artifact", Value: digest}, at) {
		if err != nil {
			return err
		}
		if len(found.Hits) != 1 || found.Hits[0].Index != index {
			return fmt.Errorf("%v, and not entry %d alone", found.Hits, index)
		}
	}
	return nil
}
