//go:build unix

package main

import "net/http"

// Limits that keep the witness's memory under 64 MiB, whatever is sent to it.
const (
	// maxConnections is how many connections are open at a time. Each costs some
	// 20 KiB, one with TLS 50.
	maxConnections = 128
	// maxHeader is how many bytes a request's headers may have; net/http allows
	// for 4 KiB more.
	maxHeader = 1 << 10
)

// protocol is the only one that is spoken: a connection of HTTP/2 has many requests
// at once, and costs 150 KiB.
const protocol = "http/1.1"

// limit has a server keep what a connection costs within bounds.
func limit(s *http.Server) {
	s.MaxHeaderBytes = maxHeader
	s.HTTP2, s.Protocols = nil, new(http.Protocols)
	s.Protocols.SetHTTP1(true)
}
