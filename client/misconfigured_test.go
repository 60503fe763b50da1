package client

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestMisconfigured: what no second try can mend is said at once.
func TestMisconfigured(t *testing.T) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	secure, plain := httptest.NewUnstartedServer(nothing), httptest.NewServer(nothing)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	defer plain.Close()
	late := secure.Client().Transport.(*http.Transport).Clone()
	late.TLSClientConfig.Time = func() time.Time { return time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name, url, says string
		http            *http.Client
	}{
		{"unknown authority", secure.URL, "unknown authority", &http.Client{Transport: &http.Transport{}}},
		{"wrong clock", secure.URL, "expired or is not yet valid", &http.Client{Transport: late}},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), "HTTP response to HTTPS client", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, err := New(Config{URL: c.url, HTTP: c.http, Retrying: func(err error, _ time.Duration) { t.Errorf("tried again after %v", err) }})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = asked.Keys(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Error(err)
			}
		})
	}
}
