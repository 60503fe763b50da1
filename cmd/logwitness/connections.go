//go:build unix

package main

import (
	ordered "container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits that keep the witness's memory under 64 MiB, whatever is sent to it.
const (
	// maxConnections is how many connections are open at a time. Each costs some
	// 20 KiB, one with TLS 50.
	maxConnections = 192
	// maxHeader is how many bytes a request's headers may have; net/http allows
	// for 4 KiB more.
	maxHeader = 1 << 10
	// maxStreams is how many requests a connection may make at once over HTTP/2.
	maxStreams = 16
	// streamBuffer is how much of a connection's bodies is taken before anybody
	// reads them, over HTTP/2.
	streamBuffer = 64 << 10
	// frame is the largest piece in which they come.
	frame = 16 << 10
	// patience is how long a connection may go without a finished request while
	// others wait to be accepted.
	patience = time.Second
)

// connections makes room for a new connection when there are too many: it closes
// the one that is idle for the longest, or, where none is, the one whose client
// has been without a finished request for the longest, if that is too long. So no
// number of slow clients keeps others out.
type connections struct {
	most  int
	freed chan struct{} // holds one value when there may be room

	mu   sync.Mutex
	open map[net.Conn]*ordered.Element
	used ordered.List // of *connection, the one that finished a request last at the end
}

type connection struct {
	net.Conn
	since time.Time // when it last finished a request, or came
	idle  bool
}

// limit has a server keep its connections' number and cost within bounds.
func limit(s *http.Server, most int) {
	c := &connections{most: most, freed: make(chan struct{}, 1), open: make(map[net.Conn]*ordered.Element)}
	s.MaxHeaderBytes = maxHeader
	s.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, MaxReadFrameSize: frame,
		MaxReceiveBufferPerConnection: streamBuffer, MaxReceiveBufferPerStream: streamBuffer,
	}
	s.ConnState = c.state
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			c.finished(conn)
		}
	})
}

// connKey is where a request's context has its connection.
type connKey struct{}

// state is called for a new connection before the next one is accepted.
func (c *connections) state(conn net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		for !c.add(conn) {
			select {
			case <-c.freed:
			case <-time.After(patience / 20):
			}
		}
	case http.StateActive, http.StateIdle:
		c.mu.Lock()
		if e := c.open[conn]; e != nil {
			e.Value.(*connection).idle = s == http.StateIdle
		}
		c.mu.Unlock()
		c.free()
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		c.forget(conn)
		c.mu.Unlock()
		c.free()
	}
}

func (c *connections) free() {
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// add reports whether there is room for a connection, for which another may be
// closed.
func (c *connections) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.most && !c.closeOne() {
		return false
	}
	c.open[conn] = c.used.PushBack(&connection{Conn: conn, since: time.Now()})
	return true
}

func (c *connections) finished(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.open[conn]; e != nil {
		e.Value.(*connection).since = time.Now()
		c.used.MoveToBack(e)
	}
}

func (c *connections) closeOne() bool {
	e := c.used.Front()
	for e != nil && !e.Value.(*connection).idle {
		e = e.Next()
	}
	if e == nil {
		e = c.used.Front()
		if time.Since(e.Value.(*connection).since) < patience {
			return false
		}
	}
	conn := e.Value.(*connection).Conn
	c.forget(conn)
	// TLS would first try to say goodbye, to who may not listen.
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	conn.Close()
	return true
}

func (c *connections) forget(conn net.Conn) {
	if e := c.open[conn]; e != nil {
		c.used.Remove(e)
		delete(c.open, conn)
	}
}
