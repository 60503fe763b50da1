package database

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// proxy stands between a register and its database, and breaks connections at
// the worst moment.
type proxy struct {
	listener net.Listener
	server   string

	mu           sync.Mutex
	cut          bool
	lose, refuse bool // what happens to the next UPDATE: its commit's answer is lost, or it does not arrive
	open         []net.Conn
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server}
	t.Cleanup(func() {
		l.Close()
		p.sever()
	})
	go p.accept()
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		p.mu.Lock()
		if err != nil || p.cut {
			client.Close()
			if err == nil {
				server.Close()
			}
		} else {
			p.open = append(p.open, client, server)
			lost := make(chan struct{})
			go p.toServer(client, server, lost)
			go toClient(client, server, lost)
		}
		p.mu.Unlock()
	}
}

// toServer passes on what the client says. The answer to the COMMIT of an UPDATE
// that is to be lost is waited for, and thrown away with the connection.
func (p *proxy) toServer(client, server net.Conn, lost chan<- struct{}) {
	defer server.Close()
	buf, losing := make([]byte, 64<<10), false
	for {
		n, err := client.Read(buf)
		if bytes.Contains(buf[:n], []byte("UPDATE indelible_registers")) {
			lose, refuse := p.fault()
			if refuse {
				client.Close()
				return
			}
			losing = lose
		}
		if losing && bytes.Contains(buf[:n], []byte("COMMIT")) {
			losing = false
			close(lost)
		}
		if _, failed := server.Write(buf[:n]); failed != nil || err != nil {
			return
		}
	}
}

func toClient(client, server net.Conn, lost <-chan struct{}) {
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		select {
		case <-lost:
			return
		default:
		}
		if _, failed := client.Write(buf[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (p *proxy) fault() (lose, refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lose, refuse = p.lose, p.refuse
	p.lose, p.refuse = false, false
	return lose, refuse
}

func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// sever breaks all connections.
func (p *proxy) sever() {
	p.set(func() {
		for _, c := range p.open {
			c.Close()
		}
		p.open = nil
	})
}
