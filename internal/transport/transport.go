// Package transport is what servers have in common: listeners with limits and
// TLS, HTTP servers that a slow or greedy client does not wear down, and a shutdown
// in the right order. Package rpc below it is the same for gRPC, and adminport is the admin
// port.
//
//	on, err := transport.Listen("127.0.0.1:8080", transport.DefaultConnections, nil)
//	…
//	err = transport.Servers{
//		HTTP: transport.HTTPServer(handler, 30*time.Second, logger), HTTPOn: on,
//		Grace: 15 * time.Second,
//	}.Run(ctx)
//
// When Run's context ends, the servers take no more connections, end what would
// go on for ever (gRPC streams), wait for the requests that run, for as long as
// Grace says, and then end them. The admin port is closed last, so that the end
// can be watched. Whoever gives adminport.Handler its ready function lets it turn
// false when the same context ends: that is the first step.
package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Delayed returns a context that ends a while after ctx does. While readiness, by
// ctx, says that the server stops, the servers, by this one, still take requests:
// load balancers need that time, and the log names it. The function ends it at once.
func Delayed(ctx context.Context, delay time.Duration, log *slog.Logger) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if delay > 0 {
			log.Info("stopping: not ready any more, and requests are still taken until the shutdown delay ends", "delay", delay.String())
		}
		select {
		case <-time.After(delay):
		case <-later.Done():
		}
		cancel()
	})
	return later, func() { stop(); cancel() }
}

// GRPCServer is a gRPC server: a *rpc.Server. An interface keeps gRPC out of programs that have none.
type GRPCServer interface {
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

// Servers are the servers of one process. Each may be nil.
type Servers struct {
	HTTP, Admin     *http.Server
	GRPC            GRPCServer
	HTTPOn, AdminOn net.Listener
	GRPCOn          net.Listener
	Grace           time.Duration // how long running requests may take at the end
}

// Run serves until ctx ends, or a server fails, whose error it returns; then it
// shuts all of them down.
func (s Servers) Run(ctx context.Context) error {
	failed := make(chan error, 3)
	var wg sync.WaitGroup
	serve := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", what, err)
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
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.shutdown()
	wg.Wait()
	return err
}

func (s Servers) shutdown() {
	grace, cancel := context.WithTimeout(context.Background(), s.Grace)
	defer cancel()
	var wg sync.WaitGroup
	if s.HTTP != nil {
		wg.Go(func() { closeHTTP(grace, s.HTTP, s.HTTPOn) })
	}
	if s.GRPC != nil {
		wg.Go(func() { closeGRPC(grace, s.GRPC) })
	}
	wg.Wait()
	if s.Admin != nil {
		s.Admin.Close()
	}
}

func closeHTTP(grace context.Context, s *http.Server, on net.Listener) {
	if s.Shutdown(grace) != nil {
		s.Close()
	}
	if l, ok := on.(*limited); ok {
		l.drain(grace)
	}
}

func closeGRPC(grace context.Context, s GRPCServer) {
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
