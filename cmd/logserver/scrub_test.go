package main

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An entry that was changed by SQL is found by the scrub, though no client reads it,
// and by a read; readiness, the metrics and guard status say which it is.
func TestBitRotIsFound(t *testing.T) {
	data := t.TempDir()
	s := start(t, data, "--entry-kinds", "raw", "--scrub-rate", "100000")
	for _, raw := range []string{`"YQ=="`, `"Yg=="`, `"Yw=="`} {
		if code, body := s.ask(t, http.MethodPost, "/v1/entries", []byte(`{"entry":{"raw":`+raw+`}}`)); code != http.StatusOK {
			t.Fatal(code, body)
		}
	}
	s.stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "log.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE entries SET body = x'78' WHERE idx = 1`); err != nil {
		t.Fatal(err)
	}
	s = start(t, data, "--entry-kinds", "raw", "--scrub-rate", "100000", "--search=false")
	poll(t, "the scrub finds it", func() bool {
		code, ready := admin(t, s, "/readyz")
		return code == http.StatusOK && strings.Contains(ready, "warning: the database holds damaged data: entry 1 ")
	})
	if code, body := s.ask(t, http.MethodGet, "/v1/entries/1", nil); code != http.StatusInternalServerError || !strings.Contains(body, "entry 1 is not served") {
		t.Errorf("the damaged entry: %d %s", code, body)
	}
	if code, body := s.ask(t, http.MethodGet, "/v1/entries/2", nil); code != http.StatusOK {
		t.Errorf("another: %d %s", code, body)
	}
	if _, metrics := admin(t, s, "/metrics"); !strings.Contains(metrics, "indelible_scrub_findings 1\n") {
		t.Error("the metrics do not count it")
	}
	out, err := command(t, data, "guard", "status", "--admin", s.admin())
	if exitCode(err) != statusDamaged || !strings.Contains(out, "damaged parts 1") || !strings.Contains(out, "entry 1 is not served") {
		t.Errorf("guard status says %s", out)
	}
}

// admin is the address of the admin port, as the banner says it.
func (s *instance) admin() string {
	_, rest, _ := strings.Cut(s.banner, "admin     http://")
	at, _, _ := strings.Cut(rest, "\n")
	return at
}

func admin(t *testing.T, s *instance, path string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
