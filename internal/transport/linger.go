package transport

import (
	"context"
	"io"
	"time"
)

// An answer can come before its request is complete: 413, 415, 401 and many
// others. If the server then closed the connection at once, the client's system
// would learn that its bytes were not wanted, and throw the answer away. So a
// connection lingers: the server ends its own side, and reads and discards what
// the client still sends, until the client has closed its side or a limit is
// reached. A lingering connection holds its place, gives way as a slow one does,
// and has no memory of the budget.
const (
	// LingerBytes is the maximum of what a lingering connection discards.
	LingerBytes = 128 << 20
	// LingerTime is how long a connection lingers at most.
	LingerTime = 30 * time.Second
	// lingerSlack is by how much a client may fall behind leastRate.
	lingerSlack = 5 * time.Second
)

// halfCloser is a connection whose sending side can be closed alone.
type halfCloser interface{ CloseWrite() error }

// Close closes the connection, or has it linger. A second call closes it.
func (c *connection) Close() error {
	c.mu.Lock()
	half, ok := c.Conn.(halfCloser)
	lingers := ok && c.unread && !c.closed
	c.closed = true
	c.mu.Unlock()
	if !lingers || half.CloseWrite() != nil {
		return c.end()
	}
	c.change(func(c *connection) { c.idle = false })
	c.of.lingering.Go(c.linger)
	return nil
}

func (c *connection) end() error {
	err := c.Conn.Close()
	c.of.mu.Lock()
	c.of.forget(c)
	c.of.mu.Unlock()
	c.of.free()
	return err
}

func (c *connection) linger() {
	defer c.end()
	begin, discarded := time.Now(), int64(0)
	for discarded < LingerBytes {
		end := begin.Add(LingerTime)
		if slow := late(begin, discarded).Add(lingerSlack); slow.Before(end) {
			end = slow
		}
		c.Conn.SetReadDeadline(end)
		n, err := io.CopyN(io.Discard, c, leastRate)
		if err != nil {
			return
		}
		discarded += n
	}
}

// drain waits for the connections that linger. When ctx ends, it closes them.
func (l *limited) drain(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		l.lingering.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	for _, c := range l.open {
		c.Conn.Close()
	}
	l.mu.Unlock()
	<-done
}
