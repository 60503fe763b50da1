// Package testkit has what the tests of several packages need: the output of a process, free addresses, and patience.
package testkit

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"indelible/internal/freeport"
)

// Buffer is a bytes.Buffer for several goroutines, such as a process's output that a test reads meanwhile.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Tail returns the last 4,000 bytes of a process's output, for the message of a failed test.
func Tail(s string) string { return s[max(0, len(s)-4000):] }

// Addrs returns n addresses of this machine on which no process listens, no two the same.
func Addrs(t testing.TB, n int) []string {
	t.Helper()
	addrs, err := freeport.Addrs(n)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// Eventually calls f until it returns nil. After three minutes, far more than anything takes, the test fails with f's error.
func Eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	end := time.Now().Add(3 * time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s: %v", what, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}
