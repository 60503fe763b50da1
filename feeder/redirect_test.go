package feeder

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestNoRedirects: a log does not say where this machine connects to.
func TestNoRedirects(t *testing.T) {
	var asked atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect} {
		log := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL+"/secret", status) }))
		key := newLog(t, "log.example", 1).keys
		_, _, err := Fetch(t.Context(), Log{Origin: "log.example", Keys: key, URL: log.URL}, 0)
		if err == nil || !strings.Contains(err.Error(), `a redirect to "`+inside.URL+`/secret", which is not followed (HTTP 30`) {
			t.Errorf("%d: %v", status, err)
		}
		for _, given := range []*http.Client{nil, {}} {
			cfg := Config{HTTP: given, Witness: newWorld(t).witness}.withDefaults()
			f, err := newFeed(Log{Origin: "log.example", Keys: key, URL: log.URL}, &cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.look(t.Context()); err == nil || !strings.Contains(err.Error(), "which is not followed") {
				t.Errorf("%d: %v", status, err)
			}
			if given != nil && given.CheckRedirect != nil {
				t.Error("the client that was given is another now")
			}
		}
		log.Close()
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("what it pointed to was asked %d times", n)
	}
}
