//go:build unix

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// cutter is a proxy before a database that passes a COMMIT on and then cuts the
// connection, so that nobody hears what became of it.
type cutter struct {
	t       *testing.T
	to      string
	listen  net.Listener
	commits atomic.Int64
	cuts    atomic.Int64
}

// every is after how many commits one is cut off.
const every = 7

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
		// COM_QUERY is 3.
		commit := bytes.Contains(buf[:n], []byte("\x03COMMIT"))
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if commit && c.commits.Add(1)%every == 0 {
			c.cuts.Add(1)
			return
		}
	}
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
	stopA, stopB := la.load(12, a.client(keys)), lb.load(12, b.client(keys))
	eventually(t, "adds through the cut connection", func() error {
		if n, cuts := la.len(), cut.cuts.Load(); n < 300 || cuts < 20 {
			return fmt.Errorf("%d adds, %d cuts", n, cuts)
		}
		return nil
	})
	stopA()
	stopB()
	t.Logf("%d and %d entries, %d commits cut off", la.len(), lb.len(), cut.cuts.Load())
	la.settle(b.client(keys))
	lb.settle(b.client(keys))
	a.stop()
	b.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, args...)...)
}
