package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard keeps what is said, and has something happen at certain words.
type heard struct {
	mu    sync.Mutex
	text  bytes.Buffer
	words string
	then  func()
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.then != nil && bytes.Contains(b, []byte(h.words)) {
		h.then()
	}
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// interrupted runs a command until it says some words, and then ends it.
func (w *world) interrupted(words string, args ...string) (stdout, stderr string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	var out bytes.Buffer
	errs := &heard{words: words, then: cancel}
	getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
	p := &program{getenv: getenv, stdin: strings.NewReader(""), stdout: &out, stderr: errs}
	command := p.command()
	command.SetArgs(append(args, "--timeout", "1h"))
	err = command.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

// Who waits is told at once what for, and in the end what it was.
func TestWaitingIsSaid(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	busy := func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Retry-After", "100000")
		fail(out, http.StatusServiceUnavailable, "the log \x1b[2J is away")
	}
	const words = "logcli: no answer yet from "
	for _, test := range []struct {
		path string
		args []string
	}{{"/v1/entries/0", []string{"get", "0"}}, {"/v1/entries", []string{"add", f}}, {"/log.vkey", []string{"get", "0"}}} {
		w.log.replace[test.path] = busy
		out, errs, err := w.interrupted(words, test.args...)
		delete(w.log.replace, test.path)
		if err == nil || !strings.Contains(err.Error(), "context canceled; ") || !strings.Contains(err.Error(), "is away (HTTP 503)") {
			t.Errorf("%q: %v", test.args, err)
		}
		if out != "" || strings.Count(errs, words) != 1 || !strings.Contains(errs, "is away (HTTP 503). Asking again, the next time in 30s, up to 5 times in all or until ") || strings.Contains(errs, "\x1b") {
			t.Errorf("%q: %q, %q", test.args, out, errs)
		}
	}
}

// A reason is told once, however often it is met.
func TestReasonsAreToldOnce(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	asked := 0
	w.log.replace["/v1/entries/0"] = func(out http.ResponseWriter, _ *http.Request) {
		asked++
		fail(out, http.StatusServiceUnavailable, []string{"first", "first", "second", "first", "second"}[asked-1])
	}
	_, errs := w.run(exitUnasked, "get", "0")
	if strings.Count(errs, ": first (HTTP 503)") != 1 || strings.Count(errs, ": second (HTTP 503)") != 2 || strings.Count(errs, "\n") != 3 || asked != tries {
		t.Errorf("asked %d times: %s", asked, errs)
	}
	asked = 0
	if out, errs := w.run(exitUnasked, "get", "0", "-o", "json"); !strings.HasPrefix(out, `{"error":`) || strings.Count(out, "\n") != 1 || errs != "" || asked != tries {
		t.Errorf("asked %d times: %s%s", asked, out, errs)
	}
	var r reasons
	for i := range 100 {
		if r.isNew(time.Duration(i).String()) != (i < maxReasons) {
			t.Errorf("reason %d", i)
		}
	}
}
