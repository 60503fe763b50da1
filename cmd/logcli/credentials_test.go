package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// listener is a server that remembers the headers of requests.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	seen []http.Header
}

func listen(t *testing.T, answer http.HandlerFunc) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.seen = append(l.seen, r.Header.Clone())
		l.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// authorizations are those that were sent.
func (l *listener) authorizations() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.seen {
		all = append(all, h.Get("Authorization"))
	}
	return all
}

// withCredentials makes a program for some URLs with an environment.
func withCredentials(c credentials, env map[string]string, urls ...string) *program {
	return &program{urls: urls, credentials: c, getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
}

// send makes a request through the program's transport, which follows redirects.
func (p *program) send(t *testing.T, method, url string) error {
	t.Helper()
	rt, err := p.transport()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	return nil
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTokensOfTheEnvironment: each is found by itself, in its order.
func TestTokensOfTheEnvironment(t *testing.T) {
	actions := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.WriteString(w, `{"value":"jwt-for-`+r.URL.Query().Get("audience")+`"}`)
	})
	log := listen(t, nil)
	github := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": actions.URL + "/token?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-secret"}
	gitlab := map[string]string{"INDELIBLE_ID_TOKEN": "gitlab-jwt"}
	file := secretFile(t, "api-token")
	for name, c := range map[string]struct {
		of   credentials
		env  map[string]string
		want string
	}{
		"a file":                      {credentials{token: file}, github, "Bearer api-token"},
		"GitLab":                      {credentials{}, gitlab, "Bearer gitlab-jwt"},
		"GitHub Actions":              {credentials{}, github, "Bearer jwt-for-" + log.URL},
		"GitHub Actions, an audience": {credentials{audience: "log"}, github, "Bearer jwt-for-log"},
		"nothing":                     {credentials{}, nil, ""},
		"a header":                    {credentials{token: file, headers: []string{"Authorization: Basic x"}}, nil, "Basic x"},
	} {
		log.mu.Lock()
		log.seen = nil
		log.mu.Unlock()
		p := withCredentials(c.of, c.env, log.URL)
		if err := p.send(t, http.MethodPost, log.URL+"/v1/entries"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := log.authorizations(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %q, and not %q", name, got, c.want)
		}
	}
	// Reads need no token, and get none.
	if err := withCredentials(credentials{token: file}, nil, log.URL).send(t, http.MethodGet, log.URL); err != nil {
		t.Error(err)
	}
	if got := log.authorizations(); got[len(got)-1] != "" {
		t.Errorf("a read has the token: %q", got)
	}
}

// TestTokensGoToTheLogAlone: not over plain HTTP, and not where a redirect leads to.
func TestTokensGoToTheLogAlone(t *testing.T) {
	elsewhere := listen(t, nil)
	log := listen(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	p := withCredentials(credentials{token: secretFile(t, "api-token"), headers: []string{"X-Secret: header-secret"}}, nil, log.URL)
	if err := p.send(t, http.MethodPost, log.URL); err != nil {
		t.Fatal(err)
	}
	if got := log.seen[0]; got.Get("Authorization") != "Bearer api-token" || got.Get("X-Secret") != "header-secret" {
		t.Errorf("%v", got)
	}
	if got := elsewhere.seen[0]; strings.Contains(got.Get("Authorization"), "token") {
		t.Errorf("the other server got %v", got)
	}
	if got := elsewhere.seen[0]; got.Get("X-Secret") != "" {
		t.Errorf("the other server got the header: %v", got)
	}
	for name, p := range map[string]*program{
		"a file":          withCredentials(credentials{token: secretFile(t, "api-token")}, nil, "http://log.example.com"),
		"the environment": withCredentials(credentials{}, map[string]string{"INDELIBLE_ID_TOKEN": "api-token"}, "http://log.example.com"),
	} {
		if err := p.send(t, http.MethodPost, "http://log.example.com/v1/entries"); err == nil || !strings.Contains(err.Error(), "is not encrypted") || strings.Contains(err.Error(), "api-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokenOfOneAudience: of several servers of a log each gets a token for itself.
func TestTokenOfOneAudience(t *testing.T) {
	asked := 0
	actions := listen(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		io.WriteString(w, `{"value":"jwt-for-`+r.URL.Query().Get("audience")+`"}`)
	})
	one, two := listen(t, nil), listen(t, nil)
	p := withCredentials(credentials{}, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": actions.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-secret"}, one.URL, two.URL)
	rt, err := p.transport()
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range []*listener{one, two, one} {
		res, err := (&http.Client{Transport: rt}).Post(log.URL+"/v1/entries", "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		got := log.authorizations()
		if want := "Bearer jwt-for-" + log.URL; got[len(got)-1] != want {
			t.Errorf("%q, and not %q", got, want)
		}
	}
	if asked != 2 {
		t.Errorf("%d tokens were asked for", asked)
	}
}

// TestNoCredentialInErrors of what is wrong with one.
func TestNoCredentialInErrors(t *testing.T) {
	broken := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	log := listen(t, nil)
	open := secretFile(t, "api-token")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p    *program
		says string
	}{
		"others can read it":  {withCredentials(credentials{token: open}, nil, log.URL), "chmod 600"},
		"two lines":           {withCredentials(credentials{token: secretFile(t, "api-token\nsecret")}, nil, log.URL), "one line"},
		"Actions refuses":     {withCredentials(credentials{}, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": broken.URL + "/secret", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "api-token"}, log.URL), "id-token: write"},
		"Actions is gone":     {withCredentials(credentials{}, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1/secret", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "api-token"}, log.URL), "gives no token"},
		"a bad URL":           {withCredentials(credentials{}, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "://secret", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "api-token"}, log.URL), "is not a URL"},
		"a bad header":        {withCredentials(credentials{headers: []string{"api-token"}}, nil, log.URL), "NAME:VALUE"},
		"a certificate alone": {withCredentials(credentials{cert: "x"}, nil, log.URL), "give both"},
		"no authorities":      {withCredentials(credentials{ca: open}, nil, log.URL), "no certificate in PEM"},
	} {
		err := c.p.send(t, http.MethodPost, log.URL)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "api-token") || strings.Contains(err.Error(), "secret") && !strings.Contains(err.Error(), "holds a secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClientCertificate: with --ca and --client-cert, a server that asks for a
// certificate is reached.
func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"client"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- len(r.TLS.PeerCertificates) }))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := credentials{ca: write("ca", "CERTIFICATE", s.Certificate().Raw), cert: write("cert", "CERTIFICATE", der), key: write("key", "PRIVATE KEY", pkcs8)}
	if err := withCredentials(c, nil, s.URL).send(t, http.MethodPost, s.URL); err != nil || <-got != 1 {
		t.Error(err, "or no certificate")
	}
	if err := withCredentials(credentials{}, nil, s.URL).send(t, http.MethodPost, s.URL); err == nil {
		t.Error("a server by an unknown authority is reached")
	}
	if err := os.Chmod(c.key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := withCredentials(c, nil, s.URL).transport(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}

// TestProxy: programs on this machine write with the user's token, and pages in a
// browser do not.
func TestProxy(t *testing.T) {
	log := listen(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, r.URL.Path)
	})
	p := withCredentials(credentials{token: secretFile(t, "api-token")}, nil, log.URL)
	var err error
	if p.toLog, err = p.transport(); err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(log.URL + "/prefix")
	if err != nil {
		t.Fatal(err)
	}
	h := p.passing(to, slog.New(slog.DiscardHandler))
	ask := func(change func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/api/v2/log/entries", strings.NewReader("{}"))
		r.Host = "127.0.0.1:3000"
		r.Header.Set("Authorization", "Bearer another")
		change(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask(func(*http.Request) {}); w.Code != http.StatusCreated || w.Body.String() != "/prefix/api/v2/log/entries" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, change := range map[string]func(*http.Request){
		"a page":       func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.com") },
		"another name": func(r *http.Request) { r.Host = "evil.example.com" },
	} {
		if w := ask(change); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if got := log.authorizations(); len(got) != 1 || got[0] != "Bearer api-token" {
		t.Errorf("%q", got)
	}
	log.Close()
	if w := ask(func(*http.Request) {}); w.Code != http.StatusBadGateway || strings.Contains(w.Body.String(), "api-token") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	p.url = log.URL
	if err := p.proxy(t.Context(), "0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "others could write as you") {
		t.Error(err)
	}
}
