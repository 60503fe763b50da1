package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/grpclog"
)

// TestLibraries: what grpc-gateway says of clients that went away is a line of
// the one log, at level debug, and few of them.
func TestLibraries(t *testing.T) {
	const gone = "Failed to write response: write tcp 127.0.0.1:1->127.0.0.1:2: broken pipe"
	now := time.Unix(1_700_000_000, 0)
	for text, lines := range map[string]int{"debug": 2 * mostSaid, "info": 0, "error": 0} {
		said := &libraries{now: func() time.Time { return now }}
		seam := grpclog.NewLoggerV2(io.Discard, io.Discard, said)
		seam.Errorf("before there is a logger")
		out := &bytes.Buffer{}
		said.to.Store(newLogger(out, level(text)))
		for range 200 {
			seam.Errorf("%s", gone)
		}
		now = now.Add(time.Second)
		for range 200 {
			seam.Errorf("%s", gone)
		}
		if got := strings.Count(out.String(), "\n"); got != lines {
			t.Errorf("at level %s there are %d lines, not %d:\n%s", text, got, lines, out)
		}
		for line := range strings.Lines(out.String()) {
			var entry struct{ Level, What string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "DEBUG" || entry.What != gone {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
}
