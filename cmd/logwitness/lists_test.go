//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

// TestListWithUnusableLogs: what cannot be used in a list is said and counted, and
// the other logs are cosigned. What the witness publishes is what it cosigns for.
func TestListWithUnusableLogs(t *testing.T) {
	logs := manyTrees(t, 2)
	s := newServer(t, logs)
	list, err := os.ReadFile(s.path("logs"))
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(list), "logs/v0\n", "logs/v0\nvkey nonsense\nqpd 5\n\tcolour blue\n", 1)
	if err := os.WriteFile(s.path("logs"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.want(logs[0].with("a"), 0, 200, "")
	s.want(logs[1].with("b"), 0, 200, "")
	s.says("skipped in the list of logs", `"line":2`, `"line":4`, `"skipped":2`)
	metrics, err := get("http://" + s.admin + "/metrics")
	if err != nil || !strings.Contains(metrics, "indelible_witness_list_skipped 2") || !strings.Contains(metrics, "indelible_witness_logs 2") {
		t.Error(err, metrics)
	}
	published, err := get("http://" + s.listen + "/logs.v0")
	if err != nil || strings.Count(published, "\nvkey ") != 2 || !strings.Contains(published, logs[0].origin) {
		t.Error(err, published)
	}
	about, err := get("http://" + s.listen + "/witness.v0.json")
	if err != nil || !strings.Contains(about, s.verifier.String()) || !strings.Contains(about, `"http://`+s.listen+`/"`) {
		t.Error(err, about)
	}
	s.stop()
}
