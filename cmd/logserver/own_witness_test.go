package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/checkpoint"
)

// A log that is to be its own witness is warned of, where the configuration is
// checked and where the server starts; there by all of its keys.
func TestPolicyOfTheLogItself(t *testing.T) {
	dir, mldsa, policy := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "mldsa.key"), filepath.Join(t.TempDir(), "policy")
	s := start(t, dir, "--mldsa-key", mldsa)
	_, list := served(t, s)
	s.stop()
	if len(list) != 2 || list[1].Algorithm() != checkpoint.CosignatureV1MLDSA44 {
		t.Fatalf("keys %v", list)
	}
	write := func(lines string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	witness := fmt.Sprintf("witness self %s http://127.0.0.1:1\nquorum self\n", list[1])
	write(fmt.Sprintf("log %s\n", list[0]) + witness)
	out, log := &printed{}, &printed{}
	err := run(t.Context(), []string{"config", "check", "--witness-policy", policy}, func(string) (string, bool) { return "", false }, out, log)
	if err != nil || !strings.HasPrefix(log.String(), `warning: --witness-policy: witness "self" has a key of the log's own name, "log.example.com"`) {
		t.Errorf("%v: %s", err, log)
	}
	write(witness)
	s = start(t, dir, "--mldsa-key", mldsa, "--witness-policy", policy, "--witness-fail-open")
	if !strings.Contains(s.log.String(), "has the key of log") {
		t.Errorf("%s", s.log)
	}
}
