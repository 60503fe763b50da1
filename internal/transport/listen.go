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

const (
	// DefaultConnections is how many connections a port has open at a time. One
	// costs some 20 KiB, and one with TLS 50.
	DefaultConnections = 4096
	// AdminConnections are enough for an operator's tools.
	AdminConnections = 128
	// otherFiles is how many files a process has open beside its clients' connections:
	// those to its database, and to the admin port.
	otherFiles = 384
	// fewestConnections is how many a port has however few files there may be.
	fewestConnections = 16
)

// Connections is how many connections each of some ports may have open, of so
// many that are wanted: the process has a limit of open files (RLIMIT_NOFILE).
func Connections(wanted, ports int) int { return connectionsOf(wanted, ports, files()) }

func connectionsOf(wanted, ports, files int) int {
	return min(wanted, max(fewestConnections, (files-otherFiles)/ports))
}

// Listen opens a TCP listener for at most so many connections at a time; with a
// certificate, one for TLS 1.2 and later.
// The certificate's files are read again when they change, within a minute.
// protocols are those that clients with TLS may choose from, by their names in
// ALPN: HTTP/2 and HTTP/1.1 where none are given.
func Listen(addr string, most int, certFile, keyFile string, protocols ...string) (net.Listener, error) {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := limit(tcp, most)
	if certFile == "" {
		return l, nil
	}
	certs := &certificates{certFile: certFile, keyFile: keyFile}
	if _, err := certs.get(nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if len(protocols) == 0 {
		protocols = []string{"h2", "http/1.1"}
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: certs.get, NextProtos: protocols, MinVersion: tls.VersionTLS12}), nil
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
