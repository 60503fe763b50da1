//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/fsck"
	"indelible/merkle"
)

// saveMirror writes what a server has for its readers into a folder, as a static
// mirror would.
func saveMirror(t testing.TB, s *server, dir string) {
	t.Helper()
	save := func(name string) []byte {
		res, err := http.Get("http://" + s.http + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", name, res.Status, err)
		}
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		return data
	}
	o, err := checkpoint.Open(save("checkpoint"), s.vkey())
	if err != nil {
		t.Fatal(err)
	}
	for level := 0; merkle.HashesAt(level, o.Size) > 0; level++ {
		hashes := merkle.HashesAt(level, o.Size)
		for i := int64(0); i*merkle.TileWidth < hashes; i++ {
			width := int(min(merkle.TileWidth, hashes-i*merkle.TileWidth))
			save(merkle.Tile{Level: level, Index: i, Width: width}.Path())
			if level == 0 {
				save(merkle.Bundle{Index: i, Width: width}.Path())
			}
		}
	}
}

// addUpTo has entries logged until the ledger has so many.
func (l *ledger) addUpTo(c *client.Client, size int) {
	l.t.Helper()
	for l.len() < size {
		l.addSome(c, min(1000, size-l.len()))
	}
}

func (l *ledger) addSome(c *client.Client, n int) {
	l.t.Helper()
	var entries []client.Entry
	for i := range n {
		entries = append(entries, rawEntry(l.t, fmt.Sprintf("entry number %d", l.len()+i)))
	}
	eventually(l.t, "entries are logged", func() error { return l.addAll(c, entries) })
}

// behind is a log whose database was put back to an older copy, and a mirror of
// it from before.
type behind struct {
	*server
	ledger *ledger
	mirror string
	had    int64 // entries of the copy
	has    int64 // of the log
}

func newBehind(t *testing.T, s *server, had, has int, backup func() (restore func())) *behind {
	t.Helper()
	s.start()
	s.ready()
	b := &behind{server: s, ledger: newLedger(t), mirror: filepath.Join(t.TempDir(), "mirror"), had: int64(had), has: int64(has)}
	c := s.client(s.vkey())
	b.ledger.add(c, "before")
	b.ledger.addUpTo(c, had)
	s.stop()
	restore := backup()
	s.start()
	s.ready()
	b.ledger.addUpTo(c, has)
	saveMirror(t, s, b.mirror)
	s.stop()
	restore()
	return b
}

// restore runs logserver restore to its end.
func (b *behind) restore(from string) (string, int) {
	b.t.Helper()
	return run(b.t, nil, "logserver", append([]string{"restore", "--from", from}, b.args...)...)
}

func (b *behind) size(t *testing.T) (size int64) {
	t.Helper()
	out, _ := run(t, nil, "logserver", append([]string{"guard", "status"}, b.args...)...)
	for line := range strings.Lines(out) {
		if _, err := fmt.Sscanf(line, "database   size %d ", &size); err == nil {
			return size
		}
	}
	t.Fatal(out)
	return 0
}

// goesOn demands that the log goes on as if nothing had been.
func (b *behind) goesOn(t *testing.T) {
	t.Helper()
	must(t, nil, "logserver", append([]string{"guard", "clear", "--reason", "brought forward"}, b.args...)...)
	b.start()
	b.ready()
	c := b.client(b.vkey())
	b.ledger.add(c, "after")
	if got := b.ledger.index["after"]; got != b.has {
		t.Errorf("the next entry is number %d, not %d", got, b.has)
	}
	for _, old := range []string{"before", fmt.Sprintf("entry number %d", b.had+1), fmt.Sprintf("entry number %d", b.has-1)} {
		b.ledger.add(c, old) // is where it was
	}
	b.ledger.settle(c)
	b.stop()
}

// onSQLite and onMariaDB are logs whose databases can be put back.
func onSQLite(t *testing.T) (*server, func() func()) {
	dir := filepath.Join(t.TempDir(), "data")
	return newServer(t, "--data-dir", dir, "--origin", origin), func() func() {
		copyFile(t, filepath.Join(dir, "log.db"), filepath.Join(dir, "kept"))
		return func() {
			remove(t, filepath.Join(dir, "log.db-wal"), filepath.Join(dir, "log.db-shm"))
			copyFile(t, filepath.Join(dir, "kept"), filepath.Join(dir, "log.db"))
		}
	}
}

func onMariaDB(t *testing.T) (*server, func() func()) {
	db := newMariaDB(t)
	return newServer(t, mysqlArgs(t, db, "log")...), func() func() {
		older := dump(t, db, "log")
		return func() {
			if err := db.Load(context.Background(), "log", older); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBroughtForward(t *testing.T) {
	for name, on := range map[string]func(*testing.T) (*server, func() func()){"SQLite": onSQLite, "MariaDB": onMariaDB} {
		t.Run(name, func(t *testing.T) {
			s, backup := on(t)
			broughtForward(t, newBehind(t, s, 300, 10_300, backup))
		})
	}
}

func broughtForward(t *testing.T, b *behind) {
	// The server sees it, and serves its readers.
	b.start()
	b.refusesToGoOn(b.ledger, b.client(b.vkey()), "rollback: the database's tree head has size 300, and the register knows that size 10300 was signed")
	b.stop()

	// A mirror in which one entry is another.
	bad := b.changedMirror(t, 5000)
	if out, code := b.restore(bad); code != 1 || !strings.Contains(out, "its entry 5000 was changed; take another mirror") || b.size(t) != b.had {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	// One that is too short, and no mirror at all.
	if out, code := b.restore(t.TempDir()); code != 1 || !strings.Contains(out, "has not all that was signed; find a mirror that has") || b.size(t) != b.had {
		t.Fatalf("exit code %d:\n%s", code, out)
	}

	b.killedWhileRestoring(t)
	out, code := b.restore(b.mirror)
	if code != 0 || !strings.Contains(out, " to 10300. It contains all that is known to be signed.\nNext: logserver guard clear") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	if out, code = b.restore(b.mirror); code != 0 || !strings.Contains(out, "The database is not behind: it has 10300 entries") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	b.goesOn(t)
	must(t, nil, "logserver", append([]string{"fsck"}, b.args...)...)
}

// changedMirror is a copy of the mirror's, with another entry at an index.
func (b *behind) changedMirror(t *testing.T, index int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "changed")
	if err := os.CopyFS(dir, os.DirFS(b.mirror)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, merkle.Bundle{Index: index / merkle.TileWidth, Width: merkle.TileWidth}.Path())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := merkle.ParseBundle(data, merkle.TileWidth)
	if err != nil {
		t.Fatal(err)
	}
	entries[index%merkle.TileWidth][3] ^= 1 // of data
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// killedWhileRestoring kills restores from a URL, each at another request: while
// it checks, and while it writes. What was written stays, and is right.
func (b *behind) killedWhileRestoring(t *testing.T) {
	t.Helper()
	for _, percent := range []int64{0, 30, 55, 80, 95, 80} {
		before := b.size(t)
		left := b.has/merkle.TileWidth - before/merkle.TileWidth + 1
		b.killedAt(t, int(2*left*percent/100)+1)
		if after := b.size(t); after < before || after >= b.has || percent < 50 && after != before {
			t.Fatalf("killed after %d %%, the database has %d entries, and had %d", percent, after, before)
		}
	}
	if size := b.size(t); size <= b.had {
		t.Errorf("the database has %d entries after restores that were killed while they wrote", size)
	}
}

// killedAt kills a restore when it makes a request for entries, by number.
func (b *behind) killedAt(t *testing.T, request int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	cmd := exec.Command(filepath.Join(bins, "logserver"))
	files := http.FileServer(http.Dir(b.mirror))
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if strings.Contains(r.URL.Path, "/entries/") {
			n++
		}
		if n == request {
			cmd.Process.Kill()
		}
		mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	defer mirror.Close()
	cmd.Args = append([]string{cmd.Path, "restore", "--from", mirror.URL}, b.args...)
	var out buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	mu.Lock() // it is asked about only when we know its process
	err := cmd.Start()
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("it was not killed at request %d of %d:\n%s", request, n, out.String())
	}
}

// isFrozen demands what the guide says of a log that does not go on: that it
// is served to its readers, also after a restart, and takes nothing.
func (r *room) isFrozen(t *testing.T, why string) {
	t.Helper()
	c := r.demanding()
	for range 2 {
		r.start()
		eventually(t, "an add is refused", func() error {
			var refusal *client.StatusError
			_, err := c.Add(t.Context(), rawEntry(t, "another"))
			if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Message, "the log is poisoned: "+why) {
				return fmt.Errorf("the answer is %w", err)
			}
			return nil
		})
		var o checkpoint.Opened
		eventually(t, "the checkpoint is shown", func() (err error) {
			o, err = c.Checkpoint(t.Context())
			return err
		})
		if o.Size != 1 {
			t.Fatalf("size %d", o.Size)
		}
		r.ledger.saw(o)
		r.has(c, 0, "entry 0")
		if _, err := fsck.Check(t.Context(), c, o.Size, o.Root, nil); err != nil {
			t.Error(err)
		}
		saveMirror(t, r.server, t.TempDir())
		r.stop()
	}
}
