package trustfiles_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/server/trustfiles"
	"indelible/trust"
)

func handler(t *testing.T, publicURL string) http.Handler {
	t.Helper()
	key, err := checkpoint.NewVerifier("log.example.com", ed25519.NewKeyFromSeed(make([]byte, 32)).Public())
	if err != nil {
		t.Fatal(err)
	}
	return trustfiles.New(func(url string) ([]trust.File, error) { return files(url, key.String()) }, publicURL)
}

func files(url, key string) ([]trust.File, error) {
	return trust.Files(trust.Log{URL: url, Origin: "log.example.com", Keys: []string{key}, RekorV2: true})
}

func get(h http.Handler, method, host, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://x"+path, nil)
	r.Host = host
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	h := handler(t, "")
	files, err := files("http://log.example.com:8080", strings.TrimSpace(get(h, "GET", "a", "/trust/log.vkey", nil).Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	index := get(h, "GET", "log.example.com:8080", "/trust/", nil)
	for _, f := range files {
		w := get(h, "GET", "log.example.com:8080", "/trust/"+f.Name, nil)
		if w.Code != 200 || w.Header().Get("Content-Type") != f.Type || w.Body.String() != string(f.Data) {
			t.Errorf("%s: %d, %v\n%s", f.Name, w.Code, w.Header(), w.Body)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: headers %v", f.Name, w.Header())
		}
		if !strings.Contains(index.Body.String(), `href="`+f.Name+`"`) || !strings.Contains(index.Body.String(), html.EscapeString(f.About)) {
			t.Errorf("the page does not list %s:\n%s", f.Name, index.Body)
		}
	}
	if index.Code != 200 || index.Header().Get("Content-Type") != "text/html; charset=utf-8" || index.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the page: %d, %v", index.Code, index.Header())
	}
}

func TestTheURLInTheFiles(t *testing.T) {
	for name, c := range map[string]struct {
		public string
		change func(*http.Request)
		want   string
	}{
		"as asked":       {"", nil, "http://asked.example"},
		"TLS":            {"", func(r *http.Request) { r.TLS = new(tls.ConnectionState) }, "https://asked.example"},
		"public":         {"https://public.example", func(r *http.Request) { r.TLS = nil }, "https://public.example"},
		"public, slash":  {"https://public.example/", nil, "https://public.example"},
		"said by others": {"", forwarded, "http://asked.example"},
	} {
		h := handler(t, c.public)
		if body := get(h, "GET", "asked.example", "/trust/signing_config.json", c.change).Body.String(); !strings.Contains(body, `"url": "`+c.want+`"`) {
			t.Errorf("%s: not %s in\n%s", name, c.want, body)
		}
		if body := get(h, "GET", "asked.example", "/trust/", c.change).Body.String(); !strings.Contains(body, c.want) || strings.Contains(body, "evil") {
			t.Errorf("%s: not %s on the page\n%s", name, c.want, body)
		}
	}
}

func forwarded(r *http.Request) {
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Forwarded", "host=evil.example;proto=https")
}

func TestRefusals(t *testing.T) {
	h := handler(t, "")
	for _, c := range []struct {
		method, host, path string
		status             int
		says               string
	}{
		{"GET", "a.example", "/trust/nothing", 404, "/trust/nothing"},
		{"GET", "a.example", "/trust/rekor-v1.pem", 404, "lists what there is"},
		{"GET", "a.example", "/trust/../log.vkey", 404, "nothing"},
		{"GET", "a.example", "/trust/log%2Evkey", 404, "nothing"},
		{"POST", "a.example", "/trust/log.vkey", 405, "GET and HEAD"},
		{"GET", "a.example/$(reboot)", "/trust/cosign.txt", 400, "'$'"},
		{"GET", "", "/trust/cosign.txt", 400, "and a host"},
	} {
		w := get(h, c.method, c.host, c.path, nil)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s of %s: %d, %v\n%s", c.method, c.path, c.host, w.Code, w.Header(), w.Body)
		}
	}
	broken := trustfiles.New(func(string) ([]trust.File, error) { return nil, errors.New("no key") }, "https://log.example.com")
	if w := get(broken, "GET", "a.example", "/trust/", nil); w.Code != 500 || !strings.Contains(w.Body.String(), "no key") {
		t.Errorf("files that cannot be made: %d\n%s", w.Code, w.Body)
	}
}
