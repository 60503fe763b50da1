package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestPoisoned: no client waits for an operator.
func TestPoisoned(t *testing.T) {
	for body, tries := range map[string]int64{
		`{"code":9,"message":"the log is poisoned","details":[]}`: 1,
		`{"code":14,"message":"the log is stopping"}`:             2,
		`busy`: 2,
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, body)
		}))
		defer server.Close()
		c, err := New(Config{URL: server.URL, Tries: 2})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Checkpoint(t.Context())
		var status *StatusError
		if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %v", body, err)
		}
		if asked.Load() != tries {
			t.Errorf("%s: it was asked for %d times, not %d", body, asked.Load(), tries)
		}
	}
}
