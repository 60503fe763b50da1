//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asLogcli in the environment makes this test's program be logcli.
const asLogcli = "LOGCLI_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asLogcli) != "" {
		main()
	}
	// What tests remember stays out of the home of whoever runs them.
	home, err := os.MkdirTemp("", "logcli-test-")
	if err == nil {
		err = errors.Join(os.Setenv("XDG_CONFIG_HOME", home), os.Setenv("XDG_STATE_HOME", home))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

func (w *world) pipe(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// Nobody writes the pipe, so that opening it would wait for ever.
func TestInterruptedAtFile(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{
		"artifact": {"add"}, "proof": {"verify", "f", "--proof"}, "signer": {"verify", "f", "--bundle", "f", "--any-signer", "--policy"}, "certificate": {"add", "f", "--certificate"},
	} {
		fifo := w.pipe(name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out, errs bytes.Buffer
		getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
		if got := run(ctx, append(args, fifo, "-o", "json"), getenv, strings.NewReader(""), &out, &errs); got == exitDone {
			t.Errorf("%s: exit code %d", name, got)
		}
		if out.Len() == 0 || errs.Len() > 0 {
			t.Errorf("%s: %s%s", name, &out, &errs)
		}
		// Let go of who still waits; there may be nobody.
		if f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	}
}

// A signal ends a process that reads what nobody writes: a pipe, and its
// standard input.
func TestEndedBySignal(t *testing.T) {
	w := newWorld(t)
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		fifo := w.pipe(signal.String())
		cmd := exec.Command(os.Args[0], "verify", "--proof", fifo, "-")
		cmd.Env = append(os.Environ(), asLogcli+"=1", "XDG_CONFIG_HOME="+w.dir)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stuck := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
		held := readerOf(t, fifo)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
		err := cmd.Wait()
		if !stuck.Stop() {
			t.Errorf("%v does not end it", signal)
		}
		held.Close()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitUnasked || errs.String() != "logcli: interrupted\n" {
			t.Errorf("%v: %v %q", signal, err, &errs)
		}
	}
}

// readerOf waits until somebody has opened a pipe to read it, and keeps them
// waiting.
func readerOf(t *testing.T, fifo string) *os.File {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			return f
		}
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
