// Package transport is what servers have in common: listeners with limits, an
// admin port, and a shutdown in the right order.
//
// Shutting down, a server first says that it is not ready, then takes no more
// connections, then waits for the requests that run, for as long as it is
// given, and then ends them.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
)

// Limits that do not depend on what is served. A client that sends its headers
// or its body a byte at a time is cut off.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// HTTPServer makes a server with the limits set.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// AdminHandler answers what an operator's tools ask: /healthz (the process
// lives), /readyz (it can do its work; else why not), /metrics, /debug/pprof/.
func AdminHandler(ready func() error, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// Servers are the servers of one process. Each may be nil.
type Servers struct {
	HTTP, Admin     *http.Server
	GRPC            *grpc.Server
	HTTPOn, AdminOn net.Listener
	GRPCOn          net.Listener
	Grace           time.Duration // how long running requests may take at the end
}

// Run serves until ctx ends or a server fails, and shuts all of them down.
func (s Servers) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	serve := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve %s: %w", what, err))
			}
		})
	}
	if s.HTTP != nil {
		serve("HTTP", func() error { return s.HTTP.Serve(s.HTTPOn) })
	}
	if s.Admin != nil {
		serve("admin", func() error { return s.Admin.Serve(s.AdminOn) })
	}
	if s.GRPC != nil {
		serve("gRPC", func() error { return s.GRPC.Serve(s.GRPCOn) })
	}
	<-ctx.Done()
	s.shutdown()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s Servers) shutdown() {
	grace, cancel := context.WithTimeout(context.Background(), s.Grace)
	defer cancel()
	var wg sync.WaitGroup
	if s.HTTP != nil {
		wg.Go(func() { closeHTTP(grace, s.HTTP) })
	}
	if s.GRPC != nil {
		wg.Go(func() { closeGRPC(grace, s.GRPC) })
	}
	wg.Wait()
	// Last, so that the end can be watched.
	if s.Admin != nil {
		s.Admin.Close()
	}
}

func closeHTTP(grace context.Context, s *http.Server) {
	if s.Shutdown(grace) != nil {
		s.Close()
	}
}

func closeGRPC(grace context.Context, s *grpc.Server) {
	done := make(chan struct{})
	go func() {
		s.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-grace.Done():
		s.Stop()
		<-done
	}
}

// Listen opens a TCP listener; with a certificate, one for TLS 1.2 and later.
// The certificate's files are read again when they change, within a minute.
func Listen(addr, certFile, keyFile string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	if certFile == "" {
		return l, nil
	}
	certs := &certificates{certFile: certFile, keyFile: keyFile}
	if _, err := certs.get(nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: certs.get, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}), nil
}

// certificates holds a certificate, and looks for a newer one once a minute.
type certificates struct {
	certFile, keyFile string

	mu      sync.Mutex
	cert    *tls.Certificate
	checked time.Time
	changed time.Time
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Since(c.checked) < time.Minute {
		return c.cert, nil
	}
	c.checked = time.Now()
	info, err := os.Stat(c.certFile)
	if err == nil && c.cert != nil && info.ModTime().Equal(c.changed) {
		return c.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.cert != nil {
			return c.cert, nil // half-written: the old one goes on
		}
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	c.cert = &cert
	if info != nil {
		c.changed = info.ModTime()
	}
	return c.cert, nil
}
