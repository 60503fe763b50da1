package transport

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"indelible/internal/requestid"
)

// Limits that do not depend on what is served. A client that sends its headers
// or its body a byte at a time is cut off, and so is one that reads that way.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second // headers and body
	sendTimeout       = 30 * time.Second // the answer, once it is made
	idleTimeout       = 2 * time.Minute
	// A client that sends much of its headers, and no more, costs that.
	maxHeaderBytes = 16 << 10
	// http2Frame is what a client of HTTP/2 has allocated by the first bytes of a
	// frame, and http2Ahead what it may send ahead of who reads it.
	http2Frame = 16 << 10
	http2Ahead = 256 << 10
)

// Reached returns the host and port by which a program on this machine reaches a
// listener: one that listens on all addresses is at localhost.
func Reached(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// HTTPServer makes a server with the limits set. longest is how long an answer
// may take to make. A request that panics is logged, and answered as far as it
// can be.
func HTTPServer(h http.Handler, longest time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           nameRequests(followRequests(recoverHTTP(h, log))),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + longest + sendTimeout, // it begins at the end of the headers
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxReadFrameSize: http2Frame, MaxReceiveBufferPerConnection: http2Ahead, MaxReceiveBufferPerStream: http2Ahead},
		ConnState:         connectionState,
		ConnContext:       withConnection,
		// What net/http says is about clients: broken handshakes and the like.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func recoverHTTP(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil || p == http.ErrAbortHandler {
				return
			}
			log.Error("a request made the server panic", "method", r.Method, "path", r.URL.Path, "request", requestid.Of(r.Context()), "panic", p, "stack", string(debug.Stack()))
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"code":13,"message":"internal error; the server's log says more","details":[]}`+"\n")
		}()
		next.ServeHTTP(w, r)
	})
}

// Leaving has the clients of a server that stops go to another: once ctx has ended,
// their connection ends with the next answer. Otherwise they would keep it until the
// server closes it, which can be the moment when they send their next request.
func Leaving(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// ObserveHTTP calls all of seen after every request.
func ObserveHTTP(next http.Handler, seen ...func(*http.Request, Answered)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(s, r)
		if s.status == 0 {
			s.status = http.StatusOK
		}
		got := Answered{s.status, s.bytes, time.Since(start)}
		for _, tell := range seen {
			tell(r, got)
		}
	})
}

// statusWriter remembers the status that was sent, and counts the bytes of the body.
type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (s *statusWriter) Write(b []byte) (int, error) {
	n, err := s.ResponseWriter.Write(b)
	s.bytes += int64(n)
	return n, err
}

func (s *statusWriter) WriteHeader(status int) {
	if s.status == 0 && status >= http.StatusOK {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
