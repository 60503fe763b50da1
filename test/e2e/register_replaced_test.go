//go:build unix

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// TestAcceptWhileAReplicaRuns gives a log another register although a server runs
// with the old one, which is idle and so not seen. It publishes nothing beyond the
// tree head that the new register knows: what is published is in one register.
func TestAcceptWhileAReplicaRuns(t *testing.T) {
	db := newMariaDB(t)
	args := mysqlArgs(t, db, "log")
	a := newServer(t, append(slices.Clone(args), "--add-timeout", "2s")...)
	a.start()
	a.ready()
	c, l := a.client(a.vkey()), newLedger(t)
	l.add(c, "before")
	args = append(args, "--register", filepath.Join(t.TempDir(), "register"))
	accept := func() (string, int) {
		t.Helper()
		o, err := c.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return run(t, nil, "logserver", append([]string{
			"guard", "accept", "--size", fmt.Sprint(o.Size), "--root", fmt.Sprintf("%x", o.Root), "--by", "ada", "--why", "test",
		}, args...)...)
	}
	b := newServer(t, args...)
	b.refusesStart("its register (" + args[len(args)-1] + ") does not")

	eventually(t, "the head is accepted", func() error {
		if out, code := accept(); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	at := l.largest()
	a.says(c, "publish: read the tree head: the log's register was replaced (logserver guard accept)")
	if o, err := c.Checkpoint(t.Context()); err != nil || o.Size > at {
		t.Errorf("size %d after %d: %v", o.Size, at, err)
	}
	b.start()
	b.ready()
	l.add(b.client(a.vkey()), "after")
	l.settle(b.client(a.vkey()))
	a.stop()
	a.refusesStart("give the log's own with --register")
	b.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, args...)...)
}
