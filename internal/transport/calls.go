package transport

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// connectionInfo has the calls of gRPC know their connections. TLS, if there is
// any, is the listener's.
type connectionInfo struct {
	credentials.TransportCredentials
}

// connectionAuth is what a call's context has of its connection.
type connectionAuth struct {
	credentials.AuthInfo
	conn *connection
}

// ServerHandshake implements credentials.TransportCredentials.
func (i connectionInfo) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := i.TransportCredentials.ServerHandshake(raw)
	c := connectionOf(raw)
	c.becomeIdle()
	return conn, connectionAuth{info, c}, err
}

// Clone implements credentials.TransportCredentials.
func (i connectionInfo) Clone() credentials.TransportCredentials {
	return connectionInfo{i.TransportCredentials.Clone()}
}

// followed is a call on a connection, whose lock guards it, from its first byte until it
// is answered.
type followed struct {
	conn  *connection // nil: it is not known
	ended bool
	works bool // it is complete, and answered
	sends bool // it is a stream
}

// connectionOfCall is the connection of a call; nil if it is not known.
func connectionOfCall(ctx context.Context) *connection {
	if p, ok := peer.FromContext(ctx); ok {
		if auth, ok := p.AuthInfo.(connectionAuth); ok {
			return auth.conn
		}
	}
	return nil
}

// follow begins a call.
func follow(ctx context.Context) followed {
	c := connectionOfCall(ctx)
	c.change(func(c *connection) { c.calls++; c.idle = false })
	return followed{conn: c}
}

// end ends a call, once.
func (l *followed) end() {
	l.conn.change(func(c *connection) {
		if l.ended {
			return
		}
		l.ended = true
		c.calls--
		c.idle = c.calls == 0
		if l.works {
			c.answered--
		}
		if l.sends {
			c.streams--
		}
	})
	l.conn.tell()
}

// answer is for a call whose request is there. It may be nil.
func (a *arrival) answer() {
	if a == nil {
		return
	}
	a.complete()
	a.conn.change(func(c *connection) {
		if !a.ended {
			a.works = true
			c.answered++
		}
	})
}

// stream is for a call over which more than one answer goes.
func (a *arrival) stream() {
	if a == nil {
		return
	}
	a.conn.change(func(c *connection) {
		if !a.ended {
			a.sends = true
			c.streams++
		}
	})
}

// sent says that an answer went over a stream.
func (a *arrival) sent() {
	if a != nil {
		a.conn.change(func(*connection) {})
	}
}

// answered ends a call that was answered.
func (a *arrival) answered() {
	if a != nil {
		a.complete()
		a.end()
	}
}
