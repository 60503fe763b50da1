package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/mirror"
	"indelible/mirror/source"
	"indelible/monitor"
)

// monitorFlags are what is watched, and how.
type monitorFlags struct {
	config, sigstore         string
	format, origin           string
	state, evidence, start   string
	follow                   bool
	budget, interval, keepUp time.Duration
	staleAfter               time.Duration
	webhook, secretFile      string
	metrics                  string

	identities, identityGlobs, identityRegexps []string
	issuer                                     string
	keys, digests, modules, domains            []string
}

func (p *program) monitorCommand() *cobra.Command {
	var m monitorFlags
	cmd := &cobra.Command{
		Use: "monitor [URL...|DIR]", Short: "Watch a log for entries that match patterns, and for misbehaviour", Args: args(cobra.ArbitraryArgs),
		Long: "Watch a log: compare every entry with patterns, from the first entry on, and\n" +
			"raise an alarm if the log forks, shrinks, grows old, or does not answer. What\n" +
			"was read is in a state file, and the next run goes on from there. Entries are\n" +
			"proven to be in the log before they are compared. Several URLs are prefixes of\n" +
			"one log; DIR is a copy of logcli mirror. --timeout does not apply; --for limits\n" +
			"the time of a run.\n\n" +
			"Exit codes, the worst first: 8 the log forked; 7 it shrank; 1 it served\n" +
			"something that contradicts what it signed; 6 an entry matches; 5 its head is too\n" +
			"old; 4 entries were not read in time; 3 it does not answer; 0 none of these.",
		Example: "  logcli monitor --identity me@example.com\n" +
			"  logcli monitor --identity-glob 'https://github.com/acme/*' --start now\n" +
			"  logcli monitor --config monitor.yaml --follow",
		RunE: func(cmd *cobra.Command, urls []string) error { return p.monitor(cmd, urls, &m) },
	}
	f := cmd.Flags()
	f.StringVar(&m.config, "config", "", "YAML `FILE` with any of these flags as keys, and a list of patterns")
	f.StringVar(&m.sigstore, "sigstore-config", "", "Sigstore MonitorConfig (JSON) that names the log: `FILE`; --origin chooses one of several")
	f.StringVar(&m.format, "format", "", "the log's `FORMAT`: tlog-tiles, sumdb, static-ct or rekor-v1 (default: found out)")
	f.StringVar(&m.origin, "origin", "", "the log's `NAME`, as its checkpoints begin (default: the name of --log-key)")
	f.StringVar(&m.state, "state", "", "state `FILE` (default: one for each log, beside the remembered keys)")
	f.StringVar(&m.evidence, "evidence", "", "`FOLDER` that evidence against the log is written to (default: that of the state)")
	f.StringVar(&m.start, "start", "0", "first entry to read where there is no state yet: its index, or `N|now`")
	f.BoolVar(&m.follow, "follow", false, "go on until interrupted")
	f.DurationVar(&m.budget, "for", 0, "time limit of a run; what is left then is read by the next (0: no limit)")
	f.DurationVar(&m.interval, "interval", time.Minute, "time between two looks, with --follow")
	f.DurationVar(&m.keepUp, "keep-up", time.Hour, "time in which entries that are left must become fewer, with --follow")
	f.DurationVar(&m.staleAfter, "stale-after", 24*time.Hour, "maximum age of the newest head (0: no limit)")
	f.StringVar(&m.webhook, "webhook", "", "`URL` that events are posted to, signed as Standard Webhooks")
	f.StringVar(&m.secretFile, "webhook-secret-file", "", "`FILE` with the webhook's secret: whsec_ and base64")
	f.StringVar(&m.metrics, "metrics-listen", "", "`ADDRESS` to serve Prometheus metrics on, with --follow")
	f.StringArrayVar(&m.identities, "identity", nil, "e-mail address, URI or DNS `NAME` in a certificate; repeatable, as are all patterns")
	f.StringArrayVar(&m.identityGlobs, "identity-glob", nil, "the same, with * for any letters: `GLOB`")
	f.StringArrayVar(&m.identityRegexps, "identity-regexp", nil, "the same, as a regular `EXPRESSION` that matches anywhere in it")
	f.StringVar(&m.issuer, "issuer", "", "OIDC issuer's `URL` in the same certificate, for the identities given; alone: any identity")
	f.StringArrayVar(&m.keys, "key", nil, "fingerprint of a public key, `SHA256:HEX`")
	f.StringArrayVar(&m.digests, "digest", nil, "digest of an artifact or payload, `sha256:HEX`")
	f.StringArrayVar(&m.modules, "module", nil, "Go module path `PATTERN`, as in GOPRIVATE (checksum database)")
	f.StringArrayVar(&m.domains, "domain", nil, "`DOMAIN`, with its subdomains (static CT)")
	return cmd
}

func (p *program) monitor(cmd *cobra.Command, urls []string, m *monitorFlags) error {
	ctx := cmd.Context()
	patterns, more, err := m.read(cmd)
	if err != nil {
		return err
	}
	if err := p.checkFlags(cmd); err != nil {
		return err
	}
	if len(urls) == 0 {
		urls = more
	}
	patterns = append(patterns, m.patterns()...)
	if len(patterns) == 0 {
		return usagef("nothing is looked for: give a pattern, such as --identity, or --config with a list of them")
	}
	cfg := monitor.Config{Patterns: patterns, State: m.state, Evidence: m.evidence, StaleAfter: m.staleAfter, Budget: m.budget}
	if _, err := monitor.NewMatcher(patterns); err != nil { // before the log is asked
		return usage(err)
	}
	if cfg.Start, err = m.first(); err != nil {
		return err
	}
	if cfg.Sink, err = p.sinks(m); err != nil {
		return err
	}
	if cfg.Log, cfg.Keys, err = p.watched(ctx, urls, m); err != nil {
		return p.notOpened(ctx, cfg.Sink, m.origin, err)
	}
	if cfg.State == "" {
		if cfg.State, err = p.monitorState(cfg.Log.Origin()); err != nil {
			return err
		}
	}
	watch, err := monitor.New(cfg)
	if err != nil {
		return usage(err)
	}
	defer watch.Close()
	if m.follow {
		return p.follow(ctx, watch, m)
	}
	report, err := watch.Once(ctx)
	if err != nil {
		return err
	}
	return p.monitored(report)
}

// notOpened raises the alarm of a log that could not be opened.
func (p *program) notOpened(ctx context.Context, sink monitor.Sink, origin string, err error) error {
	if code(err) == exitUsage || ctx.Err() != nil {
		return err
	}
	kind, exit := monitor.Unreachable, exitUnasked
	if code(err) == exitUnverified || errors.Is(err, source.ErrFalse) {
		kind, exit = monitor.False, exitUnverified
	}
	if failed := sink.Deliver(ctx, []monitor.Event{monitor.NewAlarm(kind, origin, err.Error())}); failed != nil {
		return errors.Join(err, failed)
	}
	return reported{&exitError{exit, err}}
}

// first is the first entry that --start names.
func (m *monitorFlags) first() (int64, error) {
	if m.start == "now" {
		return monitor.FromNow, nil
	}
	n, ok := parseIndex(m.start)
	if !ok {
		return 0, usagef("--start %q: it is the index of an entry, or now", m.start)
	}
	return n, nil
}

// patterns are those of the flags.
func (m *monitorFlags) patterns() (list []monitor.Pattern) {
	issuer := monitor.Text{Exact: m.issuer}
	for _, s := range m.identities {
		list = append(list, monitor.Pattern{Identity: monitor.Text{Exact: s}, Issuer: issuer})
	}
	for _, s := range m.identityGlobs {
		list = append(list, monitor.Pattern{Identity: monitor.Text{Glob: s}, Issuer: issuer})
	}
	for _, s := range m.identityRegexps {
		list = append(list, monitor.Pattern{Identity: monitor.Text{Regexp: s}, Issuer: issuer})
	}
	if len(list) == 0 && m.issuer != "" {
		list = append(list, monitor.Pattern{Issuer: issuer})
	}
	for _, s := range m.keys {
		list = append(list, monitor.Pattern{Key: s})
	}
	for _, s := range m.digests {
		list = append(list, monitor.Pattern{Digest: s})
	}
	for _, s := range m.modules {
		list = append(list, monitor.Pattern{Module: s})
	}
	for _, s := range m.domains {
		list = append(list, monitor.Pattern{Domain: s})
	}
	return list
}

// watched opens the log that is watched, and returns its keys.
func (p *program) watched(ctx context.Context, urls []string, m *monitorFlags) (source.Log, []checkpoint.Verifier, error) {
	if m.sigstore != "" {
		named, err := readSigstoreConfig(m.sigstore, m.origin)
		if err != nil {
			return nil, nil, usage(err)
		}
		m.origin = named.origin
		if m.format == "" {
			m.format = string(named.format)
		}
		if len(urls) == 0 {
			urls = []string{named.url}
		}
	}
	if len(urls) == 0 {
		urls = []string{p.url}
	}
	if m.format != "" && !slices.Contains(source.Formats(), source.Format(m.format)) {
		return nil, nil, usagef("--format %q: it is one of %q", m.format, source.Formats())
	}
	if info, err := os.Stat(urls[0]); err == nil && info.IsDir() {
		return p.copied(urls[0], m.origin)
	}
	p.url, p.urls = urls[0], urls // for messages and tree heads
	logs, policy, err := p.monitorKeys(ctx, m.origin)
	if err != nil {
		return nil, nil, err
	}
	if m.origin == "" && len(logs) > 0 {
		m.origin = logs[0].Name()
	}
	cfg := source.Config{URLs: urls, Origin: m.origin, Client: p.monitorClient(logs, policy)}
	log, err := source.Open(ctx, source.Format(m.format), cfg)
	if err != nil {
		return nil, nil, err
	}
	if policy != nil {
		logs = slices.Concat(logs, policy.Cosigners())
	}
	return log, logs, nil
}

// copied opens a copy that logcli mirror made.
func (p *program) copied(dir, origin string) (source.Log, []checkpoint.Verifier, error) {
	copies, err := mirror.Copies(dir)
	if err != nil {
		return nil, nil, err
	}
	copies = slices.DeleteFunc(copies, func(c mirror.Info) bool { return origin != "" && c.Origin != origin })
	if len(copies) != 1 {
		return nil, nil, usagef("%s has %d copies that could be meant: give a folder that logcli mirror made, and --origin where it has several", dir, len(copies))
	}
	c := copies[0]
	if c.Format != source.Tiles {
		return nil, nil, usagef("%s is a copy of a log of the format %s; monitor the log itself", dir, c.Format)
	}
	logs, policy, err := p.givenLogs()
	if err != nil {
		return nil, nil, err
	}
	if len(logs) == 0 {
		logs = c.Keys
	}
	cfg := source.Config{URLs: []string{"http://" + mirror.Folder(c.Origin) + ".invalid"}, Origin: c.Origin, Client: p.monitorClient(logs, policy)}
	cfg.Client.HTTP = &http.Client{Transport: http.NewFileTransportFS(os.DirFS(c.Path))} // which asks no network
	log, err := source.NewTiles(cfg)
	return log, logs, err
}

func (p *program) monitorClient(logs []checkpoint.Verifier, policy *checkpoint.Policy) client.Config {
	return client.Config{Keys: logs, Policy: policy, Stall: p.stall, FollowRedirects: p.redirects, Tries: tries, UserAgent: "indelible-monitor"}
}

// monitorKeys are the keys of a log: as given, or as remembered under its name. A
// key in PEM has the name that --origin gives.
func (p *program) monitorKeys(ctx context.Context, origin string) ([]checkpoint.Verifier, *checkpoint.Policy, error) {
	bare, err := p.bareKeys()
	if err != nil {
		return nil, nil, err
	}
	if len(bare) > 0 {
		logs, err := named(origin, bare)
		return logs, nil, err
	}
	logs, policy, err := p.givenLogs()
	if err != nil || len(logs) > 0 || policy != nil {
		return logs, policy, err
	}
	if origin == "" {
		c, err := p.client(ctx, client.Config{})
		if err != nil {
			return nil, nil, usage(err)
		}
		said, err := c.Keys(ctx)
		if err != nil && !answered(err) {
			return nil, nil, fmt.Errorf("the log's key is not known, and %s could not be asked: %w; try again, or give --log-key VKEY|FILE, or --origin", p.url, err)
		}
		if err != nil {
			return nil, nil, usagef("the log's key is not known, and the log does not say what to look it up by (%w): give --log-key VKEY|FILE, or --origin", err)
		}
		origin = said[0].Name()
	}
	logs, _, err = p.pinned(origin)
	if err == nil && len(logs) == 0 {
		err = usagef("no key of the log %q is known: give --log-key VKEY|FILE", origin)
	}
	return logs, nil, err
}

// answered reports whether an error is the answer of a server, which is the same
// tomorrow.
func answered(err error) bool {
	var status *client.StatusError
	if errors.As(err, &status) {
		return status.Status < 500 && status.Status != http.StatusTooManyRequests
	}
	return errors.Is(err, client.ErrUntrusted) || errors.Is(err, client.ErrNotFound)
}

func named(origin string, bare []crypto.PublicKey) (list []checkpoint.Verifier, err error) {
	if origin == "" {
		return nil, usagef("--log-key is a key in PEM, which has no name: give --origin NAME")
	}
	for _, key := range bare {
		v, err := checkpoint.NewVerifier(origin, key)
		if err != nil {
			return nil, usagef("--log-key: %w", err)
		}
		list = append(list, v)
	}
	return list, nil
}

// monitorState is the file of a log's state.
func (p *program) monitorState(origin string) (string, error) {
	home, err := p.home()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(home, "monitor")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(dir, strings.TrimSuffix(filepath.Base(pinFile(home, origin)), ".vkey")+".json"), nil
}

// sinks are where events go: to standard output, and to a webhook first.
func (p *program) sinks(m *monitorFlags) (list monitor.Sinks, err error) {
	if (m.webhook == "") != (m.secretFile == "") {
		return nil, usagef("--webhook and --webhook-secret-file go together")
	}
	if m.webhook != "" {
		secret, err := readFile(m.secretFile, maxKeyFile)
		if err != nil {
			return nil, usagef("--webhook-secret-file: %w", err)
		}
		hook, err := monitor.NewWebhook(m.webhook, string(secret))
		if err != nil {
			return nil, usage(err)
		}
		list = append(list, hook)
	}
	return append(list, printed{p}), nil
}

// printed prints events, each on its line.
type printed struct{ p *program }

// Deliver writes all lines at once: half of them are never there without an error.
func (s printed) Deliver(_ context.Context, events []monitor.Event) error {
	var b bytes.Buffer
	for _, e := range events {
		if s.p.output != "json" {
			b.WriteString(eventText(e))
			continue
		}
		line, err := monitor.Marshal(e)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	_, err := s.p.stdout.Write(b.Bytes())
	return err
}

// eventText is an event for people.
func eventText(e monitor.Event) string {
	text := fmt.Sprintf("%s %-11s %s\n", e.At.Format(time.RFC3339), strings.ToUpper(string(e.Kind)), oneLine(e.Message))
	if e.Evidence != "" {
		text += fmt.Sprintf("  the evidence is %s\n", oneLine(e.Evidence))
	}
	if e.Entry == nil {
		return text
	}
	for _, f := range e.Entry.Facts {
		text += fmt.Sprintf("  %-9s %s\n", f.By, oneLine(f.Value))
	}
	if e.Entry.More > 0 {
		text += fmt.Sprintf("  and %d more\n", e.Entry.More)
	}
	if e.Entry.Signature == "false" {
		text += "  its signature does not verify: the log took an entry that no key signed\n"
	}
	return text
}

// reported is a report in JSON.
type monitorReport struct {
	Kind  string        `json:"kind"` // report
	Log   string        `json:"log"`
	Since monitor.Since `json:"since"`
	// Next is the first entry that was not read; all from since on were, up to it.
	Next            int64         `json:"next"`
	Head            *monitor.Head `json:"head,omitempty"`
	Looked          time.Time     `json:"looked,omitzero"`
	Read            int64         `json:"read"`
	Found           int64         `json:"found"`
	FoundEver       int64         `json:"foundEver"`
	Left            int64         `json:"left"`
	Opaque          int64         `json:"opaque"`
	Unreadable      int64         `json:"unreadable"`
	FirstUnreadable *int64        `json:"firstUnreadable,omitempty"`
	Exit            int           `json:"exit"`
}

// monitored prints a report, and returns its exit code as an error.
func (p *program) monitored(r monitor.Report) error {
	exit := monitorExit(r)
	if p.output == "json" {
		j := monitorReport{
			"report", r.Origin, r.Since, r.Next, r.Head, r.Looked, r.Read, r.Found, r.State.Found, r.Left, r.Opaque, r.Unreadable, nil, exit,
		}
		if r.FirstUnreadable >= 0 {
			j.FirstUnreadable = &r.FirstUnreadable
		}
		line, err := monitor.Marshal(j)
		if err == nil {
			_, err = p.stdout.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
	} else if _, err := io.WriteString(p.stdout, reportText(r)); err != nil {
		return err
	}
	if exit == exitDone {
		return nil
	}
	return reported{&exitError{exit, errors.New("the monitor raised an alarm")}}
}

func reportText(r monitor.Report) string {
	if r.Head == nil {
		return fmt.Sprintf("Log %s was not reached: nothing is known of it.\n", oneLine(r.Origin))
	}
	text := fmt.Sprintf("Log %s: size %d as of %s.\n", oneLine(r.Origin), r.Head.Size, r.Looked.Format(time.RFC3339))
	if r.Next > r.Since.Index {
		text += fmt.Sprintf("Entries %d to %d were compared, watched since %s; %d match, %d of them new.\n",
			r.Since.Index, r.Next-1, r.Since.Time.Format(time.RFC3339), r.State.Found, r.Found)
	} else {
		text += fmt.Sprintf("No entry was compared yet; watched from entry %d on, since %s.\n", r.Since.Index, r.Since.Time.Format(time.RFC3339))
	}
	if r.Left > 0 {
		text += fmt.Sprintf("%d entries are left.\n", r.Left)
	}
	if r.Opaque > 0 {
		text += fmt.Sprintf("%d entries are of no known kind, and have nothing to compare.\n", r.Opaque)
	}
	if r.Unreadable > 0 {
		text += fmt.Sprintf("%d entries could not be read, the first of them %d: they may match and were not compared.\n", r.Unreadable, r.FirstUnreadable)
	}
	return text
}

// monitorExit is the exit code of the worst that a report says.
func monitorExit(r monitor.Report) int {
	kinds := []monitor.Kind{}
	for _, a := range r.Alarms {
		kinds = append(kinds, a.Kind)
	}
	if r.Found > 0 {
		kinds = append(kinds, monitor.Found)
	}
	return worstExit(kinds)
}

func worstExit(kinds []monitor.Kind) int {
	for _, k := range []struct {
		kind monitor.Kind
		exit int
	}{
		{monitor.Forked, exitForked},
		{monitor.Shrunk, exitShrunk},
		{monitor.False, exitUnverified},
		{monitor.Found, exitFound},
		{monitor.Stale, exitStale},
		{monitor.Behind, exitBehind},
		{monitor.Unreachable, exitUnasked},
	} {
		if slices.Contains(kinds, k.kind) {
			return k.exit
		}
	}
	return exitDone
}

// follow watches until it is interrupted. Its exit code is that of the alarms that
// last then.
func (p *program) follow(ctx context.Context, watch *monitor.Monitor, m *monitorFlags) error {
	if m.metrics != "" {
		stop, err := p.serveMetrics(m.metrics, watch.Metrics())
		if err != nil {
			return err
		}
		defer stop()
	}
	kinds := watch.Follow(ctx, monitor.Following{
		Interval: m.interval, KeepUp: m.keepUp,
		Failed: func(err error) { p.say("logcli: %v. The next look does it again.", err) },
		Looked: func(r monitor.Report) {
			if r.Left > 0 && r.Rate > 0 {
				p.say("%d of %d entries read, %.0f a second; %s left.", r.Next, r.Head.Size, r.Rate, (time.Duration(float64(r.Left)/r.Rate) * time.Second).Round(time.Second))
			}
		},
	})
	if exit := worstExit(kinds); exit != exitDone {
		return &exitError{exit, fmt.Errorf("ended, and these alarms last: %v", kinds)}
	}
	return nil
}

// serveMetrics serves metrics until stop is called.
func (p *program) serveMetrics(addr string, h http.Handler) (stop func() error, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, usagef("--metrics-listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go server.Serve(l)
	p.say("Metrics are at http://%s/metrics", l.Addr())
	return server.Close, nil
}
