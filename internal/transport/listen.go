package transport

import (
	"crypto/tls"
	"net"
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

// Listen opens a TCP listener for at most so many connections at a time; with
// certificates, one for TLS 1.2 and later.
// protocols are those that clients with TLS may choose from, by their names in
// ALPN: HTTP/2 and HTTP/1.1 where none are given.
func Listen(addr string, most int, certs *Certificates, protocols ...string) (net.Listener, error) {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := limit(tcp, most)
	if certs == nil {
		return l, nil
	}
	if len(protocols) == 0 {
		protocols = []string{"h2", "http/1.1"}
	}
	l.tls = &tls.Config{GetCertificate: certs.get, NextProtos: protocols, MinVersion: tls.VersionTLS12}
	if certs.clientFile != "" {
		certs.askClients(l.tls)
	}
	return l, nil
}
