//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"indelible/client"
)

// restorable is a watched log of which an older copy was kept.
type restorable struct {
	*watched
	l          *ledger
	c          *client.Client
	dir, older string
}

// newRestorable makes one that published size 1, was copied, and published more,
// which all its witnesses cosigned. They show nothing, as some never do.
func newRestorable(t *testing.T) *restorable {
	t.Helper()
	args := sqliteArgs(t)
	r := &restorable{watched: newWatched(t, args, "--add-timeout", "2s"), l: newLedger(t), dir: args[1], older: filepath.Join(t.TempDir(), "older")}
	for _, wa := range r.witnesses {
		wa.hides.Store(true)
	}
	r.start()
	r.ready()
	r.c = r.client(r.keys)
	r.l.add(r.c, "before")
	r.stop()
	r.copy(t, r.dir, r.older)
	r.start()
	r.ready()
	r.l.addMany(r.c, 6)
	r.cosignedByAll(t, r.l)
	r.stop()
	return r
}

func (r *restorable) copy(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// restore puts the older copy, database and register, in the newer one's place,
// which is kept.
func (r *restorable) restore(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.Rename(r.dir, r.dir+".newer"), os.Rename(r.older, r.dir)); err != nil {
		t.Fatal(err)
	}
}

// holds demands that the server appends and signs nothing, says why, serves its
// readers, and is not poisoned.
func (r *restorable) holds(t *testing.T, why string) {
	t.Helper()
	eventually(t, "readiness says why", func() error {
		if err := r.readiness(); err == nil || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("it says %v", err)
		}
		return nil
	})
	var refusal *client.StatusError
	if _, err := r.c.Add(t.Context(), rawEntry(t, "another")); !errors.As(err, &refusal) || refusal.Status != http.StatusGatewayTimeout {
		t.Errorf("an add is answered with %v", err)
	}
	r.has(r.c, 0, "before")
	out := r.guardStatus(contradicts)
	for _, line := range []string{"register   size 1 ", "database   size 1 ", "published  size 1 ", "witness    w1: size 7, as it says"} {
		if !strings.Contains(out, line) {
			t.Errorf("guard status does not say %q:\n%s", line, out)
		}
	}
	if strings.Contains(out, "Poisoned") {
		t.Errorf("%s", out)
	}
}

// TestRestoredWithItsRegister has a database and a register restored together,
// of which only witnesses know that more was signed, and they prove nothing.
func TestRestoredWithItsRegister(t *testing.T) {
	const says = "witness w1 says that it cosigned size 7 of this log, and the newest that this log knows to be signed is size 1"
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, r *restorable){
		"the witnesses show nothing": func(t *testing.T, r *restorable) {
			r.start()
			r.holds(t, says)
			out, code := run(t, nil, "logserver", append([]string{"fsck"}, r.args...)...)
			if code != 1 || !strings.Contains(out, "witness w1 says that it cosigned size 7, and the database has 1") {
				t.Errorf("%d: %s", code, out)
			}
		},
		"and are slow": func(t *testing.T, r *restorable) {
			slow := newHeld()
			for _, wa := range r.witnesses {
				wa.is(slow.spoil)
			}
			r.start()
			for range 2 {
				if _, err := r.c.Add(t.Context(), rawEntry(t, "another")); err == nil {
					t.Error("an add is answered before a witness was heard")
				}
				if err := r.readiness(); err == nil {
					t.Error("it is ready before a witness was heard")
				}
			}
			close(slow.let)
			r.holds(t, says)
		},
		"and are down at first": func(t *testing.T, r *restorable) {
			for _, wa := range r.witnesses {
				wa.is(down)
			}
			r.start()
			eventually(t, "it says that they are", func() error {
				if err := r.readiness(); err == nil || !strings.Contains(err.Error(), "the quorum of witnesses is not met") {
					return fmt.Errorf("it says %v", err)
				}
				return nil
			})
			for _, wa := range r.witnesses {
				wa.is(nil)
			}
			r.holds(t, says)
		},
		"and one alone remembers": func(t *testing.T, r *restorable) {
			for _, wa := range r.witnesses[1:] {
				wa.forget(1)
			}
			r.start()
			r.holds(t, says)
		},
		"and one alone remembers, and comes later": func(t *testing.T, r *restorable) {
			r.witnesses[0].is(down)
			for _, wa := range r.witnesses[1:] {
				wa.forget(1)
			}
			r.args = append(r.args, "--witness-refresh", "1s")
			r.start()
			r.ready()
			r.witnesses[0].is(nil)
			r.holds(t, says)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRestorable(t)
			r.restore(t)
			test(t, r)
			r.stop()
			// The way out: the newer copy.
			if err := errors.Join(os.RemoveAll(r.dir), os.Rename(r.dir+".newer", r.dir)); err != nil {
				t.Fatal(err)
			}
			r.start()
			r.ready()
			r.l.add(r.c, "after")
			r.l.settle(r.c)
			r.stop()
		})
	}
}

// TestRestoredApart has each other part restored from an older copy, or more of
// them, with witnesses that show nothing.
func TestRestoredApart(t *testing.T) {
	t.Parallel()
	only := func(file string) func(t *testing.T, r *restorable) {
		return func(t *testing.T, r *restorable) {
			t.Helper()
			beside, err := filepath.Glob(filepath.Join(r.dir, file+"*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range beside { // a write-ahead log of another state
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			r.copy(t, filepath.Join(r.older, file), filepath.Join(r.dir, file))
		}
	}
	forget := func(_ *testing.T, r *restorable) {
		for _, wa := range r.witnesses {
			wa.forget(1)
		}
	}
	for name, test := range map[string]struct {
		restored []func(t *testing.T, r *restorable)
		poison   string // empty: the log goes on
	}{
		"the database":                   {[]func(*testing.T, *restorable){only("log.db")}, "rollback: the database's tree head has size 1, and the register knows that size 7 was signed"},
		"the register":                   {[]func(*testing.T, *restorable){only("register")}, "the register is older than the log: it knows size 1, and a checkpoint of size 7 is published"},
		"the database and the witnesses": {[]func(*testing.T, *restorable){only("log.db"), forget}, "rollback: the database's tree head has size 1, and the register knows that size 7 was signed"},
		"the register and the witnesses": {[]func(*testing.T, *restorable){only("register"), forget}, "the register is older than the log: it knows size 1, and a checkpoint of size 7 is published"},
		"the witnesses":                  {[]func(*testing.T, *restorable){forget}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRestorable(t)
			for _, restore := range test.restored {
				restore(t, r)
			}
			r.start()
			if test.poison != "" {
				r.refusesToGoOn(r.l, r.c, test.poison)
				return
			}
			r.ready()
			r.l.add(r.c, "after")
			r.l.settle(r.c)
		})
	}
}
