package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/term"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	"indelible/internal/config"
	"indelible/internal/transport"
	translog "indelible/log"
	"indelible/server"
	"indelible/server/native"
	"indelible/server/tiles"
)

// serve runs the log until ctx ends.
func (p *program) serve(ctx context.Context, v config.Values) error {
	logger := newLogger(p.stderr, v.Text("log-level"))
	// On MySQL a log is made by init alone: a wrong DSN must not make a second
	// history.
	parts, err := open(ctx, v, v.Text("storage") == "sqlite", false)
	if err != nil {
		return err
	}
	defer parts.close()
	warn(ctx, logger, parts)

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg := logConfig(v, parts, logged(server.Metrics(metrics), logger))
	cfg.Replica = replica(v)
	l, err := translog.Open(cfg)
	if err != nil {
		return err
	}
	servers, err := p.listen(ctx, v, l, parts, metrics, logger)
	if err != nil {
		return err
	}
	p.banner(v, parts, servers)
	return runAll(ctx, l, servers)
}

// runAll runs the log for as long as the servers run, and a little longer: the
// requests that are running at the end need it.
func runAll(ctx context.Context, l *translog.Log, servers transport.Servers) error {
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- l.Run(logCtx) }()
	err := servers.Run(ctx)
	stopLog()
	return errors.Join(err, <-done)
}

func logConfig(v config.Values, parts *opened, events translog.Events) translog.Config {
	return translog.Config{
		Store: parts.store, Record: parts.record, Signers: []translog.Signer{parts.signer}, Register: parts.register,
		MaxBatch: v.Number("max-batch"), MaxQueue: v.Number("max-queue"), MaxQueueBytes: v.Size("max-queue-bytes"),
		Linger: v.Duration("linger"), CacheBytes: v.Size("tile-cache"), MaxClockStep: v.Duration("max-clock-step"),
		DrainTimeout: v.Duration("shutdown-timeout"), Events: events,
	}
}

// replica names this server among those of the log. A server that was killed
// and comes back by the same name need not wait until its own lease runs out;
// the address it listens on tells it from others on this host. By chance the
// same, two would both publish, which costs time and nothing else.
func replica(v config.Values) string {
	host, err := os.Hostname()
	if err != nil || strings.HasSuffix(v.Text("http"), ":0") {
		return ""
	}
	return host + " " + v.Text("http")
}

func warn(ctx context.Context, logger *slog.Logger, parts *opened) {
	warnings, err := parts.store.Warnings(ctx)
	if err != nil {
		logger.Warn("the database's settings could not be checked", "error", err)
	}
	for _, w := range warnings {
		logger.Warn(w)
	}
}

// logged adds lines in the log to the metrics' events.
func logged(e translog.Events, logger *slog.Logger) translog.Events {
	retrying, poisoned := e.Retrying, e.Poisoned
	e.Retrying = func(what string, err error) {
		retrying(what, err)
		logger.Warn("trying again", "step", what, "error", err)
	}
	e.Poisoned = func(reason string) {
		poisoned(reason)
		logger.Error("THE LOG IS POISONED: nothing is appended or signed until an operator acts. Reads go on.", "reason", reason,
			"way out", "find out which is right, the database or the register; restore the newer; then logserver fsck, and logserver guard clear")
	}
	return e
}

func newLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: l}
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// listen makes the three servers.
func (p *program) listen(ctx context.Context, v config.Values, l *translog.Log, parts *opened, metrics *prometheus.Registry, logger *slog.Logger) (s transport.Servers, err error) {
	defer func() {
		if err != nil {
			for _, on := range []net.Listener{s.HTTPOn, s.GRPCOn, s.AdminOn} {
				if on != nil {
					on.Close()
				}
			}
		}
	}()
	cert, key := v.Text("tls-cert"), v.Text("tls-key")
	s.Grace = v.Duration("shutdown-timeout")
	if s.HTTPOn, err = transport.Listen(v.Text("http"), cert, key); err != nil {
		return s, err
	}
	if s.GRPCOn, err = transport.Listen(v.Text("grpc"), cert, key); err != nil {
		return s, err
	}
	if s.AdminOn, err = transport.Listen(v.Text("admin"), "", ""); err != nil {
		return s, err
	}
	requests := server.NewRequests(metrics)
	fault := func(err error) { logger.Error("a fault that clients are not shown", "error", err) }
	service := native.New(native.Config{Log: l, Kinds: kinds(v), Timeout: v.Duration("add-timeout"), Fault: fault})
	static := tiles.New(l, v.Size("response-cache"))
	static.Fault = fault
	handler, err := server.Handler(ctx, server.Config{
		Native: service, Tiles: static, Origin: l.Origin(), Keys: parts.record.Keys,
		Size: func() int64 { pub, _ := l.Published(); return pub.Size }, MaxBody: v.Size("max-body"),
	})
	if err != nil {
		return s, err
	}
	ready := readiness(ctx, l)
	s.HTTP = transport.HTTPServer(transport.ObserveHTTP(handler, requests.HTTP), logger)
	s.Admin = transport.HTTPServer(transport.AdminHandler(ready, metrics), logger)
	s.Admin.WriteTimeout = 0 // profiles take long
	s.GRPC = grpc.NewServer(transport.GRPCOptions(ctx, transport.GRPCConfig{MaxMessage: v.Size("max-body"), Log: logger, Seen: requests.GRPC})...)
	pb.RegisterLogServer(s.GRPC, service)
	healthpb.RegisterHealthServer(s.GRPC, healthService{ready: ready})
	reflection.Register(s.GRPC)
	return s, nil
}

// readiness turns false as soon as the server is told to stop.
func readiness(ctx context.Context, l *translog.Log) func() error {
	var stopping atomic.Bool
	context.AfterFunc(ctx, func() { stopping.Store(true) })
	return func() error {
		if stopping.Load() {
			return translog.ErrStopping
		}
		return l.Ready()
	}
}

func kinds(v config.Values) []entry.Kind {
	var list []entry.Kind
	for _, k := range v.List("entry-kinds") {
		list = append(list, entry.Kind(k))
	}
	return list
}

// banner says what runs where, and what to try.
func (p *program) banner(v config.Values, parts *opened, s transport.Servers) {
	scheme := "http"
	if v.Text("tls-cert") != "" {
		scheme = "https"
	}
	url := scheme + "://" + s.HTTPOn.Addr().String()
	var b strings.Builder
	verb := "Log"
	if parts.created {
		verb = "Created log"
	}
	fmt.Fprintf(&b, "%s %q\n\n", verb, parts.record.Origin)
	fmt.Fprintf(&b, "  HTTP      %s\n  gRPC      %s\n  admin     http://%s\n", url, s.GRPCOn.Addr(), s.AdminOn.Addr())
	fmt.Fprintf(&b, "  vkey      %s\n", strings.Join(parts.record.Keys, "\n            "))
	paths := pathsOf(v)
	if v.Text("storage") == "sqlite" {
		fmt.Fprintf(&b, "  database  %s\n", paths.db)
	}
	fmt.Fprintf(&b, "  key       %s\n  register  %s\n\n", paths.key, paths.register)
	cli, at := "go run ./cmd/logcli", ""
	if url != "http://127.0.0.1:8080" {
		at = " --url " + url
	}
	fmt.Fprintf(&b, "Try next, from another terminal:\n\n  %s add%s README.md\n  %s verify README.md\n\n", cli, at, cli)
	io.WriteString(p.stdout, b.String())
}
