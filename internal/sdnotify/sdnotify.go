// Package sdnotify tells systemd how far a service of Type=notify is. A service
// that systemd did not start tells nobody.
package sdnotify

import (
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"
)

// Notifier tells systemd. The zero value tells nobody.
type Notifier struct {
	socket string
	log    *slog.Logger
}

// New makes a notifier from the environment. getenv is os.LookupEnv. A message
// that cannot be sent is a warning in the log: the service works without it, until
// systemd gives up waiting.
func New(getenv func(string) (string, bool), log *slog.Logger) Notifier {
	socket, _ := getenv("NOTIFY_SOCKET")
	return Notifier{socket: socket, log: log}
}

// Ready says that the service takes requests, or has read its settings again.
func (n Notifier) Ready() { n.send("READY=1") }

// Reloading says that the service reads its settings again. Ready ends it.
func (n Notifier) Reloading() { n.send("RELOADING=1") }

// Stopping says that the service was told to stop.
func (n Notifier) Stopping() { n.send("STOPPING=1") }

// Waiting says that the service, which starts, may take so much longer.
func (n Notifier) Waiting(longer time.Duration) {
	n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(longer.Microseconds(), 10))
}

func (n Notifier) send(state string) {
	if n.socket == "" {
		return
	}
	to, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_, err = to.Write([]byte(state))
		err = errors.Join(err, to.Close())
	}
	if err != nil {
		n.log.Warn("systemd was not told", "state", state, "error", err)
	}
}
