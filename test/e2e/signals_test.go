//go:build unix

package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSignals: SIGHUP reads the settings again, and ends neither server. After
// SIGTERM a server is not ready, and takes requests; a second one ends it.
func TestSignals(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	must(t, nil, "logwitness", "keygen", "--name", "witness.example/w1", "--out", key)
	addrs := freeAddrs(t, 5)
	for name, s := range map[string]*signalled{
		"logserver":  {public: "http://" + addrs[0] + "/checkpoint", status: 200, admin: addrs[1], args: []string{"--http", addrs[0], "--admin", addrs[1], "--grpc", addrs[2], "--origin", origin}},
		"logwitness": {public: "http://" + addrs[3] + "/", status: 404, admin: addrs[4], args: []string{"serve", "--listen", addrs[3], "--admin", addrs[4], "--key", key}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t, s.config = t, filepath.Join(t.TempDir(), "config.yaml")
			s.write("log-level: info\nshutdown-delay: 1h\n")
			s.run(name, append(s.args, "--config", s.config, "--data-dir", t.TempDir()))
			s.readiness(200)
			s.write("log-level: debug\nshutdown-delay: 2h\n")
			s.hangUp(`"setting":"log-level"`, `"settings":"shutdown-delay"`, "read again")
			s.write("log-level: very\n")
			s.hangUp("ERROR", "log-level", "stay in effect")
			s.write("log-level: warn\nshutdown-delay: 3h\n")
			s.hangUp(`"settings":"shutdown-delay"`)
			s.write("log-level: info\nshutdown-delay: 1h\n")
			s.hangUp(`"setting":"log-level"`)
			s.cmd.Process.Signal(syscall.SIGTERM)
			s.readiness(503)
			res, err := http.Get(s.public)
			if err != nil || res.StatusCode != s.status {
				t.Fatalf("while it stops, it answers %v, %v", res, err)
			}
			s.cmd.Process.Signal(syscall.SIGTERM)
			<-s.ended
		})
	}
}

// signalled is a program that gets signals.
type signalled struct {
	t             *testing.T
	public, admin string
	status        int // of public
	args          []string
	config        string
	cmd           *exec.Cmd
	out           buffer
	ended         chan struct{}
}

func (s *signalled) run(name string, args []string) {
	s.cmd, s.ended = exec.Command(filepath.Join(bins, name), args...), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { s.cmd.Wait(); close(s.ended) }()
	s.t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.ended
		if s.t.Failed() {
			s.t.Logf("%s", tail(s.out.String()))
		}
	})
}

func (s *signalled) write(config string) {
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *signalled) readiness(want int) {
	s.t.Helper()
	eventually(s.t, "readiness", func() error {
		s.alive()
		res, err := http.Get("http://" + s.admin + "/readyz")
		if err == nil && res.StatusCode != want {
			err = errors.New(res.Status)
		}
		return err
	})
}

func (s *signalled) alive() {
	s.t.Helper()
	select {
	case <-s.ended:
		s.t.Fatal("it ended")
	default:
	}
}

// hangUp sends SIGHUP, and waits until the log says something new.
func (s *signalled) hangUp(texts ...string) {
	s.t.Helper()
	before := len(s.out.String())
	s.cmd.Process.Signal(syscall.SIGHUP)
	for _, text := range texts {
		eventually(s.t, text, func() error {
			s.alive()
			if !strings.Contains(s.out.String()[before:], text) {
				return errors.New("the log does not say so")
			}
			return nil
		})
	}
}
