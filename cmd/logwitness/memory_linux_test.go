package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A witness of 10,000 logs fits into 64 MiB, while it works for all of them.
func TestMemory(t *testing.T) {
	const most = 64 << 10 // KiB
	logs := manyTrees(t, 10_000)
	s := newServer(t, logs)
	mustRun(t, "keygen", "--name", "w.example/1", "--mldsa", "--out", s.path("mldsa"))
	s.args = append(s.args, "--key", s.path("mldsa"))
	s.start()
	var next atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range 32 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(logs)); i = next.Add(1) - 1 {
				if code, body, err := s.add(logs[i].with("a"), 0); err != nil || code != 200 {
					t.Errorf("%d %s %v", code, body, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d logs in %s", len(logs), time.Since(begun).Round(time.Millisecond))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var peak int
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d KiB of memory", peak)
	if peak > most {
		t.Errorf("%d KiB of memory, over %d", peak, most)
	}
	s.stop()
}
