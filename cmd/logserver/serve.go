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
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"indelible/entry"
	"indelible/index"
	"indelible/internal/config"
	"indelible/internal/transport"
	translog "indelible/log"
	"indelible/server"
	"indelible/storage/mysql"
)

// serve runs the log until ctx ends.
func (p *program) serve(ctx context.Context, v config.Values) error {
	logger := p.logger(v)
	// On MySQL a log is made by init alone: a wrong DSN must not make a second
	// history.
	parts, err := open(ctx, v, v.Text("storage") == "sqlite", false)
	if err != nil {
		return err
	}
	defer parts.close()
	if err := parts.mldsaKey(ctx, v); err != nil {
		return err
	}
	warn(ctx, logger, parts)
	warnWitnesses(v, parts, logger)
	warnRegister(v, logger)

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	l, err := openLog(v, parts, logged(server.Metrics(metrics), logger), metrics, logger)
	if err != nil {
		return err
	}
	x, err := newIndex(v, l, parts, metrics, logger)
	if err != nil {
		return err
	}
	a, err := newAPIs(ctx, v, l, x, parts, logger)
	if err != nil {
		return err
	}
	servers, err := p.listen(ctx, v, l, a, parts, metrics, logger)
	if err != nil {
		return err
	}
	return runAll(ctx, l, x, servers, func() { p.banner(v, parts, servers) })
}

// firstCheckpoint is how long the servers wait for one before they answer. A
// new log has none for some milliseconds, in which every read would fail.
const firstCheckpoint = 3 * time.Second

// runAll runs the log and its index (which may be nil) for as long as the
// servers run, and a little longer: the requests that are running at the end
// need them.
func runAll(ctx context.Context, l *translog.Log, x *index.Index, servers transport.Servers, started func()) error {
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	var running errgroup.Group
	running.Go(func() error { return l.Run(logCtx) })
	if x != nil {
		running.Go(func() error { return x.Run(logCtx) })
	}
	first, cancel := context.WithTimeout(ctx, firstCheckpoint)
	l.AwaitNewer(first, -1) // without one there are reasons, which the answers give
	cancel()
	started()
	err := servers.Run(ctx)
	stopLog()
	return errors.Join(err, running.Wait())
}

// recentBytes is how much of the newest entries is kept in memory for the search
// index: at full speed, about what it indexes at once.
const recentBytes = 8 << 20

func logConfig(v config.Values, parts *opened, events translog.Events) translog.Config {
	kept := int64(0)
	if v.Bool("search") {
		kept = recentBytes
	}
	return translog.Config{
		RecentBytes: kept,
		Store:       parts.store, Record: parts.record, Signers: []translog.Signer{parts.signer}, Cosigners: parts.cosigners(), Register: parts.register,
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
			"way out", wayOut(reason))
	}
	return e
}

// wayOut is what an operator does about a poisoned log.
func wayOut(reason string) string {
	if strings.Contains(reason, "the register is older than the log") {
		return "put the newest copy of the register back, or give the one that the log's other servers share with --register; the database is not to be changed; if the log is poisoned then, logserver guard clear"
	}
	return "find out which is right, the database or the register; restore the newer (a database can be brought forward from a mirror: logserver restore); then logserver fsck, and logserver guard clear"
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
func (p *program) listen(ctx context.Context, v config.Values, l *translog.Log, a apis, parts *opened, metrics *prometheus.Registry, logger *slog.Logger) (s transport.Servers, err error) {
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
	most := transport.Connections(int(v.Number("max-connections")), 2)
	if s.HTTPOn, err = listenOn(v, "http", most, cert, key); err != nil {
		return s, err
	}
	if s.GRPCOn, err = listenOn(v, "grpc", most, cert, key); err != nil {
		return s, err
	}
	if s.AdminOn, err = listenOn(v, "admin", transport.AdminConnections, "", ""); err != nil {
		return s, err
	}
	requests := server.NewRequests(metrics)
	ready, budget := readiness(ctx, l), transport.NewBudget(v.Size("request-memory"))
	handler, err := a.handler(ctx, v, l, parts, ready, budget)
	if err != nil {
		return s, err
	}
	s.HTTP = transport.HTTPServer(transport.ObserveHTTP(handler, requests.HTTP), v.Duration("add-timeout"), logger)
	s.Admin = transport.HTTPServer(transport.AdminHandler(ready, metrics), 0, logger)
	s.Admin.WriteTimeout = 0 // profiles take long
	s.GRPC = transport.NewGRPCServer(ctx, transport.GRPCConfig{MaxMessage: v.Size("max-body"), Budget: budget, Log: logger, Seen: requests.GRPC})
	a.register(s.GRPC)
	healthpb.RegisterHealthServer(s.GRPC, healthService{ready: ready})
	reflection.Register(s.GRPC)
	return s, nil
}

// listenOn opens the port that a setting names, for so many connections at a time.
func listenOn(v config.Values, setting string, most int, cert, key string) (net.Listener, error) {
	on, err := transport.Listen(v.Text(setting), most, cert, key)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; give another address with --%s", err, setting)
	}
	return on, err
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

// endpoints are what the HTTP port serves.
func endpoints(v config.Values) []string {
	list := []string{"/v1/ (its own)", "/checkpoint, /tile/ (C2SP tlog-tiles)"}
	if v.Bool("rekor-v2") {
		list = append(list, "/api/v2/ (Rekor v2)")
	}
	if v.Bool("rekor-v1") {
		list = append(list, "/api/v1/ (Rekor v1)")
	}
	return append(list, "/trust/ (keys and configuration for clients)")
}

// whereDatabase names the database without its user.
func whereDatabase(v config.Values, p paths) string {
	if v.Text("storage") == "sqlite" {
		return p.db
	}
	dsn, err := dsnOf(v)
	if err != nil { // the file was there when the database was opened
		return "MySQL"
	}
	return mysql.Where(dsn)
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
	fmt.Fprintf(&b, "  APIs      %s\n", strings.Join(endpoints(v), "\n            "))
	for _, vkey := range parts.record.Keys {
		fmt.Fprintf(&b, "  vkey      %s\n", brief(vkey))
	}
	paths := pathsOf(v)
	fmt.Fprintf(&b, "  database  %s\n", whereDatabase(v, paths))
	fmt.Fprintf(&b, "  key       %s\n", paths.key)
	if v.Bool("rekor-v1") {
		fmt.Fprintf(&b, "  v1 key    %s\n", paths.rekorV1)
	}
	fmt.Fprintf(&b, "  register  %s\n", paths.register)
	if policy := v.Text("witness-policy"); policy != "" {
		fmt.Fprintf(&b, "  witnesses %s\n", policy)
	}
	b.WriteByte('\n')
	cli, at := "go run ./cmd/logcli", ""
	if url != "http://127.0.0.1:8080" {
		at = " --url " + url
	}
	fmt.Fprintf(&b, "Try next, from another terminal:\n\n  %s add%s README.md\n  %s verify README.md\n\n", cli, at, cli)
	io.WriteString(p.stdout, b.String())
}
