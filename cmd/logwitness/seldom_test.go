//go:build unix

package main

import (
	"testing"
	"time"
)

func TestSeldom(t *testing.T) {
	s := seldom{interval: time.Second}
	at := time.Unix(1_700_000_000, 0)
	for _, step := range []struct {
		after  time.Duration
		unsaid int
		ok     bool
	}{{0, 0, true}, {0, 0, false}, {time.Second / 2, 0, false}, {time.Second / 2, 2, true}, {2 * time.Second, 0, true}} {
		at = at.Add(step.after)
		if unsaid, ok := s.may(at); unsaid != step.unsaid || ok != step.ok {
			t.Errorf("%d unsaid, %v; want %+v", unsaid, ok, step)
		}
	}
}
