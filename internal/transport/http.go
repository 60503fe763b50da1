package transport

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
		Handler:           followRequests(recoverHTTP(h, log)),
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
			log.Error("a request made the server panic", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"code":13,"message":"internal error; the server's log says more","details":[]}`+"\n")
		}()
		next.ServeHTTP(w, r)
	})
}

// ObserveHTTP calls seen after every request.
func ObserveHTTP(next http.Handler, seen func(r *http.Request, status int, took time.Duration)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(s, r)
		if s.status == 0 {
			s.status = http.StatusOK
		}
		seen(r, s.status, time.Since(start))
	})
}

// statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	if s.status == 0 && status >= http.StatusOK {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// AdminHandler answers what an operator's tools ask: /healthz (the process
// lives), /readyz (it can do its work; else why not), /metrics, /debug/pprof/.
// What warnings return, if there are any, follows the answer of /readyz, a line
// each: they do not make it fail.
func AdminHandler(ready func() error, metrics *prometheus.Registry, warnings ...func() []string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
		} else {
			fmt.Fprintln(w, "ok")
		}
		for _, list := range warnings {
			for _, text := range list() {
				fmt.Fprintln(w, "warning:", text)
			}
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
