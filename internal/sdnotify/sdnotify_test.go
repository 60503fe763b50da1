//go:build unix

package sdnotify_test

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"indelible/internal/sdnotify"
)

func TestNotifier(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	on, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	env := func(name string) (string, bool) { return socket, name == "NOTIFY_SOCKET" }
	n := sdnotify.New(env, slog.New(slog.NewTextHandler(&log, nil)))
	for _, c := range []struct {
		tell func()
		want string
	}{{n.Ready, "READY=1"}, {n.Reloading, "RELOADING=1"}, {n.Stopping, "STOPPING=1"}, {func() { n.Waiting(2 * time.Second) }, "EXTEND_TIMEOUT_USEC=2000000"}} {
		c.tell()
		got := make([]byte, 64)
		size, err := on.Read(got)
		if err != nil || string(got[:size]) != c.want {
			t.Errorf("%q, %v, not %q", got[:size], err, c.want)
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log: %s", &log)
	}
	on.Close()
	n.Ready()
	if !strings.Contains(log.String(), "systemd was not told") {
		t.Errorf("the log: %s", &log)
	}
	none := sdnotify.New(func(string) (string, bool) { return "", false }, nil)
	none.Ready() // tells nobody, and does not fail
}
