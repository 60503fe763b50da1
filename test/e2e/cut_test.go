//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// cutter is a proxy before a database that passes on what changes it for good, a
// COMMIT or a checkpoint that is published, and then cuts the connection, so that
// nobody hears what became of it.
type cutter struct {
	t         *testing.T
	to        string
	listen    net.Listener
	commits   cuts
	published cuts
}

// cuts counts what was passed on, and of that what was cut off.
type cuts struct{ passed, cut atomic.Int64 }

// next reports whether the one that was passed on is to be cut off.
func (c *cuts) next(every int64) bool {
	if c.passed.Add(1)%every != 0 {
		return false
	}
	c.cut.Add(1)
	return true
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &cutter{t: t, to: to, listen: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(conn)
		}
	}()
	return c
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(client, server)
		client.Close()
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if c.cuts(buf[:n]) {
			return
		}
	}
}

// cuts reports whether the connection ends after a packet.
func (c *cutter) cuts(packet []byte) bool {
	const query, execute = 0x03, 0x17 // COM_QUERY and COM_STMT_EXECUTE, after the packet's length and number
	switch {
	case len(packet) < 5:
		return false
	case packet[4] == query && bytes.HasPrefix(packet[5:], []byte("COMMIT")):
		return c.commits.next(7)
	case packet[4] == execute && bytes.Contains(packet, []byte("\n\n— ")): // a note's first signature
		return c.published.next(7)
	}
	return false
}

func atLeast[N int | int64](n, want N) error {
	if n < want {
		return fmt.Errorf("%d, and not %d", n, want)
	}
	return nil
}

// TestCutInTheMiddleOfACommit loses the answers to commits of one server, while
// another goes on. No client sees a wrong answer, and adds go on.
func TestCutInTheMiddleOfACommit(t *testing.T) {
	db := newMariaDB(t)
	args := mysqlArgs(t, db, "log")
	cut := newCutter(t, db.Addr())
	through := make([]string, len(args))
	for i, a := range args {
		through[i] = strings.Replace(a, db.Addr(), cut.listen.Addr().String(), 1)
	}
	a, b := newServer(t, through...), newServer(t, args...)
	for _, s := range []*server{a, b} {
		s.start()
		s.ready()
	}
	keys := a.vkey()
	la, lb := newLedger(t), newLedger(t)
	la.prefix, lb.prefix = "cut ", "whole "
	stopA := la.load(12, a.client(keys))
	eventually(t, "publications through the cut connection", func() error { // while nobody else publishes
		return atLeast(cut.published.cut.Load(), 10)
	})
	commits, adds := cut.commits.cut.Load(), la.len()
	stopB := lb.load(12, b.client(keys))
	eventually(t, "commits through the cut connection", func() error {
		return errors.Join(atLeast(cut.commits.cut.Load(), commits+20), atLeast(la.len(), adds+300))
	})
	stopA()
	stopB()
	t.Logf("%d and %d entries, %d commits and %d publications cut off", la.len(), lb.len(), cut.commits.cut.Load(), cut.published.cut.Load())
	la.settle(b.client(keys))
	lb.settle(b.client(keys))
	a.stop()
	b.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, args...)...)
}
