package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// A pause is written as people say it.
func TestPauseInTheLog(t *testing.T) {
	var out bytes.Buffer
	r := &running{metrics: newMetrics(), logger: newLogger(&out, level("info"))}
	r.feedEvents().Failed("log.example", errors.New("away"), 4*time.Second+3*time.Millisecond)
	if !strings.Contains(out.String(), `"again in":"4s"`) {
		t.Error(out.String())
	}
}
