package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A log that never had its quorum tells its readers so. What its witnesses
// answered is for /readyz.
func TestReadersOfALogWithoutItsQuorum(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(policy, fmt.Appendf(nil, "witness w %s http://127.0.0.1:1/secret\nquorum w\n", witnessKey(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, filepath.Join(t.TempDir(), "data"), "--witness-policy", policy)
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/1", "/v1/checkpoint", "/v1/entries/0"} {
		poll(t, path+" says why", func() bool {
			code, body := s.ask(t, http.MethodGet, path, nil)
			if code != http.StatusServiceUnavailable || strings.Contains(body, "127.0.0.1") {
				t.Fatalf("%s: %d: %s", path, code, body)
			}
			return strings.Contains(body, "the log is not available, since too few of the log's witnesses cosign at present; try again")
		})
	}
}
