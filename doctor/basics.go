package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/trust"
)

// reachable says whether there is a log to go on with.
func (e *examination) reachable(ctx context.Context) bool {
	got, err := e.asker.ask(ctx, http.MethodGet, "/checkpoint", nil)
	if err != nil {
		e.unreached(err)
		return false
	}
	e.closed = got.status == http.StatusServiceUnavailable && got.message() != ""
	switch {
	case got.status == http.StatusOK || e.closed:
		e.passed("reachable", "%s answers in %d ms", e.asker.url, got.took.Milliseconds())
	case got.status/100 == 3:
		e.failed("reachable", "Give, and publish, the URL that it leads to.", fmt.Errorf("GET %s/checkpoint: %s", e.asker.url, got.says()))
	case got.status == http.StatusServiceUnavailable:
		e.failed("reachable", "A proxy says so, or a log that says no more: is the log behind it running?", fmt.Errorf("GET %s/checkpoint: %s", e.asker.url, got.says()))
	default:
		e.failed("reachable", "Is this the log's URL, with its path? Does the proxy in front let everything through?",
			fmt.Errorf("GET %s/checkpoint: %s", e.asker.url, got.says()))
	}
	e.encrypted(got.tls)
	e.clock(got)
	if e.closed {
		e.failed("checkpoint", doReadyz,
			fmt.Errorf("the log answers that it has none to show: GET %s/checkpoint: %s", e.asker.url, got.says()))
	}
	return got.status == http.StatusOK || e.closed
}

// answers is an error if clients that know another URL of the log would go on with that.
func (e *examination) answers(ctx context.Context) error {
	got, err := e.asker.ask(ctx, http.MethodGet, "/checkpoint", nil)
	if err == nil && got.status >= http.StatusInternalServerError {
		err = fmt.Errorf("GET %s/checkpoint: %s", e.asker.url, got.says())
	}
	return err
}

func (e *examination) unreached(err error) {
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		e.failed("tls", "Give the server a certificate of this name from an authority that this machine trusts, or add the authority to this machine's (SSL_CERT_FILE).", err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.failed("tls", "Use an http:// URL, or put TLS in front of the log.", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.failed("reachable", "Is the log running, and on this port (logserver --http)?", err)
	default:
		e.failed("reachable", "Is the URL right, and does a firewall let it through?", err)
	}
}

// Certificates that end this soon get a warning.
const endsSoon = 14 * 24 * time.Hour

func (e *examination) encrypted(state *tls.ConnectionState) {
	if state == nil || len(state.PeerCertificates) == 0 {
		e.skipped("tls", "", "%s is not https", e.asker.url) // whether it should be is origin's
		return
	}
	left := state.PeerCertificates[0].NotAfter.Sub(e.cfg.Now())
	if left < endsSoon {
		e.warn("tls", "Renew it.", "the certificate ends in %d days", left/(24*time.Hour))
		return
	}
	e.passed("tls", "%s, the certificate is good for %d days", tls.VersionName(state.Version), left/(24*time.Hour))
}

// How far clocks may be apart. Signing certificates are good for ten minutes,
// and what Rekor v1 says of the time of an entry is compared with that.
const (
	clockOff     = 5 * time.Second
	clockUseless = time.Minute
)

const doClocks = "Set both clocks by NTP."

func (e *examination) clock(got answer) {
	said, err := http.ParseTime(got.header.Get("Date"))
	if err != nil || got.header.Get("Age") != "" {
		e.skipped("clock", "", "the answer has no Date, or that of a cache")
		return
	}
	off := beyond(said, got.asked, got.asked.Add(got.took)).Round(time.Second)
	switch size := off.Abs(); {
	case size > clockUseless:
		e.failed("clock", doClocks, fmt.Errorf("the server's clock is %s; %w", apart(off), errClock))
	case size > clockOff:
		e.warn("clock", doClocks, "the server's clock is %s", apart(off))
	default:
		e.passed("clock", "the server's clock and this one agree")
	}
}

// beyond is how far a time in whole seconds is from the interval in which it was
// told: a slow answer is no wrong clock.
func beyond(said, from, to time.Time) time.Duration {
	if late := said.Sub(to); late > 0 {
		return late
	}
	return min(0, said.Add(time.Second).Sub(from))
}

func apart(off time.Duration) string {
	if off < 0 {
		return fmt.Sprintf("%s behind this one", -off)
	}
	return fmt.Sprintf("%s ahead of this one", off)
}

// key finds the keys to verify with.
func (e *examination) key(ctx context.Context) {
	said, err := e.client.Keys(ctx)
	if err != nil {
		e.keyUnsaid(ctx, err)
		return
	}
	e.report.Origin = said[0].Name()
	if !e.findTrusted(e.report.Origin) {
		return
	}
	known := func(k checkpoint.Verifier) bool { return slices.ContainsFunc(e.trusted.Keys, k.Equal) }
	switch {
	case len(e.trusted.Keys) == 0:
		e.useKeys(said)
		e.warn("key", "Compare it with what the log's operator says, and give it by --log-key.",
			"nothing is known of log %q from elsewhere; on its own word its key is %s", e.report.Origin, said[0])
	case !slices.ContainsFunc(said, known):
		e.useKeys(e.trusted.Keys)
		e.other = true
		e.failed("key", "This is not the log that was trusted, or its operator replaced it, or a proxy in between answers. Ask its operator.",
			fmt.Errorf("the log says that its key is %s, and %s has %s", said[0], e.trusted.From, e.trusted.Keys[0]))
	case slices.ContainsFunc(said, func(k checkpoint.Verifier) bool { return !known(k) }):
		e.useKeys(e.trusted.Keys)
		e.warn("key", "Ask the log's operator for the new keys.", "the log has keys that %s has not", e.trusted.From)
	default:
		e.useKeys(e.trusted.Keys)
		e.passed("key", "the log's key is that of %s", e.trusted.From)
	}
	e.keyTypes(said)
}

// keyUnsaid goes on with the keys that were given, if the log does not say its
// own: other logs than ours do not.
func (e *examination) keyUnsaid(ctx context.Context, err error) {
	origin := ""
	if got, err := e.asker.get(ctx, "/checkpoint"); err == nil {
		origin, _, _ = strings.Cut(string(got.body), "\n")
	}
	if !e.findTrusted(origin) {
		return
	}
	if len(e.trusted.Keys) == 0 {
		e.failed("key", "Give the log's key by --log-key.", fmt.Errorf("the log does not say its key, and none is known: %w", err))
		return
	}
	e.report.Origin = e.trusted.Keys[0].Name()
	e.useKeys(e.trusted.Keys)
	e.warn("key", "", "the log does not say its key (%v); that of %s is used", err, e.trusted.From)
}

func (e *examination) findTrusted(origin string) bool {
	if e.cfg.Trusted == nil {
		return true
	}
	var err error
	if e.trusted, err = e.cfg.Trusted(origin); err != nil {
		e.failed("key", "", err)
	}
	return err == nil
}

func (e *examination) useKeys(keys []checkpoint.Verifier) {
	c, err := client.New(client.Config{URL: e.asker.url, HTTP: e.asker.http, Keys: keys, Tries: 1})
	if err == nil {
		e.keys, e.client = keys, c
	}
}

// keyTypes looks at keys by making Sigstore's files of them.
func (e *examination) keyTypes(keys []checkpoint.Verifier) {
	l := trust.Log{URL: e.asker.url, Origin: keys[0].Name()}
	for _, k := range keys {
		l.Keys = append(l.Keys, k.String())
	}
	if _, err := trust.Files(l); err != nil {
		e.failed("key types", "Only a new log can have another key.", err)
		return
	}
	e.passed("key types", "Sigstore's clients know them")
}

func (e *examination) checkpoint(ctx context.Context) {
	if len(e.keys) == 0 {
		e.skipped("checkpoint", "", "no key of the log is known")
		return
	}
	o, err := e.client.Checkpoint(ctx)
	if err != nil {
		e.failed("checkpoint", "It may be a wrong key, another log's checkpoint, or a proxy that changes it: compare /checkpoint and /log.vkey with those at the server itself.", err)
		return
	}
	e.report.Size, e.headed = o.Size, true
	e.passed("checkpoint", "signed by the log, at size %d", o.Size)
}

// another reports whether neither what the log says of its key nor what it
// signed is the trusted log's. It would not verify what is added, and none of
// that would be a fault of the server.
func (e *examination) another() bool { return e.other && !e.headed }

func (e *examination) origin() {
	if e.report.Origin == "" {
		e.skipped("origin", "", "it is not known")
		return
	}
	v2 := e.v2.served || e.v2.err != nil
	misfits := trust.Misfits(trust.Log{URL: e.cfg.PublicURL, Origin: e.report.Origin, RekorV2: v2})
	for _, m := range misfits {
		if m.Fatal {
			e.failed("origin", m.Do, errors.New(m.What))
		} else {
			e.warn("origin", m.Do, "%s", m.What)
		}
	}
	switch {
	case len(misfits) > 0:
	case !v2 && !isHost(e.report.Origin, e.cfg.PublicURL):
		e.skipped("origin", "", "the log does not serve Rekor v2, whose clients alone compare %s with the host of %s", e.report.Origin, e.cfg.PublicURL)
	default:
		e.passed("origin", "%s is the host of %s", e.report.Origin, e.cfg.PublicURL)
	}
}

func isHost(name, publicURL string) bool {
	u, err := url.Parse(publicURL)
	return err == nil && u.Hostname() == name
}
