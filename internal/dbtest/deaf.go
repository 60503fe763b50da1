//go:build unix

package dbtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
)

// Deaf is a proxy before a server that says that it did what certain statements
// ask for, and does not: as a proxy that keeps its own sessions with a server.
type Deaf struct {
	listener net.Listener
	server   string
	to       string

	mu   sync.Mutex
	open []net.Conn
}

// NewDeaf starts a proxy that swallows statements that begin with a text.
func (s *Server) NewDeaf(to string) (*Deaf, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Deaf{listener: l, server: s.Addr(), to: to}
	go d.accept()
	return d, nil
}

// Addr is the proxy's host and port.
func (d *Deaf) Addr() string { return d.listener.Addr().String() }

// Close ends the proxy and its connections.
func (d *Deaf) Close() error {
	err := d.listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.open {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (d *Deaf) accept() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", d.server)
		if err != nil {
			client.Close()
			continue
		}
		d.mu.Lock()
		d.open = append(d.open, client, server)
		d.mu.Unlock()
		go func() { io.Copy(client, server); client.Close() }()
		go func() { d.pass(client, server); server.Close() }()
	}
}

// done is the answer OK, first in its conversation, in a session with autocommit.
var done = [...]byte{7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}

// pass passes packets on: three bytes of length, one of sequence, the payload.
// The first of a conversation has sequence 0, and begins with the command: 3 is
// a statement in text.
func (d *Deaf) pass(client, server net.Conn) {
	from := bufio.NewReader(client)
	for {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		packet := make([]byte, 4+(int(head[0])|int(head[1])<<8|int(head[2])<<16))
		copy(packet, head[:])
		if _, err := io.ReadFull(from, packet[4:]); err != nil {
			return
		}
		to, answer := server, packet
		if head[3] == 0 && len(packet) > 4 && packet[4] == 3 && strings.HasPrefix(string(packet[5:]), d.to) {
			to, answer = client, done[:]
		}
		if _, err := to.Write(answer); err != nil {
			return
		}
	}
}
