//go:build unix

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
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"indelible/checkpoint"
	"indelible/internal/config"
	"indelible/internal/outage"
	"indelible/internal/requestid"
	"indelible/internal/sdnotify"
	"indelible/internal/transport"
	"indelible/internal/transport/adminport"
	"indelible/internal/vitals"
	"indelible/witness"
	"indelible/witness/register"
	"indelible/witness/sqlstate"
)

func (p *program) serveCommand() *cobra.Command {
	return p.configured(&cobra.Command{
		Use:   "serve",
		Short: "Run the witness",
		Long: "Run the witness: POST /add-checkpoint, POST /sign-subtree, GET /<SHA-256 of an origin>/checkpoint (C2SP tlog-witness).\n\n" +
			"The database and the register are made if they are not there. A start that fails leaves nothing behind that it made.",
	}, p.serve)
}

// longest is how long an answer may take to make: one transaction and one fsync,
// and those that they wait for.
const longest = 90 * time.Second

// running is a witness and what it stands on.
type running struct {
	state    *sqlstate.Store
	register *register.File
	witness  *witness.Witness
	metrics  *metrics
	settings *vitals.Settings
	logger   *slog.Logger
	lights   *lights
	made     made // is taken back by close, unless it is kept

	inconsistent, behind seldom
}

func (p *program) running() *running {
	logger := newLogger(p.stderr, &p.level)
	return &running{
		metrics: newMetrics(), logger: logger, lights: newLights(outage.New(logger)),
		inconsistent: seldom{interval: time.Second}, behind: seldom{interval: time.Minute},
	}
}

// serve runs the witness until ctx ends.
func (p *program) serve(ctx context.Context, v config.Values) (err error) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	r := p.running()
	defer func() { err = errors.Join(err, r.close()) }()
	certs, servers, err := r.prepare(v)
	if err != nil {
		return err
	}
	if err := p.awaitDatabase(ctx, v, r.logger); err != nil {
		return err
	}
	if err := r.open(ctx, v); err != nil {
		return err
	}
	follow, err := r.list(ctx, v.Text("logs"))
	if err != nil {
		return err
	}
	look, err := r.feed(ctx, v)
	if err != nil {
		return err
	}
	serving, end := transport.Delayed(ctx, v.Duration("shutdown-delay"), r.logger)
	defer end()
	r.handle(v, &servers, certs, r.readiness(ctx))
	servers.HTTP.Handler = transport.Leaving(ctx, servers.HTTP.Handler)
	r.made.keep()
	io.WriteString(p.stdout, banner(v, r, servers))
	systemd := sdnotify.New(p.getenv, r.logger)
	context.AfterFunc(ctx, systemd.Stopping)
	systemd.Ready()
	var beside errgroup.Group
	beside.Go(func() error { follow(serving); return nil })
	beside.Go(func() error { look(serving); return nil })
	beside.Go(func() error { r.settings.Follow(serving); return nil })
	beside.Go(func() error { certs.Follow(serving); return nil })
	beside.Go(func() error { r.lights.watch(serving, r.needs()); return nil })
	beside.Go(func() error { p.reload(certs, r.state, r.logger).Follow(serving, v, again); return nil })
	err = servers.Run(serving)
	end()
	return errors.Join(err, beside.Wait())
}

// reload is what SIGHUP does.
func (p *program) reload(certs *transport.Certificates, state *sqlstate.Store, logger *slog.Logger) config.Reload {
	// New connections read these files, and that of the DSN when the server refuses
	// the one in use.
	perConnection := func(v config.Values) error { return mysqlTLS(v).Check() }
	return config.Reload{Load: p.again, Log: logger, Systemd: sdnotify.New(p.getenv, logger), Live: map[string]func(config.Values) error{
		"log-level":      func(v config.Values) error { p.level.Set(level(v.Text("log-level"))); return nil },
		"tls-cert":       func(config.Values) error { return certs.Reload() },
		"tls-key":        func(config.Values) error { return nil }, // with tls-cert
		"mysql-dsn-file": func(config.Values) error { return state.CheckSource() },
		"mysql-tls-ca":   perConnection, "mysql-tls-cert": perConnection, "mysql-tls-key": perConnection,
		"logs": func(config.Values) error { return nil }, // it is followed
	}}
}

// open opens keys, database and register, and makes the witness.
func (r *running) open(ctx context.Context, v config.Values) (err error) {
	keys, err := cosigners(v)
	if err != nil {
		return err
	}
	if err := r.openState(ctx, v); err != nil {
		return err
	}
	if err := r.openRegister(ctx, registerPath(v)); err != nil {
		return err
	}
	if err := behind(ctx, r.state, r.register, r.logger); err != nil {
		return err
	}
	r.settings = vitals.NewSettings(r.metrics.registry, r.state.Warnings, r.logger)
	if err := r.settings.Look(ctx); err != nil {
		return err
	}
	r.witness, err = witness.New(ctx, witness.Config{
		State: r.state, Register: r.register, Cosigners: keys,
		Cosigned: r.metrics.cosign, Refused: r.refused, ClockBehind: r.clockBehind,
		Contradicted: func(l witness.Log, cosigned witness.Head, note []byte) {
			r.contradicted(evidencePath(v), l, cosigned, note)
		},
	})
	if err == nil {
		r.metrics.logs.Set(float64(r.witness.Logs()))
	}
	return err
}

// close closes all, and takes back what was made if it is not kept.
func (r *running) close() error {
	errs := []error{r.made.takeBack()}
	if r.register != nil {
		errs = append(errs, r.register.Close())
	}
	if r.state != nil {
		errs = append(errs, r.state.Close())
	}
	return errors.Join(errs...)
}

// refused counts, and tells of what may be a log that forked.
func (r *running) refused(origin string, err error) {
	r.metrics.refused.WithLabelValues(reason(err)).Inc()
	if !errors.Is(err, witness.ErrInconsistent) {
		r.logger.Debug("refused", "log", origin, "why", err)
	} else if unsaid, ok := r.inconsistent.may(time.Now()); ok {
		r.logger.Warn("refused", "log", origin, "why", err, "not told of since the last", unsaid)
	}
}

// clockBehind tells of times that are not those of the clock.
func (r *running) clockBehind(origin string, last time.Time) {
	if _, ok := r.behind.may(time.Now()); ok {
		r.logger.Warn("the clock is behind the last cosignature, whose time is repeated until the clock is past it: is the clock right?", "log", origin, "last", last.UTC())
	}
}

// failed tells of a fault of ours. While the witness cannot cosign at all, the
// outage is told of, and not each request.
func (r *running) failed(ctx context.Context, err error) {
	if r.lights.ready() != nil && !errors.Is(err, witness.ErrTwoMemories) {
		r.logger.Debug("a request failed", "request", requestid.Of(ctx), "error", err)
		return
	}
	r.lights.doubts()
	if errors.Is(err, witness.ErrTwoMemories) {
		r.logger.Error("a request failed", "request", requestid.Of(ctx), "error", err, "way out", wayOut)
		return
	}
	r.logger.Error("a request failed", "request", requestid.Of(ctx), "error", err)
}

// list reads the list of logs, and returns what follows it.
func (r *running) list(ctx context.Context, path string) (follow func(context.Context), err error) {
	if path == "" {
		return func(context.Context) {}, nil
	}
	l := &list{path: path, witness: r.witness, logger: r.logger, read: func(skipped int) {
		r.metrics.logs.Set(float64(r.witness.Logs()))
		r.metrics.skipped.Set(float64(skipped))
	}}
	return l.follow, l.load(ctx)
}

// prepare does what can fail without a database: it reads the files that the
// settings name, and opens the two ports. Clients that connect wait until the
// servers run.
func (r *running) prepare(v config.Values) (certs *transport.Certificates, s transport.Servers, err error) {
	s.Grace = v.Duration("shutdown-timeout")
	if _, _, err = readLogs(v.Text("logs")); err != nil {
		return nil, s, err
	}
	if _, err = readFeed(v.Text("feed")); err != nil {
		return nil, s, err
	}
	certs, err = transport.LoadCertificates(v.Text("tls-cert"), v.Text("tls-key"), r.logger)
	if err != nil {
		return nil, s, err
	}
	adminport.RegisterCertificates(r.metrics.registry, certs)
	if s.HTTPOn, err = r.listenOn(v, "listen", transport.Connections(maxConnections, 1), certs, protocol); err != nil {
		return nil, s, err
	}
	s.AdminOn, err = r.listenOn(v, "admin", transport.AdminConnections, nil)
	return certs, s, err
}

// listenOn opens the port that a setting names.
func (r *running) listenOn(v config.Values, setting string, most int, certs *transport.Certificates, protocols ...string) (net.Listener, error) {
	on, err := transport.Listen(v.Text(setting), most, certs, protocols...)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; give another address with --%s", err, setting)
	}
	if err == nil {
		r.made.add(on.Close)
	}
	return on, err
}

// handle makes the two servers that answer on the ports.
func (r *running) handle(v config.Values, s *transport.Servers, certs *transport.Certificates, ready func() error) {
	handler := r.witness.Handler(publicURL(v, s.HTTPOn.Addr()), r.failed)
	seen := []func(*http.Request, transport.Answered){r.metrics.request}
	if v.Bool("access-log") {
		seen = append(seen, (&transport.AccessLog{Log: r.logger}).HTTP)
	}
	s.HTTP = transport.HTTPServer(transport.ObserveHTTP(handler, seen...), longest, r.logger)
	limit(s.HTTP)
	vitals.Ready(r.metrics.registry, ready)
	s.Admin = transport.HTTPServer(adminport.Handler(ready, r.metrics.registry, certs.Warnings, r.settings.Warnings), 0, r.logger)
	s.Admin.WriteTimeout = 0 // profiles take long
}

// needs are the database and the register.
func (r *running) needs() needs {
	return needs{ping: r.state.Ping, write: func(ctx context.Context) error {
		if err := r.state.TryWrite(ctx); err != nil {
			return fmt.Errorf("the database takes no writes: %w", err)
		}
		return r.register.TryWrite()
	}}
}

// readiness turns false as soon as the witness is told to stop.
func (r *running) readiness(ctx context.Context) func() error {
	var stopping atomic.Bool
	context.AfterFunc(ctx, func() { stopping.Store(true) })
	return func() error {
		if stopping.Load() {
			return errors.New("the witness is stopping")
		}
		return r.lights.ready()
	}
}

// banner says what runs where, and what to give to others.
func banner(v config.Values, r *running, s transport.Servers) string {
	url := publicURL(v, s.HTTPOn.Addr())
	var b strings.Builder
	keys := r.witness.Verifiers()
	pq := slices.ContainsFunc(keys, isMLDSA)
	fmt.Fprintf(&b, "Witness %q\n\n", keys[0].Name())
	for _, k := range keys {
		fmt.Fprintf(&b, "  vkey        %s\n", k)
	}
	fmt.Fprintf(&b, "  logs        %d\n", r.witness.Logs())
	fmt.Fprintf(&b, "  submission  %s/add-checkpoint, %s/sign-subtree\n  monitoring  %s/<SHA-256 of the origin>/checkpoint\n", url, url, url)
	fmt.Fprintf(&b, "  admin       http://%s\n  register    %s\n", transport.Reached(s.AdminOn.Addr()), r.register.Path())
	if v.Text("storage") == "sqlite" {
		fmt.Fprintf(&b, "  database    %s\n", databasePath(v))
	}
	fmt.Fprintf(&b, "\nFor the policy of a log or a verifier%s:\n\n", one(keys))
	for _, k := range keys {
		if pq {
			fmt.Fprintf(&b, "# %s\n", takers(k))
		}
		fmt.Fprintf(&b, "witness %s %s %s\n", k.Name(), k, url)
	}
	if r.witness.Logs() == 0 {
		b.WriteString("\nIt knows no log yet: give it a list of them with --logs FILE, or --feed FILE.\n")
	}
	b.WriteByte('\n')
	return b.String()
}

// takers says who can use a key's line. Tessera v1.0.4, and with it rekor-tiles,
// refuses a whole policy for an ML-DSA vkey.
func takers(k checkpoint.Verifier) string {
	if isMLDSA(k) {
		return "ML-DSA-44: for Indelible, and others that take ML-DSA; not for Tessera and rekor-tiles, which refuse it"
	}
	return "Ed25519: for Tessera and rekor-tiles, and for all others"
}

func isMLDSA(k checkpoint.Verifier) bool { return k.Algorithm() == checkpoint.CosignatureV1MLDSA44 }

func one(keys []checkpoint.Verifier) string {
	if len(keys) == 1 {
		return ""
	}
	return " (one of these: it is one witness)"
}

func publicURL(v config.Values, on net.Addr) string {
	if url := v.Text("public-url"); url != "" {
		return url
	}
	if v.Text("tls-cert") != "" {
		return "https://" + transport.Reached(on)
	}
	return "http://" + transport.Reached(on)
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
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
