package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestReasonIsKept: when the time is over, the error says what the log said
// before, whether it was being asked then or was left alone for a while.
func TestReasonIsKept(t *testing.T) {
	for name, waiting := range map[string]bool{"while it is asked": false, "between two tries": true} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked == 1 {
				w.WriteHeader(http.StatusGatewayTimeout)
				w.Write([]byte(`{"code":4,"message":"too few witnesses"}`))
				return
			}
			cancel()
			<-r.Context().Done()
		}))
		c, err := New(Config{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			c.cfg.Retrying = func(error, time.Duration) { cancel() }
		}
		_, err = c.do(ctx, request{method: http.MethodGet, path: "/x", limit: 100})
		var said *StatusError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &said) || said.Message != "too few witnesses" || !strings.HasPrefix(err.Error(), "GET "+server.URL+"/x: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		server.Close()
	}
}
