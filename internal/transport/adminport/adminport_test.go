package adminport

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHandler(t *testing.T) {
	reg := prometheus.NewRegistry()
	n := prometheus.NewCounter(prometheus.CounterOpts{Name: "some_total"})
	reg.MustRegister(n)
	n.Inc()
	var unready error
	h := Handler(func() error { return unready }, reg)
	for _, c := range []struct {
		path, contains string
		unready        error
		code           int
	}{
		{"/healthz", "ok", errors.New("starting"), 200},
		{"/readyz", "ok", nil, 200},
		{"/readyz", "starting", errors.New("starting"), 503},
		{"/metrics", "some_total 1", nil, 200},
		{"/debug/pprof/", "goroutine", nil, 200},
		{"/debug/pprof/cmdline", "", nil, 200},
		{"/", "", nil, 404},
	} {
		unready = c.unready
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.contains) {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
	}
}
