package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// maxConnections is how many connections a listener has open at a time. More
// wait to be accepted, before they cost memory or a file.
const maxConnections = 8192

// Listen opens a TCP listener; with a certificate, one for TLS 1.2 and later.
// The certificate's files are read again when they change, within a minute.
func Listen(addr, certFile, keyFile string) (net.Listener, error) {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := limit(tcp, maxConnections)
	if certFile == "" {
		return l, nil
	}
	certs := &certificates{certFile: certFile, keyFile: keyFile}
	if _, err := certs.get(nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: certs.get, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}), nil
}

// limit lets a listener have n connections open.
func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	slots  chan struct{} // one in it for each open connection
	once   sync.Once
	closed chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// certificateAge is how long a certificate is used before its file is looked at
// again.
const certificateAge = time.Minute

// certificates holds a certificate, and looks for a newer one.
type certificates struct {
	certFile, keyFile string

	mu      sync.Mutex
	cert    *tls.Certificate
	checked time.Time // when its file was looked at
	changed time.Time // when its file was written
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Since(c.checked) < certificateAge {
		return c.cert, nil
	}
	c.checked = time.Now()
	err := c.load()
	if err != nil && c.cert == nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	return c.cert, nil // the old one goes on while the files are half-written
}

func (c *certificates) load() error {
	info, err := os.Stat(c.certFile)
	if err != nil || c.cert != nil && info.ModTime().Equal(c.changed) {
		return err
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.cert, c.changed = &cert, info.ModTime()
	return nil
}
