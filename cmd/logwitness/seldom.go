//go:build unix

package main

import (
	"sync"
	"time"
)

// seldom keeps what strangers can bring about at will from filling the disk with
// words: it lets one in each interval be said.
type seldom struct {
	interval time.Duration

	mu     sync.Mutex
	next   time.Time
	unsaid int
}

// may reports whether to say something now, and how much was not said since.
func (s *seldom) may(now time.Time) (unsaid int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.unsaid++
		return 0, false
	}
	unsaid, s.unsaid, s.next = s.unsaid, 0, now.Add(s.interval)
	return unsaid, true
}
