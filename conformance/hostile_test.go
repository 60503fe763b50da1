package conformance_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"indelible/checkpoint"
	"indelible/conformance"
)

// tried runs the suite against any handler.
func (w *world) tried(t *testing.T, h http.HandlerFunc) (conformance.Report, error) {
	t.Helper()
	w.serve(t, h)
	return conformance.Witness(t.Context(), conformance.Config{Submission: w.url, Log: newLog(t), Keys: w.keys()}, func(conformance.Result) {})
}

// Whatever answers, the run ends, and finds that it is no witness.
func TestNoWitness(t *testing.T) {
	always := func(code int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(code)
			io.WriteString(rw, body)
		}
	}
	var jumps, calls atomic.Int64
	for name, h := range map[string]http.HandlerFunc{
		"nothing":      always(200, ""),
		"garbage":      always(200, strings.Repeat("\x00\xff", 1000)),
		"much":         always(200, strings.Repeat("— a AAAA\n", 1<<16)),
		"fault":        always(500, "fault"),
		"size 0":       always(409, "0\n"),
		"a large size": always(409, fmt.Sprintln(1<<19)),
		"sizes that jump": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(409)
			fmt.Fprintln(rw, []int64{5, 40, 0, 1 << 62, 3, -1, 1 << 30}[jumps.Add(1)%7])
		},
		"hangs up": func(rw http.ResponseWriter, _ *http.Request) {
			if calls.Add(1)%3 == 0 {
				panic(http.ErrAbortHandler)
			}
			rw.WriteHeader(200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := newWorld(t).tried(t, h)
			if err != nil && !errors.Is(err, conformance.ErrUnreachable) || err == nil && r.Count(conformance.Must, conformance.Failed) < 3 {
				t.Errorf("%d rules failed, %v", r.Count(conformance.Must, conformance.Failed), err)
			}
		})
	}
}

func TestSetup(t *testing.T) {
	w := newWorld(t)
	for name, h := range map[string]http.HandlerFunc{
		"404":  func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(404) },
		"403":  func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(403) },
		"huge": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(409); fmt.Fprintln(rw, 1<<40) },
		"other tree": func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if bytes.HasPrefix(body, []byte("old 7\n")) {
				rw.WriteHeader(422)
				return
			}
			rw.WriteHeader(409)
			fmt.Fprintln(rw, 7)
		},
	} {
		if r, err := w.tried(t, h); !errors.Is(err, conformance.ErrSetup) || len(r.Results) > 0 {
			t.Errorf("%s: %d results, %v", name, len(r.Results), err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	cfg := conformance.Config{Submission: "http://127.0.0.1:1", Log: newLog(t), Keys: newWorld(t).keys()}
	if _, err := conformance.Witness(t.Context(), cfg, nil); !errors.Is(err, conformance.ErrUnreachable) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t)
	cfg.Submission = w.url
	r, err := conformance.Witness(ctx, cfg, func(conformance.Result) { cancel() })
	if !errors.Is(err, context.Canceled) || len(r.Results) != 1 {
		t.Errorf("stopped with %d results: %v", len(r.Results), err)
	}
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	log, err := checkpoint.NewVerifier("log.example", ed25519.NewKeyFromSeed(make([]byte, 32)).Public())
	if err != nil {
		t.Fatal(err)
	}
	for i, cfg := range []conformance.Config{
		{Submission: w.url, Keys: w.keys()},
		{Submission: w.url, Log: w.log},
		{Submission: w.url, Log: w.log, Keys: []checkpoint.Verifier{log}},
		{Submission: "ftp://x", Log: w.log, Keys: w.keys()},
		{Submission: w.url, Monitoring: "?", Log: w.log, Keys: w.keys()},
	} {
		if r, err := conformance.Witness(t.Context(), cfg, nil); err == nil || r.Submission != "" {
			t.Errorf("config %d: %+v", i, err)
		}
	}
}

// Requests that are throttled are made again.
func TestThrottled(t *testing.T) {
	w := newWorld(t)
	throttle := true
	r, err := w.tried(t, func(rw http.ResponseWriter, r *http.Request) {
		if throttle {
			throttle = false
			rw.Header().Set("Retry-After", "1")
			rw.WriteHeader(429)
			return
		}
		w.handler.ServeHTTP(rw, r)
	})
	if failed := inState(r, conformance.Failed); err != nil || len(failed) > 0 || r.Throttled != 1 {
		t.Errorf("failed %q, throttled %d times, %v", failed, r.Throttled, err)
	}
}

// A key that cosigns under two names is found among those that are given.
func TestOwnKeys(t *testing.T) {
	w := newWorld(t)
	other, err := checkpoint.NewCosigner("witness.example/w2", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	w.cosigners = append(w.cosigners, other)
	if failed := inState(w.run(t), conformance.Failed); !slices.Equal(failed, []string{"own-keys"}) {
		t.Errorf("failed %q", failed)
	}
}
