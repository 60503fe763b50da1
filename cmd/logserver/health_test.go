package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A log whose quorum of witnesses is away publishes nothing, and its public port
// says that it is not serving.
func TestHealthOnThePublicPort(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy")
	if err := os.WriteFile(path, fmt.Appendf(nil, "witness a %s http://127.0.0.1:1\nquorum a\n", witnessKey(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	s := start(t, data)
	s.becomes(t, http.StatusOK, "SERVING")
	s.stop()
	s = start(t, data, "--witness-policy", path)
	s.becomes(t, http.StatusServiceUnavailable, `NOT_SERVING","message":"the log is not available, since too few of the log's witnesses cosign at present`)
}

// becomes waits until /healthz says so.
func (s *instance) becomes(t *testing.T, status int, says string) {
	t.Helper()
	want := `{"status":"` + says + `"}`
	for end := time.Now().Add(3 * time.Minute); ; {
		code, body := s.ask(t, http.MethodGet, "/healthz", nil)
		switch {
		case code == status && strings.TrimSpace(body) == want:
			return
		case time.Now().After(end):
			t.Fatalf("%d %s, and not %d %s", code, body, status, want)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
