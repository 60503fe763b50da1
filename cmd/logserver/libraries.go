package main

import (
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/grpclog"
)

// mostSaid is how many lines a second of what libraries say are passed on.
// Clients make them say things, such as by not waiting for an answer.
const mostSaid = 10

// libraries takes what libraries say (grpc, grpc-gateway, and whoever uses
// package log), which know one place per process for it, and no logger of ours.
// What fails is told as an error besides, or is a client's: it is written at
// level debug, and until there is a logger not at all.
type libraries struct {
	to  atomic.Pointer[slog.Logger]
	now func() time.Time

	mu   sync.Mutex
	from time.Time // when the second began
	said int       // lines in that second
}

// listen makes it the process's. It comes before anything else.
func (l *libraries) listen() {
	log.SetFlags(0)
	log.SetOutput(l)
	// What is no error goes on in every connection's life.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, l))
}

// Write implements io.Writer, with one line each time.
func (l *libraries) Write(line []byte) (int, error) {
	logger := l.to.Load()
	if logger == nil || !l.mayPass() {
		return len(line), nil
	}
	text := strings.TrimSpace(string(line))
	if _, what, ok := strings.Cut(text, "ERROR: "); ok { // grpclog writes the time before
		text = what
	}
	logger.Debug("library log message", "what", text)
	return len(line), nil
}

func (l *libraries) mayPass() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.from) >= time.Second {
		l.from, l.said = now, 0
	}
	l.said++
	return l.said <= mostSaid
}
