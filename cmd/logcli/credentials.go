package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"indelible/internal/secret"
)

// credentials are what a log with a policy of writers asks for.
type credentials struct {
	token, cert, key, ca, audience string
	headers                        []string
}

func (c *credentials) flags(f *pflag.FlagSet) {
	f.StringVar(&c.token, "token-file", "", "a `FILE` with the token that shows the log who adds entries, an API token or a JWT (INDELIBLE_TOKEN_FILE; default: the CI's, see logcli add --help)")
	f.StringVar(&c.audience, "token-audience", "", "the `AUDIENCE` of the token that is got from GitHub Actions (default: the log's URL without a path)")
	f.StringVar(&c.cert, "client-cert", "", "a `FILE` with the client certificate (PEM) that shows the log who you are")
	f.StringVar(&c.key, "client-key", "", "a `FILE` with its private key")
	f.StringVar(&c.ca, "ca", "", "a `FILE` with the authorities (PEM) that the log's server is verified by (default: the system's)")
	f.StringArrayVar(&c.headers, "header", nil, "a `NAME:VALUE` to send to the log; may be given again; others on this machine can see it")
}

// ambientFile is where a pod has a token for the log, by a projected volume.
const ambientFile = "/var/run/secrets/indelible/token"

// authorized sends credentials to the log's servers, and to no others: a redirect may
// lead anywhere. Tokens are for requests that add.
type authorized struct {
	credentials
	next   http.RoundTripper
	getenv func(string) (string, bool)
	logs   map[string]bool // the servers, as scheme://host

	mu     sync.Mutex
	tokens map[string]actionsToken // from GitHub Actions, by audience: none goes to the server of another
}

type actionsToken struct {
	value string
	until time.Time
}

// transport is what requests to the log go through.
func (p *program) transport() (http.RoundTripper, error) {
	a := &authorized{credentials: p.credentials, getenv: p.getenv, logs: make(map[string]bool), tokens: make(map[string]actionsToken), next: http.DefaultTransport}
	for _, text := range p.urls {
		if u, err := url.Parse(text); err == nil {
			a.logs[u.Scheme+"://"+u.Host] = true
		}
	}
	for _, h := range a.headers {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return nil, usagef("--header must be NAME:VALUE")
		}
	}
	if err := a.checkToken(p.urls); err != nil {
		return nil, err
	}
	if (a.cert == "") != (a.key == "") {
		return nil, usagef("give both --client-cert and --client-key, or neither")
	}
	if a.cert == "" && a.ca == "" {
		return a, nil
	}
	cfg, err := a.tls()
	if err != nil {
		return nil, usage(err)
	}
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default transport was replaced")
	}
	own := base.Clone()
	own.TLSClientConfig = cfg
	a.next = own
	return a, nil
}

// checkToken finds what is wrong with a token before a log is asked.
func (c credentials) checkToken(urls []string) error {
	if c.token == "" {
		return nil
	}
	if _, err := secret.Line(c.token); err != nil {
		return usage(fmt.Errorf("--token-file: %w", err))
	}
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && !private(u) {
			return usage(inTheClear(u))
		}
	}
	return nil
}

func inTheClear(u *url.URL) error {
	return fmt.Errorf("%s://%s is not encrypted, and all on the way could read the token: use https", u.Scheme, u.Host)
}

// tls reads the files of certificates.
func (c credentials) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		data, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("--ca: %s has no certificate in PEM", c.ca)
		}
	}
	if c.cert != "" {
		if err := secret.Check(c.key); err != nil {
			return nil, fmt.Errorf("--client-key: %w", err)
		}
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("--client-cert %s with --client-key %s: %w", c.cert, c.key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	if !a.logs[req.URL.Scheme+"://"+req.URL.Host] {
		return a.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	for _, h := range a.headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if req.Method == http.MethodPost && req.Header.Get("Authorization") == "" {
		token, err := a.find(req)
		if err != nil {
			return nil, err
		}
		if token != "" {
			if !private(req.URL) {
				return nil, inTheClear(req.URL)
			}
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	return a.next.RoundTrip(req)
}

// private reports whether a request to this URL is encrypted or stays on this machine.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// find returns the token for a request, or "" if the user has no token. It takes only
// tokens that were made for a log.
func (a *authorized) find(req *http.Request) (string, error) {
	if a.credentials.token != "" {
		token, err := secret.Line(a.credentials.token)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return token, nil
	}
	if token, ok := a.getenv("INDELIBLE_ID_TOKEN"); ok && token != "" {
		return strings.TrimSpace(token), nil
	}
	if data, err := os.ReadFile(ambientFile); err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	at, ok := a.getenv("ACTIONS_ID_TOKEN_REQUEST_URL")
	bearer, with := a.getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if !ok || !with || !private(req.URL) {
		return "", nil
	}
	audience := a.audience
	if audience == "" {
		audience = req.URL.Scheme + "://" + req.URL.Host
	}
	return a.ofActions(req.Context(), at, bearer, audience)
}

// actionsFor is for how long a token of GitHub Actions is used: it is valid for five
// minutes.
const actionsFor = 3 * time.Minute

// ofActions gets a token from GitHub Actions.
func (a *authorized) ofActions(ctx context.Context, at, bearer, audience string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, ok := a.tokens[audience]; ok && time.Now().Before(t.until) {
		return t.value, nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return "", fmt.Errorf("GitHub Actions gives no token: %w", errors.Unwrap(err))
	}
	defer res.Body.Close()
	var answer struct {
		Value string `json:"value"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&answer)
	if res.StatusCode != http.StatusOK || err != nil || answer.Value == "" {
		return "", fmt.Errorf("GitHub Actions gives no token (status %d): the job needs permissions: id-token: write", res.StatusCode)
	}
	a.tokens[audience] = actionsToken{answer.Value, time.Now().Add(actionsFor)}
	return answer.Value, nil
}
