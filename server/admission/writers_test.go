package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/entry"
	"indelible/writers"
	"indelible/writers/gate"
)

// withWriters is an Admission where the writer ci, with the API token "token" or a
// certificate, and each client of 192.0.2.0/24 may add entries.
func withWriters(t *testing.T) *Admission {
	t.Helper()
	file := filepath.Join(t.TempDir(), "writers.yaml")
	text := fmt.Sprintf(`
principals: [{name: ci, tokens: [%q], certificates: [spiffe://example.org/ci]}]
rules:
- {name: ci, principals: [ci]}
- {name: near, principals: [anonymous], who: principal.address.startsWith("192.0.2.")}
`, writers.FormatHash(writers.Hash("token")))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := gate.Open(gate.Config{Path: file})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Writers: g, TrustedProxies: proxies(t, "10.0.0.0/8")})
}

// enter returns why a request may add nothing; 0 if it may.
func (a *Admission) enter(r *http.Request) (why writers.Reason) {
	a.HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := a.Enter(r.Context())
		if refused, ok := errors.AsType[*writers.Refusal](err); ok {
			why = refused.Reason
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	return why
}

func writing(from string, header http.Header, certificate bool) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://log.example.com/v1/entries", nil)
	r.RemoteAddr, r.Header = from, header
	if certificate {
		c := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/ci"}}}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
	}
	return r
}

// TestPagesElsewhere: a page of another server cannot have a browser write with what the
// browser shows by itself. One that has a token can write.
func TestPagesElsewhere(t *testing.T) {
	a := withWriters(t)
	const far, near = "198.51.100.7:1", "192.0.2.7:1"
	basic := http.Header{"Authorization": {"Basic dTp0b2tlbg=="}}
	bearer := http.Header{"Authorization": {"Bearer token"}}
	for from, c := range map[string]struct {
		header    http.Header
		elsewhere bool
	}{
		"no browser":                  {nil, false},
		"the log's own page":          {http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://log.example.com"}}, false},
		"its page, by an old browser": {http.Header{"Origin": {"https://log.example.com"}}, false},
		"another's page":              {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://example.org"}}, true},
		"a page of the same site":     {http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.example.com"}}, true},
		"another's, by an old one":    {http.Header{"Origin": {"https://example.org"}}, true},
		"one that hides its name":     {http.Header{"Origin": {"null"}}, true},
	} {
		ask := func(address string, more http.Header, certificate bool) writers.Reason {
			header := maps.Clone(more)
			if header == nil {
				header = http.Header{}
			}
			maps.Copy(header, c.header)
			return a.enter(writing(address, header, certificate))
		}
		want := writers.Reason(0)
		if c.elsewhere {
			want = writers.Forbidden
		}
		for by, got := range map[string]writers.Reason{"a certificate": ask(far, nil, true), "a password": ask(far, basic, false), "its address": ask(near, nil, false)} {
			if got != want {
				t.Errorf("%s, by %s: %v, and not %v", from, by, got, want)
			}
		}
		if got := ask(far, bearer, false); got != 0 {
			t.Errorf("%s, by a token: %v", from, got)
		}
	}
}

// TestCertificateOfAProxy: it is not the certificate of whom the proxy forwards.
func TestCertificateOfAProxy(t *testing.T) {
	a := withWriters(t)
	by := func(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }
	for name, c := range map[string]struct {
		from   string
		header http.Header
		want   writers.Reason
	}{
		"a client":                     {"198.51.100.7:1", nil, 0},
		"one that forwards, it says":   {"198.51.100.7:1", by("203.0.113.9"), 0},
		"a proxy":                      {"10.0.0.1:1", nil, 0},
		"whom it forwards":             {"10.0.0.1:1", by("203.0.113.9"), writers.Unknown},
		"whom it forwards, hidden":     {"10.0.0.1:1", by("unknown"), writers.Unknown},
		"whom it forwards from nearby": {"10.0.0.1:1", by("192.0.2.7"), 0}, // by its address
	} {
		if got := a.enter(writing(c.from, c.header, true)); got != c.want {
			t.Errorf("%s: %v, and not %v", name, got, c.want)
		}
	}
}

// TestAllowNeedsAWriter: a request whose writer nobody looked for adds nothing.
func TestAllowNeedsAWriter(t *testing.T) {
	e, err := entry.NewRaw([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := withWriters(t).Allow(t.Context(), e); err == nil {
		t.Error("an entry of nobody is allowed")
	}
	if err := New(Config{}).Allow(t.Context(), e); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

// TestRefusalsPause: a client that asks again after each refusal asks seldom; those that
// are allowed never wait, and neither do the refusals of a server with few.
func TestRefusalsPause(t *testing.T) {
	a := withWriters(t)
	synctest.Test(t, func(t *testing.T) {
		a.refusals = newRefusals()
		ask := func(from string) time.Duration {
			begin := time.Now()
			a.enter(writing(from, http.Header{}, false))
			return time.Since(begin)
		}
		for range atOnce {
			if took := ask("198.51.100.7:1"); took != 0 {
				t.Fatalf("one of few waits for %v", took)
			}
		}
		var wg sync.WaitGroup
		var waited, not atomic.Int32
		for range maxPaused + 10 {
			wg.Go(func() {
				if took := ask("198.51.100.7:1"); took == pause {
					waited.Add(1)
				} else if took == 0 {
					not.Add(1)
				}
			})
		}
		synctest.Wait()
		if took := ask("192.0.2.7:1"); took != 0 {
			t.Errorf("who may write waits for %v", took)
		}
		wg.Wait()
		if waited.Load() != maxPaused || not.Load() != 10 {
			t.Errorf("%d waited, and %d did not", waited.Load(), not.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		for range 2 * atOnce {
			a.refusals.wait(ctx)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("clients that are gone are waited for: %v", took)
		}
	})
}
