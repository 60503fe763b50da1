package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
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
	"indelible/guard/registers"
	"indelible/index"
	"indelible/internal/config"
	"indelible/internal/mysqldb"
	"indelible/internal/outage"
	"indelible/internal/sdnotify"
	"indelible/internal/transport"
	"indelible/internal/transport/adminport"
	"indelible/internal/transport/rpc"
	"indelible/internal/vitals"
	translog "indelible/log"
	"indelible/server"
	"indelible/writers/gate"
)

// serve runs the log until ctx ends.
func (p *program) serve(ctx context.Context, v config.Values) error {
	logger := p.logger(v)
	p.limitMemory(v, logger)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	serving, end := transport.Delayed(ctx, v.Duration("shutdown-delay"), logger)
	defer end()
	metrics := prometheus.NewRegistry()
	b := config.ThisBuild()
	vitals.Build(metrics, "logserver", b.Version, b.Revision, b.Go)
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// What can fail without a log comes first: a port that is in use leaves nothing
	// behind.
	ports, err := listen(serving, v, metrics, logger)
	if err != nil {
		return err
	}
	if err := p.awaitDatabases(ctx, v, logger); err != nil {
		return errors.Join(err, ports.close())
	}
	// On MySQL a log is made by init alone: a wrong DSN must not make a second
	// history.
	parts, err := open(ctx, v, v.Text("storage") == "sqlite", false)
	if err != nil {
		return errors.Join(err, ports.close())
	}
	who, err := p.newWriters(v, metrics, logger)
	if err != nil {
		return errors.Join(err, ports.close(), parts.abandon())
	}
	run, err := p.prepare(ctx, serving, v, parts, ports, who, metrics, logger)
	if err != nil {
		return errors.Join(err, ports.close(), parts.abandon())
	}
	parts.keep()
	defer parts.close()
	if who != nil {
		if err := parts.loadTokens(ctx, who); err != nil {
			return errors.Join(fmt.Errorf("read the API tokens of writers: %w", err), ports.close())
		}
		following, stop := context.WithCancel(serving)
		defer stop()
		go parts.followTokens(following, who, logger)
	}
	go p.reload(ports.certs, parts, who, logger).Follow(serving, v, again)
	return run()
}

// awaitDatabases waits for the database, and then for that of the register, as
// --wait-for-database says.
func (p *program) awaitDatabases(ctx context.Context, v config.Values, logger *slog.Logger) error {
	within := v.Duration("wait-for-database")
	if within == 0 {
		return nil
	}
	sdnotify.New(p.getenv, logger).Waiting(2*within + startWithin)
	if v.Text("storage") == "mysql" {
		dsn, err := dsnOf(v)
		if err != nil {
			return err
		}
		if err := mysqldb.Await(ctx, dsn, databaseAccess(v), within, logger); err != nil {
			return err
		}
	}
	return registers.Await(ctx, pathsOf(v).register, within, logger)
}

// startWithin is how long a start may take once the databases answer; systemd's
// own default.
const startWithin = 90 * time.Second

// reload is what SIGHUP does.
func (p *program) reload(certs *transport.Certificates, parts *opened, who *gate.Gate, logger *slog.Logger) config.Reload {
	// New connections read these files, and that of the DSN when the server refuses
	// the one in use.
	perConnection := func(v config.Values) error { return mysqlTLS(v).Check() }
	return config.Reload{Load: p.again, Log: logger, Systemd: sdnotify.New(p.getenv, logger), Live: map[string]func(config.Values) error{
		"log-level":     func(v config.Values) error { p.level.Set(level(v.Text("log-level"))); return nil },
		"tls-cert":      func(config.Values) error { return certs.Reload() },
		"tls-key":       func(config.Values) error { return nil }, // with tls-cert
		"tls-client-ca": func(config.Values) error { return certs.ReloadClients() },
		"writers": func(config.Values) error {
			if who == nil {
				return nil
			}
			return who.Reload()
		},
		"mysql-dsn-file": func(config.Values) error {
			if db, ok := parts.store.(interface{ CheckSource() error }); ok {
				return db.CheckSource()
			}
			return nil
		},
		// Its database's connections read the DSN themselves, as above.
		"register": func(config.Values) error {
			_, err := registers.Exposed(parts.place)
			return err
		},
		"mysql-tls-ca": perConnection, "mysql-tls-cert": perConnection, "mysql-tls-key": perConnection,
	}}
}

// prepare makes all that runs over an open log, and returns what runs it until
// serving ends. When ctx ends, the log is not ready any more.
func (p *program) prepare(ctx, serving context.Context, v config.Values, parts *opened, ports ports, who *gate.Gate, metrics *prometheus.Registry, logger *slog.Logger) (run func() error, err error) {
	if err := parts.mldsaKey(ctx, v); err != nil {
		return nil, err
	}
	settings := databaseSettings(ctx, parts, metrics, logger)
	warnWitnesses(v, parts, logger)
	warnRegister(parts, logger)
	copies(v, parts, logger)
	events := logged(server.Metrics(metrics), logger)
	leads := leading(&events)
	mending(&events, metrics, logger)
	parts.kept = keptAt(v, events.Mended)
	l, err := openLog(v, parts, events, metrics, logger)
	if err != nil {
		return nil, err
	}
	static, err := newPublication(v, l, parts, leads, metrics, logger)
	if err != nil {
		return nil, err
	}
	x, err := newIndex(v, l, parts, metrics, logger)
	if err != nil {
		return nil, err
	}
	a, err := newAPIs(ctx, v, l, x, parts, who, logger)
	if err != nil {
		return nil, err
	}
	servers, err := newServers(serving, v, l, a, parts, ports, readiness(ctx, l), metrics, logger, settings.Warnings, static.warnings)
	if err != nil {
		return nil, err
	}
	servers.HTTP.Handler = transport.Leaving(ctx, servers.HTTP.Handler)
	systemd := sdnotify.New(p.getenv, logger)
	context.AfterFunc(ctx, systemd.Stopping)
	return func() error {
		go settings.Follow(serving)
		return runAll(serving, l, x, static, servers, func() {
			p.banner(v, parts, servers, l.Ready())
			systemd.Ready()
		})
	}, nil
}

// databaseSettings checks the database's settings, and has the log name those that
// are not as they should be.
func databaseSettings(ctx context.Context, parts *opened, metrics *prometheus.Registry, logger *slog.Logger) *vitals.Settings {
	settings := vitals.NewSettings(metrics, parts.store.Warnings, logger)
	if err := settings.Look(ctx); err != nil {
		logger.Warn("the database's settings could not be checked", "error", err)
	}
	return settings
}

// firstCheckpoint is how long the servers wait for one before they answer. A
// new log has none for some milliseconds, in which every read would fail.
const firstCheckpoint = 3 * time.Second

// runAll runs the log, its index (which may be nil) and its publication for as long
// as the servers run, and a little longer: the requests that are running at the end
// need them.
func runAll(ctx context.Context, l *translog.Log, x *index.Index, static publishing, servers transport.Servers, started func()) error {
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	var running errgroup.Group
	running.Go(func() error { return l.Run(logCtx) })
	running.Go(func() error { return static.run(logCtx) })
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
	cfg := translog.Config{
		RecentBytes: kept, ScrubRate: int64(v.Number("scrub-rate")),
		Store: parts.store, Record: parts.record, Signers: []translog.Signer{parts.signer}, Cosigners: parts.cosigners(), Register: parts.register,
		MaxBatch: v.Number("max-batch"), MaxQueue: v.Number("max-queue"), MaxQueueBytes: v.Size("max-queue-bytes"),
		Linger: v.Duration("linger"), CacheBytes: v.Size("tile-cache"), MaxClockStep: v.Duration("max-clock-step"),
		DrainTimeout: v.Duration("shutdown-timeout"), Events: events,
	}
	if parts.kept != nil {
		cfg.Files = parts.kept
	}
	return cfg
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
	if name := host + " " + v.Text("http"); len(name) <= 255 { // what the lease's row takes
		return name
	}
	return ""
}

// logged adds lines in the log to the metrics' events.
func logged(e translog.Events, logger *slog.Logger) translog.Events {
	poisoned, damaged, refused, fails := e.Poisoned, e.Damaged, e.Refused, outage.New(logger)
	e.Failing = fails.Step
	var last time.Time // only the appender's goroutine tells of what is refused
	e.Refused = func(bytes int, err error) {
		refused(bytes, err)
		// Clients can bring it about.
		if now := time.Now(); now.Sub(last) >= time.Minute {
			last = now
			logger.Error("the database does not take an entry, which was refused to its client: look at the database's limits and tables "+
				"(indelible_entries_refused_total counts)", "bytes", bytes, "error", err)
		}
	}
	e.Poisoned = func(reason string) {
		poisoned(reason)
		logger.Error("THE LOG IS POISONED: nothing is appended or signed until an operator acts. Reads go on.", "reason", reason,
			"way out", wayOut(reason))
	}
	e.Damaged = func(parts int, err error) {
		damaged(parts, err)
		if err == nil {
			logger.Info("a damaged part of the log is sound again", "damaged parts left", parts)
			return
		}
		logger.Error("A PART OF THE LOG IS DAMAGED in the database. It is not served; everything else is, and entries are added.", "error", err, "damaged parts", parts)
	}
	return e
}

// wayOut is what an operator does about a poisoned log.
func wayOut(reason string) string {
	if strings.Contains(reason, "the register is older than the log") {
		return "put the newest copy of the register back, or give the one that the log's other servers share with --register; the database is not to be changed; if the log is poisoned then, logserver guard clear --reason …"
	}
	return "find out which is right, the database or the register; restore the newer (a database can be brought forward from a mirror: logserver restore); then logserver fsck, and logserver guard clear --reason …"
}

func level(text string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(text)); err != nil {
		l = slog.LevelInfo
	}
	return l
}

func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ports are the three that are listened on.
type ports struct {
	certs             *transport.Certificates
	http, grpc, admin net.Listener
}

func (p ports) close() error {
	var errs []error
	for _, on := range []net.Listener{p.http, p.grpc, p.admin} {
		if on != nil {
			errs = append(errs, on.Close())
		}
	}
	return errors.Join(errs...)
}

// listen opens the three ports. Who connects waits until the servers run.
func listen(ctx context.Context, v config.Values, metrics *prometheus.Registry, logger *slog.Logger) (p ports, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.certs, err = certificates(ctx, v, metrics, logger); err != nil {
		return p, err
	}
	if ca := v.Text("tls-client-ca"); ca != "" {
		if err = p.certs.VerifyClients(ca); err != nil {
			return p, fmt.Errorf("--tls-client-ca: %w", err)
		}
	}
	most := transport.Connections(int(v.Number("max-connections")), 2)
	if p.http, err = listenOn(v, "http", most, p.certs); err != nil {
		return p, err
	}
	if p.grpc, err = listenOn(v, "grpc", most, p.certs); err != nil {
		return p, err
	}
	p.admin, err = listenOn(v, "admin", transport.AdminConnections, nil)
	return p, err
}

// newServers makes the three servers.
func newServers(ctx context.Context, v config.Values, l *translog.Log, a apis, parts *opened, on ports, ready func() error, metrics *prometheus.Registry, logger *slog.Logger, warnings ...func() []string) (s transport.Servers, err error) {
	s.HTTPOn, s.GRPCOn, s.AdminOn = on.http, on.grpc, on.admin
	s.Grace = v.Duration("shutdown-timeout")
	requests := server.NewRequests(metrics)
	budget := transport.NewBudget(v.Size("request-memory"))
	server.State(metrics, l)
	vitals.Ready(metrics, ready)
	handler, err := a.handler(ctx, v, l, parts, ready, budget)
	if err != nil {
		return s, err
	}
	seen, access := []func(*http.Request, transport.Answered){requests.HTTP}, accessLog(v, a, logger)
	if access != nil {
		seen = append(seen, access.HTTP)
	}
	s.HTTP = transport.HTTPServer(transport.ObserveHTTP(handler, seen...), v.Duration("add-timeout"), logger)
	s.Admin = transport.HTTPServer(adminport.Handler(ready, metrics, append(warnings, on.certs.Warnings, a.writers.Warnings, l.Damaged)...), 0, logger)
	s.Admin.WriteTimeout = 0 // profiles take long
	calls := rpc.NewServer(ctx, rpc.Config{MaxMessage: v.Size("max-body"), Budget: budget, Answers: a.answers, Client: a.admission.Client, Log: logger, Seen: requests.GRPC, Access: access})
	a.register(calls)
	healthpb.RegisterHealthServer(calls, healthService{ready: ready})
	reflection.Register(calls)
	s.GRPC = calls
	return s, nil
}

// accessLog is nil where it is turned off.
func accessLog(v config.Values, a apis, logger *slog.Logger) *transport.AccessLog {
	if !v.Bool("access-log") {
		return nil
	}
	return &transport.AccessLog{Log: logger, Client: a.admission.ClientOf}
}

// certificates reads the TLS certificate, and follows its files until ctx ends.
func certificates(ctx context.Context, v config.Values, metrics *prometheus.Registry, logger *slog.Logger) (*transport.Certificates, error) {
	certs, err := transport.LoadCertificates(v.Text("tls-cert"), v.Text("tls-key"), logger)
	if err == nil {
		adminport.RegisterCertificates(metrics, certs)
		go certs.Follow(ctx)
	}
	return certs, err
}

// listenOn opens the port that a setting names, for so many connections at a time.
func listenOn(v config.Values, setting string, most int, certs *transport.Certificates) (net.Listener, error) {
	on, err := transport.Listen(v.Text(setting), most, certs)
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
	return mysqldb.Where(dsn)
}

// banner says what runs where, and what to try. ready is what the log says of
// itself: one that is poisoned takes no entries.
func (p *program) banner(v config.Values, parts *opened, s transport.Servers, ready error) {
	scheme := "http"
	if v.Text("tls-cert") != "" {
		scheme = "https"
	}
	url := scheme + "://" + transport.Reached(s.HTTPOn.Addr())
	var b strings.Builder
	verb := "Log"
	if parts.created {
		verb = "Created log"
	}
	fmt.Fprintf(&b, "%s %q\n\n", verb, parts.record.Origin)
	if p.dev {
		b.WriteString("  This log is for trying out: all that is in it is gone when this program ends.\n\n")
	}
	fmt.Fprintf(&b, "  HTTP      %s\n  gRPC      %s\n  admin     http://%s\n", url, transport.Reached(s.GRPCOn.Addr()), transport.Reached(s.AdminOn.Addr()))
	fmt.Fprintf(&b, "  writers   %s\n", mayWrite(v))
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
	fmt.Fprintf(&b, "  register  %s\n", parts.place)
	if policy := v.Text("witness-policy"); policy != "" {
		fmt.Fprintf(&b, "  witnesses %s\n", policy)
	}
	b.WriteByte('\n')
	b.WriteString(tryNext(url, ready))
	io.WriteString(p.stdout, b.String())
}

// tryNext names the commands that a reader of the banner runs next.
func tryNext(url string, ready error) string {
	if errors.Is(ready, translog.ErrPoisoned) {
		return "The log is POISONED, and takes no entries. Try next, with the settings of this server:\n\n  logserver guard status\n\n"
	}
	cli, at := "logcli", ""
	if program, err := os.Executable(); err == nil && strings.Contains(filepath.ToSlash(program), "/go-build") {
		cli = "go run ./cmd/logcli" // as this program runs
	}
	if url != "http://127.0.0.1:8080" {
		at = " --url " + url
	}
	return fmt.Sprintf("Try next, from another terminal:\n\n  %s add%s README.md\n  %s verify README.md\n\n", cli, at, cli)
}
