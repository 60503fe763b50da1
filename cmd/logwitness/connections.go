//go:build unix

package main

import "net/http"

// Limits that keep the witness's memory under 64 MiB, whatever is sent to it.
const (
	// maxConnections is how many connections are open at a time. Each costs some
	// 20 KiB, one with TLS 50.
	maxConnections = 192
	// maxHeader is how many bytes a request's headers may have; net/http allows
	// for 4 KiB more.
	maxHeader = 1 << 10
	// maxStreams is how many requests a connection may make at once over HTTP/2.
	maxStreams = 16
	// streamBuffer is how much of a connection's bodies is taken before anybody
	// reads them, over HTTP/2.
	streamBuffer = 64 << 10
	// frame is the largest piece in which they come.
	frame = 16 << 10
)

// limit has a server keep what a connection costs within bounds.
func limit(s *http.Server) {
	s.MaxHeaderBytes = maxHeader
	s.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, MaxReadFrameSize: frame,
		MaxReceiveBufferPerConnection: streamBuffer, MaxReceiveBufferPerStream: streamBuffer,
	}
}
