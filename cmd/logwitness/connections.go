//go:build unix

package main

import (
	ordered "container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// Limits that keep the witness's memory under 64 MiB, whatever is sent to it.
const (
	// maxConnections is how many connections are open at a time. Each costs some
	// 20 KiB, one with TLS 50.
	maxConnections = 256
	// maxHeader is how many bytes a request's headers may have; net/http allows
	// for 4 KiB more.
	maxHeader = 4 << 10
	// maxStreams is how many requests a connection may make at once over HTTP/2.
	maxStreams = 16
	// streamBuffer is how much of a connection's bodies is taken before anybody
	// reads them, over HTTP/2.
	streamBuffer = 64 << 10
	// frame is the largest piece in which they come.
	frame = 16 << 10
)

// connections closes the connection that has been without a finished request for
// the longest when there are too many: one that is idle, or whose client is slow.
// So no number of such clients keeps others out.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*ordered.Element
	used ordered.List // of net.Conn, the one that finished a request last at the end
}

// limit has a server keep its connections' number and cost within bounds.
func limit(s *http.Server, most int) {
	c := &connections{most: most, open: make(map[net.Conn]*ordered.Element)}
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

func (c *connections) state(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.open[conn] = c.used.PushBack(conn)
		if len(c.open) > c.most {
			c.closeFirst()
		}
	case http.StateClosed, http.StateHijacked:
		c.forget(conn)
	}
}

func (c *connections) finished(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.open[conn]; e != nil {
		c.used.MoveToBack(e)
	}
}

func (c *connections) closeFirst() {
	conn := c.used.Front().Value.(net.Conn)
	c.forget(conn)
	// TLS would first try to say goodbye, to who may not listen.
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	conn.Close()
}

func (c *connections) forget(conn net.Conn) {
	if e := c.open[conn]; e != nil {
		c.used.Remove(e)
		delete(c.open, conn)
	}
}
