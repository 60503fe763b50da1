//go:build unix

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"indelible/client"
)

// TestClientsThatGo: clients that go away while they are answered make the
// server write nothing.
func TestClientsThatGo(t *testing.T) {
	s := newSQLite(t)
	s.args = append(s.args, "--log-level", "error")
	s.start()
	s.ready()
	var large []client.Entry
	for i := range 64 {
		large = append(large, rawEntry(t, fmt.Sprint(i, " ", strings.Repeat("x", 60_000))))
	}
	if _, err := s.client(s.vkey()).AddMany(context.Background(), large); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		goAway(t, s.http)
	}
	s.stop() // which waits until all are answered
	if _, after, _ := strings.Cut(s.out.String(), "Try next"); strings.Contains(after, "ERROR") || strings.Contains(after, "write tcp") {
		t.Errorf("the server says:\n%s", tail(after))
	}
}

// goAway asks for 3 MB, and goes with the first of them.
func goAway(t *testing.T, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Minute))
	conn.(*net.TCPConn).SetLinger(0)
	if _, err := io.WriteString(conn, "GET /v1/entries?limit=64 HTTP/1.1\r\nHost: log\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
}
