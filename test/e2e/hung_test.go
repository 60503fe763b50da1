//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// A database whose process is frozen, as on a disk that hangs: readiness is
// answered all the time, and says so though nobody adds, long before anything
// about the connection runs out; one line in the log begins the outage, and one
// ends it.
func TestHungDatabase(t *testing.T) {
	db := newMariaDB(t)
	s := newServer(t, mysqlArgs(t, db, "log")...)
	s.start()
	s.ready()
	c, l := s.client(s.vkey()), newLedger(t)
	l.add(c, "before")
	freeze := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(db.PID(), sig); err != nil {
			t.Fatal(err)
		}
	}
	freeze(syscall.SIGSTOP)
	thaw := func() { syscall.Kill(db.PID(), syscall.SIGCONT) }
	t.Cleanup(thaw)
	eventually(t, "readiness says it", func() error {
		err := s.readiness()
		if err == nil {
			return errors.New("it is ready")
		}
		return says(err.Error(), "the database has not answered for")
	})
	// By the time that the driver gives up (30 s), the words are others.
	if out := s.out.String(); strings.Count(out, `"level":"ERROR"`) != 1 || !strings.Contains(out, "the database has not answered for 3s") {
		t.Errorf("the server's log:\n%s", out)
	}
	res, err := http.Get("http://" + s.http + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/healthz: %d", res.StatusCode)
	}
	thaw()
	s.ready()
	l.add(c, "after")
	eventually(t, "the log says that it is over", func() error { return says(s.out.String(), "the outage has ended") })
}

// says is an error where a text does not hold another.
func says(text, want string) error {
	if !strings.Contains(text, want) {
		return fmt.Errorf("%q does not say %q", tail(text), want)
	}
	return nil
}
