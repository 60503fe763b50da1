//go:build unix

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
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"indelible/checkpoint"
	"indelible/internal/config"
	"indelible/internal/transport"
	"indelible/witness"
	"indelible/witness/register"
	"indelible/witness/sqlstate"
)

func (p *program) serveCommand() *cobra.Command {
	return p.configured(&cobra.Command{
		Use:   "serve",
		Short: "Run the witness",
		Long: "Run the witness: POST /add-checkpoint, POST /sign-subtree, GET /<SHA-256 of an origin>/checkpoint (C2SP tlog-witness).\n\n" +
			"The database and the register are made when they are not there.",
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
	logger   *slog.Logger

	inconsistent, behind seldom
}

func (p *program) running(v config.Values) *running {
	return &running{
		metrics: newMetrics(), logger: newLogger(p.stderr, v.Text("log-level")),
		inconsistent: seldom{interval: time.Second}, behind: seldom{interval: time.Minute},
	}
}

// serve runs the witness until ctx ends.
func (p *program) serve(ctx context.Context, v config.Values) (err error) {
	r := p.running(v)
	defer func() { err = errors.Join(err, r.close()) }()
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
	servers, err := r.listen(ctx, v)
	if err != nil {
		return err
	}
	io.WriteString(p.stdout, banner(v, r, servers))
	ctx, cancel := context.WithCancel(ctx)
	var beside errgroup.Group
	beside.Go(func() error { follow(ctx); return nil })
	beside.Go(func() error { look(ctx); return nil })
	err = servers.Run(ctx)
	cancel()
	return errors.Join(err, beside.Wait())
}

// open opens keys, database and register, and makes the witness.
func (r *running) open(ctx context.Context, v config.Values) (err error) {
	keys, err := cosigners(v)
	if err != nil {
		return err
	}
	if r.state, err = openState(ctx, v); err != nil {
		return err
	}
	if r.register, err = openRegister(ctx, r.state, registerPath(v)); err != nil {
		return err
	}
	if err := behind(ctx, r.state, r.register, r.logger); err != nil {
		return err
	}
	warnings, err := r.state.Warnings(ctx)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		r.logger.Warn(w)
	}
	r.witness, err = witness.New(ctx, witness.Config{
		State: r.state, Register: r.register, Cosigners: keys,
		Cosigned: func(string, int64) { r.metrics.cosigned.Inc() }, Refused: r.refused, ClockBehind: r.clockBehind,
		Contradicted: func(l witness.Log, cosigned witness.Head, note []byte) {
			r.contradicted(evidencePath(v), l, cosigned, note)
		},
	})
	if err == nil {
		r.metrics.logs.Set(float64(r.witness.Logs()))
	}
	return err
}

func (r *running) close() error {
	var errs []error
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

// failed tells of a fault of ours.
func (r *running) failed(err error) {
	if errors.Is(err, witness.ErrTwoMemories) {
		r.logger.Error("a request failed", "error", err, "way out", wayOut)
		return
	}
	r.logger.Error("a request failed", "error", err)
}

// list reads the list of logs, and returns what follows it.
func (r *running) list(ctx context.Context, path string) (follow func(context.Context), err error) {
	if path == "" {
		return func(context.Context) {}, nil
	}
	l := &list{path: path, witness: r.witness, logger: r.logger, added: func() { r.metrics.logs.Set(float64(r.witness.Logs())) }}
	return l.follow, l.load(ctx)
}

// listen makes the two servers.
func (r *running) listen(ctx context.Context, v config.Values) (s transport.Servers, err error) {
	s.Grace = v.Duration("shutdown-timeout")
	if s.HTTPOn, err = transport.Listen(v.Text("listen"), transport.Connections(maxConnections, 1), v.Text("tls-cert"), v.Text("tls-key"), protocol); err != nil {
		return s, err
	}
	if s.AdminOn, err = transport.Listen(v.Text("admin"), transport.AdminConnections, "", ""); err != nil {
		return s, errors.Join(err, s.HTTPOn.Close())
	}
	handler := r.witness.Handler(r.failed)
	s.HTTP = transport.HTTPServer(transport.ObserveHTTP(handler, r.metrics.request), longest, r.logger)
	limit(s.HTTP)
	s.Admin = transport.HTTPServer(transport.AdminHandler(r.readiness(ctx), r.metrics.registry), 0, r.logger)
	s.Admin.WriteTimeout = 0 // profiles take long
	return s, nil
}

// pingTimeout is how long the database may take to answer when readiness asks.
const pingTimeout = 2 * time.Second

// readiness turns false as soon as the witness is told to stop.
func (r *running) readiness(ctx context.Context) func() error {
	var stopping atomic.Bool
	context.AfterFunc(ctx, func() { stopping.Store(true) })
	return func() error {
		if stopping.Load() {
			return errors.New("the witness is stopping")
		}
		if err := r.register.Err(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		return r.state.Ping(ctx)
	}
}

// banner says what runs where, and what to give to others.
func banner(v config.Values, r *running, s transport.Servers) string {
	url := publicURL(v, s.HTTPOn.Addr())
	var b strings.Builder
	keys := r.witness.Verifiers()
	fmt.Fprintf(&b, "Witness %q\n\n", keys[0].Name())
	for _, k := range keys {
		fmt.Fprintf(&b, "  vkey        %s\n", k)
	}
	fmt.Fprintf(&b, "  logs        %d\n", r.witness.Logs())
	fmt.Fprintf(&b, "  submission  %s/add-checkpoint, %s/sign-subtree\n  monitoring  %s/<SHA-256 of the origin>/checkpoint\n", url, url, url)
	fmt.Fprintf(&b, "  admin       http://%s\n  register    %s\n", s.AdminOn.Addr(), r.register.Path())
	if v.Text("storage") == "sqlite" {
		fmt.Fprintf(&b, "  database    %s\n", databasePath(v))
	}
	fmt.Fprintf(&b, "\nFor the policy of a log or a verifier%s:\n\n", one(keys))
	for _, k := range keys {
		fmt.Fprintf(&b, "witness %s %s %s\n", k.Name(), k, url)
	}
	if r.witness.Logs() == 0 {
		b.WriteString("\nIt knows no log yet: give it a list of them with --logs FILE, or --feed FILE.\n")
	}
	b.WriteByte('\n')
	return b.String()
}

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
		return "https://" + on.String()
	}
	return "http://" + on.String()
}

func newLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: l}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
