package transport

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd are connections to a listener with few places.
type crowd struct {
	t      *testing.T
	on     *pipes
	l      net.Listener
	conns  []*connection
	closed []*atomic.Bool
}

func newCrowd(t *testing.T, most int) *crowd {
	on := newPipes()
	return &crowd{t: t, on: on, l: limit(on, most)}
}

// come is another connection, and how long it had to wait.
func (c *crowd) come() time.Duration {
	c.t.Helper()
	begin := time.Now()
	closed := &atomic.Bool{}
	c.closed = append(c.closed, closed)
	go func() {
		io.Copy(io.Discard, c.on.dial()) // until it is closed
		closed.Store(true)
	}()
	conn, err := c.l.Accept()
	if err != nil {
		c.t.Fatal(err)
	}
	c.conns = append(c.conns, connectionOf(conn))
	synctest.Wait()
	return time.Since(begin)
}

func (c *crowd) want(when string, gone ...int) {
	c.t.Helper()
	for i, closed := range c.closed {
		is, want := closed.Load(), false
		for _, g := range gone {
			want = want || g == i
		}
		if is != want {
			c.t.Errorf("%s: connection %d is closed: %v", when, i, is)
		}
	}
}

func (c *crowd) end() {
	for _, conn := range c.conns {
		conn.Close()
	}
	c.l.Close()
}

// A new connection takes the place of the one that is idle for the longest, else
// of the slowest, else of one with nothing but streams; while all are at work, it
// waits.
func TestConnectionsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 4)
		for range 4 {
			if took := c.come(); took != 0 {
				t.Errorf("where there was room, it waited %s", took)
			}
			time.Sleep(time.Millisecond)
		}
		connectionState(c.conns[2], http.StateActive)
		connectionState(c.conns[2], http.StateIdle)
		time.Sleep(time.Millisecond)
		connectionState(c.conns[1], http.StateIdle)
		if took := c.come(); took != 0 {
			t.Errorf("beside idle ones, it waited %s", took)
		}
		c.want("two were idle, this one for longer", 2)
		c.conns[1].becomeActive()
		c.conns[1].answer()
		if took := c.come(); took < patience-10*time.Millisecond || took > 2*patience {
			t.Errorf("beside slow ones, it waited %s", took)
		}
		c.want("one was the slowest", 2, 0)
		c.conns[3].change(func(c *connection) { c.calls, c.streams = 1, 1 })
		time.Sleep(2 * patience)
		c.come()
		c.want("one had streams, and one was slow", 2, 0, 4)
		for _, i := range []int{5, 6} {
			c.conns[i].answer()
		}
		c.come()
		c.want("one had streams, and the others were at work", 2, 0, 4, 3)
		c.conns[7].answer()
		time.AfterFunc(time.Hour, c.conns[5].finished)
		if took := c.come(); took < time.Hour || took > time.Hour+2*patience {
			t.Errorf("beside those at work, it waited %s", took)
		}
		c.want("one had finished", 2, 0, 4, 3, 5)
		c.conns[8].answer()
		last := c.conns[8]
		time.AfterFunc(time.Second, func() { last.Close(); last.Close() }) // as servers do
		if took := c.come(); took != time.Second {
			t.Errorf("until one was closed, it waited %s", took)
		}
		c.end()
	})
}

// Who sends much at a time is not slow, and who does not take its answer is.
func TestRatesOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := &connection{Conn: ours, of: &limited{}, since: time.Now()}
		go theirs.Write(make([]byte, SmallBody+10*leastRate))
		io.ReadFull(c, make([]byte, SmallBody+10*leastRate))
		for after, want := range map[time.Duration]reason{11*time.Second - 1: working, 11 * time.Second: slow} {
			if got := c.standing(time.Now().Add(after)).reason; got != want {
				t.Errorf("after %s: %d", after, got)
			}
		}
		c.answer()
		go c.Write(make([]byte, 100))
		synctest.Wait()
		for after, want := range map[time.Duration]reason{patience - 1: working, patience: slow} {
			if got := c.standing(time.Now().Add(after)).reason; got != want {
				t.Errorf("%s after the answer: %d", after, got)
			}
		}
		theirs.Close()
		synctest.Wait()
		if got := c.standing(time.Now().Add(time.Hour)).reason; got != working {
			t.Errorf("when the answer is written: %d", got)
		}
	})
}

// TestIdleClientsOfHTTP: they keep nobody out; a request that is answered goes on.
func TestIdleClientsOfHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on, goOn := newPipes(), make(chan struct{})
		s := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if r.URL.Path == "/long" {
				<-goOn
			}
			fmt.Fprintf(w, "%s%v", body, err)
		}), longest, quiet)
		go s.Serve(limit(on, 3))
		defer time.Sleep(closing)
		defer s.Close()
		begin := func(request string) net.Conn {
			conn := on.dial()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Error(err)
			}
			return conn
		}
		answer := func(conn net.Conn) {
			t.Helper()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "body<nil>" && string(body) != "<nil>" {
				t.Errorf("%q, %v", body, err)
			}
			synctest.Wait()
		}
		get := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		long := begin("POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
		begin("POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo") // and never the rest
		synctest.Wait()
		time.Sleep(2 * patience)
		start := time.Now()
		idle := begin(get)
		answer(idle)
		for range 10 {
			answer(begin(get))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("beside an idle one, they waited %s", took)
		}
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the first idle one is open: %v", err)
		}
		// The last idle one, and then the slow one.
		answer(begin("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"))
		again := begin("GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		answer(begin(get))
		if took := time.Since(start); took != 0 {
			t.Errorf("beside a slow one, they waited %s", took)
		}
		close(goOn)
		answer(long)
		answer(again)
	})
}

// TestConnectionsAndFiles: there are no more than there can be files.
func TestConnectionsAndFiles(t *testing.T) {
	for _, c := range []struct{ wanted, ports, files, most int }{
		{4096, 2, 1 << 20, 4096}, {4096, 2, 4096, 1856}, {4096, 1, 1024, 640}, {4096, 2, 100, 16}, {8, 2, 100, 8},
	} {
		if got := connectionsOf(c.wanted, c.ports, c.files); got != c.most {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if got := Connections(1, 1); got != 1 {
		t.Errorf("%d, where there are %d files", got, files())
	}
}
