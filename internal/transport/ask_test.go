package transport_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"indelible/internal/transport"
	"indelible/internal/transport/adminport"
)

// Health says what the server says, and fails unless it is ready.
func TestHealth(t *testing.T) {
	var ready error
	warnings := func() []string { return []string{"the certificate expires soon"} }
	admin := httptest.NewServer(adminport.Handler(func() error { return ready }, prometheus.NewRegistry(), warnings))
	defer admin.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	port := func(s *httptest.Server) string { return s.URL[strings.LastIndex(s.URL, ":"):] }
	ask := func(address string) (string, error) {
		var out strings.Builder
		err := transport.Health(t.Context(), address, &out)
		return out.String(), err
	}

	const warning = "warning: the certificate expires soon\n"
	for _, address := range []string{strings.TrimPrefix(admin.URL, "http://"), port(admin)} {
		if out, err := ask(address); err != nil || out != warning+"ready\n" {
			t.Errorf("ready server at %s: %q, %v", address, out, err)
		}
	}
	ready = errors.New("the database is away")
	if out, err := ask(port(admin)); !errors.Is(err, transport.ErrNotReady) || out != "the database is away\n"+warning {
		t.Errorf("server that is not ready: %q, %v", out, err)
	}
	if out, err := ask(port(other)); err == nil || errors.Is(err, transport.ErrNotReady) || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("another server: %q, %v", out, err)
	}
	admin.Close()
	if out, err := ask(port(admin)); err == nil || errors.Is(err, transport.ErrNotReady) {
		t.Errorf("no server: %q, %v", out, err)
	}
}
