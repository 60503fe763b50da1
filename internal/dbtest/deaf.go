//go:build unix

package dbtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// Deaf is a proxy before a server that does not keep a client's session, as one
// that has sessions of its own with the server. It says that it did what certain
// statements ask for, and does not; and it may give the client, at the beginning
// of a transaction, a session with other settings.
type Deaf struct {
	listener net.Listener
	server   string
	to       string
	swap     atomic.Pointer[string]

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

// Swap has every transaction begin in a session where that statement was run.
func (d *Deaf) Swap(statement string) { d.swap.Store(&statement) }

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
		var own atomic.Int32
		go func() { answers(client, server, &own); client.Close() }()
		go func() { d.pass(client, server, &own); server.Close() }()
	}
}

// answers passes the server's answers on, but those to what the proxy itself asked.
func answers(client, server net.Conn, own *atomic.Int32) {
	from := bufio.NewReader(server)
	for {
		packet, err := next(from)
		if err != nil {
			return
		}
		if own.Load() > 0 {
			own.Add(-1) // OK, in one packet
			continue
		}
		if _, err := client.Write(packet); err != nil {
			return
		}
	}
}

// done is the answer OK, first in its conversation, in a session with autocommit.
var done = [...]byte{7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}

// next reads a packet: three bytes of length, one of sequence, the payload.
func next(from *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, 4+(int(head[0])|int(head[1])<<8|int(head[2])<<16))
	copy(packet, head[:])
	_, err := io.ReadFull(from, packet[4:])
	return packet, err
}

// pass passes packets on. The first of a conversation has sequence 0, and begins
// with the command: 3 is a statement in text.
func (d *Deaf) pass(client, server net.Conn, own *atomic.Int32) {
	from := bufio.NewReader(client)
	for {
		packet, err := next(from)
		if err != nil {
			return
		}
		to, answer := server, packet
		if packet[3] == 0 && len(packet) > 4 && packet[4] == 3 {
			text := string(packet[5:])
			if d.to != "" && strings.HasPrefix(text, d.to) {
				to, answer = client, done[:]
			}
			if swap := d.swap.Load(); swap != nil && strings.HasPrefix(text, "START TRANSACTION") {
				own.Add(1)
				answer = append(query(*swap), packet...)
			}
		}
		if _, err := to.Write(answer); err != nil {
			return
		}
	}
}

// query is a short statement's packet.
func query(statement string) []byte {
	return append([]byte{byte(len(statement) + 1), 0, 0, 0, 3}, statement...)
}
