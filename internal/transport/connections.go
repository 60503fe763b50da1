package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// patience is how long a client may be waited for while others want the place
	// of its connection, or the memory of its request.
	patience = time.Second
	// leastRate is how many bytes a second a client must send, or take, to be none
	// of the slow ones: those beyond SmallBody. What fits into that comes at once.
	leastRate = 64 << 10
)

// late is when a client that is waited for since then, and has sent so many
// bytes, begins to be slow.
func late(since time.Time, bytes int64) time.Time {
	return since.Add(time.Duration(max(0, bytes-SmallBody)) * time.Second / leastRate)
}

// limit lets a listener have so many connections open. When it has, one of them
// gives way to a new one: the one that is idle for the longest; where none is, the
// one whose client has kept it waiting for the longest, for a request or to take
// its answer, if that is too long; else one with nothing but streams over which
// nothing goes. While all of them are at work, the new one waits. So no number of
// idle or slow clients keeps others out.
func limit(l net.Listener, most int) *limited {
	return &limited{Listener: l, most: most, freed: make(chan struct{}, 1), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	most      int
	tls       *tls.Config   // nil: no TLS
	freed     chan struct{} // holds one value when there may be room
	once      sync.Once
	closed    chan struct{}
	lingering sync.WaitGroup // connections that linger

	mu   sync.Mutex
	open []*connection
}

func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, of: l, since: time.Now()}
	for !l.add(c) {
		select {
		case <-l.freed:
		case <-time.After(patience / 20):
		case <-l.closed:
			conn.Close()
			return nil, net.ErrClosed
		}
	}
	if l.tls != nil {
		return tls.Server(c, l.tls), nil
	}
	return c, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// add reports whether there is room for a connection, for which another may be
// closed.
func (l *limited) add(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most && !l.closeOne(time.Now()) {
		return false
	}
	c.at = len(l.open)
	l.open = append(l.open, c)
	return true
}

// closeOne is called with the lock.
func (l *limited) closeOne(now time.Time) bool {
	var first *connection
	var least standing
	for _, c := range l.open {
		if s := c.standing(now); s.before(least) {
			first, least = c, s
		}
	}
	// It may have come to work meanwhile, which its own lock decides.
	if first == nil || !first.cut(now) {
		return false
	}
	l.forget(first)
	first.Conn.Close() // without the goodbye of TLS, to who may not listen
	return true
}

// forget is called with the lock.
func (l *limited) forget(c *connection) {
	if c.at >= len(l.open) || l.open[c.at] != c {
		return
	}
	last := len(l.open) - 1
	l.open[c.at] = l.open[last]
	l.open[c.at].at = c.at
	l.open[last] = nil
	l.open = l.open[:last]
}

func (l *limited) free() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// standing is by what connections give way: the lower reason first, and of two
// with the same one that has it for longer.
type standing struct {
	reason reason
	since  time.Time
}

type reason int

const (
	working reason = iota // and so does not give way
	idle
	slow
	streaming
)

func (s standing) before(o standing) bool {
	switch {
	case s.reason == working:
		return false
	case o.reason == working || s.reason < o.reason:
		return true
	}
	return s.reason == o.reason && s.since.Before(o.since)
}

// connection knows for whom it waits. Its own lock is held for moments only.
type connection struct {
	net.Conn
	of *limited
	at int // in of.open

	mu       sync.Mutex
	idle     bool      // no request has begun
	calls    int       // of gRPC, that have begun
	streams  int       // of these, over which the server sends
	answered int       // requests that are complete and are answered now
	since    time.Time // when it came, became idle, began a request, or finished one
	received int64     // bytes since then
	sending  time.Time // since when bytes are written that the client does not take; zero: none are
	bytes    int64     // that are written
	unread   bool      // a request has begun that is not complete
	closed   bool
}

// standing says whether a connection may give way.
func (c *connection) standing(now time.Time) standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stands(now)
}

func (c *connection) stands(now time.Time) standing {
	tooLong := func(why reason, since time.Time) standing {
		if now.Sub(since) < patience {
			return standing{}
		}
		return standing{why, since}
	}
	if !c.sending.IsZero() {
		if s := tooLong(slow, late(c.sending, c.bytes)); s.reason == slow {
			return s
		}
	}
	switch {
	case c.answered > 0:
		return standing{}
	case c.idle:
		return standing{idle, c.since}
	case c.streams > 0 && c.streams == c.calls:
		return tooLong(streaming, c.since)
	}
	return tooLong(slow, late(c.since, c.received))
}

// cut reports whether the connection may still give way. What begins on it later
// finds it closed.
func (c *connection) cut(now time.Time) bool { return c.standing(now).reason != working }

// change changes what a connection does. It may be nil.
func (c *connection) change(do func(c *connection)) {
	if c == nil {
		return
	}
	c.mu.Lock()
	do(c)
	c.since, c.received = time.Now(), 0
	c.mu.Unlock()
}

func (c *connection) becomeIdle() {
	c.change(func(c *connection) { c.idle, c.unread = true, false })
	c.tell()
}

func (c *connection) becomeActive() {
	c.change(func(c *connection) { c.idle, c.unread = false, true })
}

// answer says that a request is complete, and answered from now on; finished that
// it was.
func (c *connection) answer() {
	c.change(func(c *connection) { c.answered++; c.unread = false })
}
func (c *connection) finished() { c.change(func(c *connection) { c.answered-- }) }

// tell wakes Accept, which may wait for a place.
func (c *connection) tell() {
	if c != nil {
		c.of.free()
	}
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.received += int64(n)
	c.mu.Unlock()
	return n, err
}

func (c *connection) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.sending, c.bytes = time.Now(), int64(len(p))
	c.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	c.sending = time.Time{}
	c.mu.Unlock()
	return n, err
}

// connectionOf finds the connection below TLS; nil for one of another listener.
func connectionOf(conn net.Conn) *connection {
	for {
		switch c := conn.(type) {
		case *connection:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// connectionKey is where a request's context has its connection.
type connectionKey struct{}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, connectionOf(conn))
}

// connectionState follows the connections of an HTTP server.
func connectionState(conn net.Conn, s http.ConnState) {
	c := connectionOf(conn)
	switch s {
	case http.StateActive:
		c.becomeActive()
	case http.StateIdle:
		c.becomeIdle()
	}
}

// followRequests tells connections when a request is complete, and answered.
func followRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connectionKey{}).(*connection)
		switch {
		case c == nil:
			next.ServeHTTP(w, r)
		case r.Body == nil || r.Body == http.NoBody:
			c.answer()
			defer c.finished()
			next.ServeHTTP(w, r)
		default:
			b := &Body{ReadCloser: r.Body, conn: c}
			defer b.answered()
			r.Body = b
			next.ServeHTTP(w, r)
		}
	})
}
