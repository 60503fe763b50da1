package transport

import "net"

// Connection is a connection of a listener of this package. A server of another protocol than HTTP tells it what its calls
// do, which decides whether it keeps its place. The zero Connection is of another listener; nothing comes of its methods.
type Connection struct{ c *connection }

// ConnectionOf finds the connection below TLS and other wrappers with a method NetConn.
func ConnectionOf(conn net.Conn) Connection { return Connection{connectionOf(conn)} }

// Known reports whether the connection is of a listener of this package.
func (c Connection) Known() bool { return c.c != nil }

// Idle says that no call has begun.
func (c Connection) Idle() { c.c.becomeIdle() }

// Cut closes the connection without the goodbye of TLS, which would wait for a client that does not read.
func (c Connection) Cut() {
	if c.c != nil {
		c.c.Conn.Close()
	}
}

// Call begins a call.
func (c Connection) Call() *Call {
	c.c.change(func(c *connection) { c.calls++; c.idle = false })
	return &Call{conn: c.c}
}

// Call is a call on a connection, from its first byte until it is answered. The connection's lock guards it.
type Call struct {
	conn    *connection // nil: it is not known
	ended   bool
	answers bool // its request is complete, and answered
	streams bool
}

// Answer says that the request is complete.
func (l *Call) Answer() {
	l.conn.change(func(c *connection) {
		if !l.ended {
			l.answers = true
			c.answered++
		}
	})
}

// Stream says that more than one answer goes over the call.
func (l *Call) Stream() {
	l.conn.change(func(c *connection) {
		if !l.ended {
			l.streams = true
			c.streams++
		}
	})
}

// Sent says that an answer went over a stream.
func (l *Call) Sent() { l.conn.change(func(*connection) {}) }

// End ends the call. A second End has no effect.
func (l *Call) End() {
	l.conn.change(func(c *connection) {
		if l.ended {
			return
		}
		l.ended = true
		c.calls--
		c.idle = c.calls == 0
		if l.answers {
			c.answered--
		}
		if l.streams {
			c.streams--
		}
	})
	l.conn.tell()
}
