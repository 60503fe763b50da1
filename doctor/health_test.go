package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"indelible/doctor"
	translog "indelible/log"
	"indelible/server/failure"
)

// troubles are the states in which a log takes no entries, and what doctor must
// tell its operator to look at.
func troubles() map[string]struct {
	err error
	do  string
} {
	away := errors.New("dial tcp 10.0.0.1:3306: refused")
	return map[string]struct {
		err error
		do  string
	}{
		"poisoned":        {fmt.Errorf("%w: rollback", translog.ErrPoisoned), "logserver guard status"},
		"the clock":       {&translog.ClockError{Now: time.Unix(0, 0), Last: time.Unix(9000, 0), Most: time.Minute}, "by NTP"},
		"no database":     {fmt.Errorf("%w: %w: %w", translog.ErrUnavailable, away, translog.ErrNotAppending), "It is the log's database"},
		"no register":     {fmt.Errorf("%w: %w: %w", translog.ErrUnavailable, away, translog.ErrNotPublishing), "register or key"},
		"no quorum":       {fmt.Errorf("%w: %w: %w", translog.ErrUnavailable, away, translog.ErrUnwitnessed), "witnesses"},
		"it is starting":  {translog.ErrUnavailable, "/readyz"},
		"it is stopping":  {translog.ErrStopping, "try again in a moment"},
		"without a cause": {errors.New("?"), "/readyz"},
	}
}

// A log that says that it takes no entries is not well, whatever it goes on
// serving. Nothing is added to it, and the cause is the one that it names.
func TestALogThatSaysWhyItIsNotWell(t *testing.T) {
	w := newWorld(t)
	if _, err := w.run(w.config()); err != nil {
		t.Fatal(err)
	}
	for name, c := range troubles() {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(map[string]string{"status": "NOT_SERVING", "message": failure.Reason(c.err)})
			if err != nil {
				t.Fatal(err)
			}
			w.change = on("GET", "/healthz", answers(503, string(body)))
			r, err := w.run(w.config())
			if err != nil || others(r) != "health failed, rekor v2 not checked, rekor v1 not checked, search not checked" || len(r.Wrote) > 0 {
				t.Errorf("%v: [%s], wrote %v", err, others(r), r.Wrote)
			}
			if text := says(r); !strings.Contains(text, c.do) || !strings.Contains(text, failure.Reason(c.err)) || strings.Contains(text, "10.0.0.1") {
				t.Errorf("it does not say %q:\n%s", c.do, text)
			}
		})
	}
}

// What a log answers in such a state is no fault of a proxy or a cache, even if
// the log has just said that it is well.
func TestNoProxyIsBlamedForWhatTheLogSays(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Found, cfg.Fresh = time.Millisecond, time.Millisecond
	slow := map[string]struct {
		err error
		do  string
	}{
		"a slow read": {context.DeadlineExceeded, "The log's database is slow"},
		"damage":      {translog.ErrDamaged, "logserver fsck"},
		"a fault":     {errors.New("?"), "in the server's log"},
	}
	for name, c := range troubles() {
		if name != "without a cause" {
			slow[name] = c
		}
	}
	for name, c := range slow {
		t.Run(name, func(t *testing.T) {
			st := status.Convert(failure.Status(c.err))
			body, err := json.Marshal(map[string]any{"code": st.Code(), "message": st.Message(), "details": []any{}})
			if err != nil {
				t.Fatal(err)
			}
			refuses := answers(failure.HTTPStatus(st.Code()), string(body))
			w.change = all(onAll("/api/*", refuses), onAll("/v1/*", refuses), onAll("/tile/*", refuses))
			r, err := w.run(cfg)
			failed := 0
			for _, check := range r.Checks {
				if check.State != doctor.Failed {
					continue
				}
				failed++
				if !strings.Contains(check.Do, c.do) {
					t.Errorf("%s: %s\n  %s", check.Name, check.Detail, check.Do)
				}
			}
			if err != nil || failed < 2 {
				t.Errorf("%v: [%s]\n%s", err, others(r), says(r))
			}
		})
	}
}
