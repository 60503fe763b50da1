package main

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"indelible/internal/transport"
)

// asked is what a server answers at its operator's port.
func (s *instance) asked(t *testing.T, path string) (int, string) {
	t.Helper()
	admin := regexp.MustCompile(`admin +(\S+)`).FindStringSubmatch(s.banner)[1]
	res, err := http.Get(admin + path)
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

// logs adds an entry.
func (s *instance) logs(t *testing.T, artifact string) {
	t.Helper()
	request, _ := signed(t, artifact)
	if code, body := s.ask(t, http.MethodPost, "/api/v2/log/entries", request); code != http.StatusCreated {
		t.Fatalf("%d %s", code, body)
	}
}

// status is what logserver guard status prints of a log with a server, once it ended
// with that exit code.
func (s *instance) status(t *testing.T, dir string, code int) string {
	t.Helper()
	var out printed
	admin := regexp.MustCompile(`admin +http://(\S+)`).FindStringSubmatch(s.banner)[1]
	if err := run(t.Context(), []string{"guard", "status", "--data-dir", dir, "--admin", admin}, none, &out, &out); exitCode(err) != code {
		t.Fatalf("%v\n%s", err, &out)
	}
	return out.String()
}

// health is what logserver health prints, and how it ends.
func (s *instance) health(t *testing.T) (string, error) {
	t.Helper()
	var out printed
	admin := regexp.MustCompile(`admin +http://(\S+)`).FindStringSubmatch(s.banner)[1]
	err := run(t.Context(), []string{"health", "--admin", admin}, none, &out, &out)
	return out.String(), err
}

// The log's last entry is from a time that the clock has not reached. Every place
// that an operator looks at says so, without an add, and says when it is over.
func TestWrongClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir)
	s.logs(t, "an artifact")
	poll(t, "ready", func() bool { code, _ := s.asked(t, "/readyz"); return code == http.StatusOK })
	if out := s.status(t, dir, statusOK); !strings.Contains(out, "server     ready, says http://") || strings.Contains(out, "clock") {
		t.Errorf("%s", out)
	}
	if out, err := s.health(t); err != nil || out != "ready\n" {
		t.Errorf("health: %q, %v", out, err)
	}
	later := func(by time.Duration) {
		t.Helper()
		if _, err := database(t, dir).Exec(`UPDATE tree_heads SET integrated_at = ?`, time.Now().Add(by).UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}
	later(2 * time.Hour)
	const says = "behind the time of the log's last entry"
	poll(t, "readiness says it", func() bool {
		code, body := s.asked(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, says) && strings.Contains(body, "set the clock right")
	})
	if code, body := s.ask(t, http.MethodGet, "/healthz", nil); code != http.StatusServiceUnavailable || !strings.Contains(body, says) {
		t.Errorf("%d %s", code, body)
	}
	if _, body := s.asked(t, "/metrics"); !strings.Contains(body, "\nindelible_ready 0\n") {
		t.Errorf("indelible_ready is not 0")
	}
	out := s.status(t, dir, statusNotReady)
	for _, want := range []string{"On this machine, the clock is wrong: it says", says, "server     NOT READY"} {
		if !strings.Contains(out, want) {
			t.Errorf("guard status does not say %q:\n%s", want, out)
		}
	}
	if out, err := s.health(t); !errors.Is(err, transport.ErrNotReady) || !strings.Contains(out, says) {
		t.Errorf("health: %q, %v", out, err)
	}
	later(-time.Minute)
	poll(t, "ready again", func() bool { code, _ := s.asked(t, "/readyz"); return code == http.StatusOK })
	s.stop()
	if log := s.log.String(); strings.Count(log, `"level":"ERROR"`) != 1 || !strings.Contains(log, `"step":"read the clock"`) || strings.Count(log, "the outage has ended") != 1 {
		t.Errorf("the server's log:\n%s", log)
	}
	if out := s.status(t, dir, statusOK); !strings.Contains(out, "server     none answers at http://") {
		t.Errorf("%s", out)
	}
}

// After a restart the metrics say what is published, though nothing is added.
func TestMetricsAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir)
	s.logs(t, "an artifact")
	s.stop()
	s = start(t, dir)
	_, body := s.asked(t, "/metrics")
	for _, want := range []string{"\nindelible_published_size 1\n", "\nindelible_poisoned 0\n", "\nindelible_published_timestamp_seconds 1.", `indelible_retries_total{step="publish"} 0`} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
}
