//go:build unix

package main

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A new connection takes the place of one that is idle, else of one that is slow;
// while all are at work, it waits.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &http.Server{Handler: http.NotFoundHandler()}
		limit(s, 3)
		conns := make([]net.Conn, 8)
		closed := make([]bool, len(conns))
		for i := range conns {
			ours, theirs := net.Pipe()
			conns[i] = ours
			go func() {
				theirs.Read(make([]byte, 1)) // until it is closed
				closed[i] = true
			}()
		}
		come := func(i int) time.Duration {
			begin := time.Now()
			s.ConnState(conns[i], http.StateNew)
			s.ConnState(conns[i], http.StateActive)
			synctest.Wait()
			return time.Since(begin)
		}
		want := func(when string, gone ...int) {
			t.Helper()
			for i := range conns {
				is := false
				for _, g := range gone {
					is = is || g == i
				}
				if closed[i] != is {
					t.Errorf("%s: connection %d is closed: %v", when, i, closed[i])
				}
			}
		}
		for i := range 3 {
			come(i)
		}
		s.ConnState(conns[1], http.StateIdle)
		if took := come(3); took != 0 {
			t.Errorf("beside an idle one, it waited %s", took)
		}
		want("one was idle", 1)
		if took := come(4); took < patience || took > 2*patience {
			t.Errorf("beside slow ones, it waited %s", took)
		}
		want("none was idle", 0, 1)
		time.AfterFunc(patience/2, func() { s.ConnState(conns[3], http.StateIdle) })
		s.Handler.ServeHTTP(unread{}, requestOn(t, s, conns[2]))
		come(5)
		want("one finished a request, and one became idle", 0, 1, 3)
		s.ConnState(conns[4], http.StateClosed)
		if took := come(6); took != 0 {
			t.Errorf("after one was closed, the next waited %s", took)
		}
		want("there was room", 0, 1, 3)
		for _, c := range conns {
			c.Close()
		}
	})
}

// requestOn is a request that came over a connection.
func requestOn(t *testing.T, s *http.Server, c net.Conn) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(s.ConnContext(t.Context(), c), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// unread takes an answer that nobody reads.
type unread struct{}

func (unread) Header() http.Header         { return http.Header{} }
func (unread) Write(b []byte) (int, error) { return len(b), nil }
func (unread) WriteHeader(int)             {}
