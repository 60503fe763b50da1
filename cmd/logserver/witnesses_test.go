package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"indelible/checkpoint"
	"indelible/keys"
)

// served asks a logserver for its checkpoint and its keys.
func served(t *testing.T, s *instance) (checkpoint.Opened, []checkpoint.Verifier) {
	t.Helper()
	code, vkeys := s.ask(t, http.MethodGet, "/log.vkey", nil)
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, vkeys)
	}
	var list []checkpoint.Verifier
	for line := range strings.Lines(vkeys) {
		k, err := checkpoint.ParseVerifier(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k)
	}
	s.becomes(t, http.StatusOK, "SERVING") // the first checkpoint may come later
	_, text := s.ask(t, http.MethodGet, "/checkpoint", nil)
	o, err := checkpoint.Open([]byte(text), list)
	if err != nil {
		t.Fatal(err)
	}
	return o, list
}

// signatureLines are how many lines a note has by any name.
func signatureLines(text string) int { return strings.Count(text, "\n— ") }

func TestMLDSAKey(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if _, list := served(t, s); len(list) != 1 {
		t.Fatalf("a log has %d keys", len(list))
	}
	s.stop()

	// A log that is there gets a second key, made for it.
	path := filepath.Join(t.TempDir(), "mldsa.key")
	s = start(t, dir, "--mldsa-key", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	request, _ := signed(t, "artifact")
	if code, body := s.ask(t, http.MethodPost, "/api/v2/log/entries", request); code != http.StatusCreated {
		t.Fatalf("%d: %s", code, body)
	}
	o, list := served(t, s)
	if len(list) != 2 || len(o.Verified) != 2 || list[1].Name() != "log.example.com" || list[1].Algorithm() != checkpoint.CosignatureV1MLDSA44 {
		t.Fatalf("keys %v, signed by %v", list, o.Verified)
	}
	if at, ok := o.Timestamp(list[1]); !ok || time.Since(time.Unix(at, 0)) > time.Hour {
		t.Errorf("signed at %d", at)
	}
	notesOf(t, s, list[0])
	s.stop()

	// Init says what there is.
	out, err := initLog(t, dir, "--mldsa-key", path)
	if err != nil || !strings.Contains(out, list[1].String()) || !strings.Contains(out, path) {
		t.Errorf("%v: %s", err, out)
	}
	// Without the flag the log goes on, and says so.
	s = start(t, dir)
	if !strings.Contains(s.log.String(), "has signed with an ML-DSA-44 key, and does not now") {
		t.Error("no warning")
	}
}

// notesOf looks at the notes that Sigstore's clients get: over v2 the log's own
// line comes first, and they find it among others; over v1 there is one line.
func notesOf(t *testing.T, s *instance, key checkpoint.Verifier) {
	t.Helper()
	code, v2 := s.ask(t, http.MethodGet, "/api/v2/checkpoint", nil)
	verifier, err := note.NewVerifier(key.String())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open([]byte(v2), note.VerifierList(verifier)); code != http.StatusOK || err != nil || len(n.Sigs) != 1 || signatureLines(v2) != 2 {
		t.Errorf("%d, %v: %s", code, err, v2)
	}
	_, v1 := s.ask(t, http.MethodGet, "/api/v1/log", nil)
	var info struct{ SignedTreeHead string }
	if err := json.Unmarshal([]byte(v1), &info); err != nil || signatureLines(info.SignedTreeHead) != 1 {
		t.Errorf("%v: %s", err, v1)
	}
}

func TestMLDSAKeysThatAreRefused(t *testing.T) {
	dir, another := t.TempDir(), filepath.Join(t.TempDir(), "mldsa.key")
	key := filepath.Join(t.TempDir(), "mldsa.key")
	if _, err := initLog(t, dir, "--mldsa-key", key); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.GenerateMLDSA44(another); err != nil {
		t.Fatal(err)
	}
	_, err := initLog(t, dir, "--mldsa-key", another)
	refusedBy(t, err, "is not the ML-DSA-44 key of log", "every replica signs with the log's one key")
	_, err = initLog(t, dir, "--mldsa-key", filepath.Join(dir, "none"))
	refusedBy(t, err, "does not exist", "put the key back")
	_, err = initLog(t, dir, "--mldsa-key", filepath.Join(dir, "log.key"))
	refusedBy(t, err, "a key of another type")
}

func witnessKey(t *testing.T) string {
	t.Helper()
	c, err := checkpoint.NewCosigner("witness.example/w", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return c.Verifier().String()
}

func TestPoliciesThatAreRefused(t *testing.T) {
	dir, _ := newLog(t)
	w := witnessKey(t)
	other, err := checkpoint.NewSigner("other.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string][]string{
		"witness w " + w + " https://w\nquorom w\n": {"policy line 2", `"quorom"`},
		"witness w " + w + " ftp://w\nquorum w\n":   {"ftp://w"},
		"witness w " + w + "\nquorum w\n":           {"cannot be met"},
		"quorum w\n":                                {"policy line 1"},
		"log " + other.Verifier().String() + "\nwitness w " + w + " https://w\nquorum w\n": {"the policy of another log", "other.example+", "this log is"},
	} {
		path := filepath.Join(t.TempDir(), "policy")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := run(t.Context(), []string{"--data-dir", dir, "--witness-policy", path}, func(string) (string, bool) { return "", false }, &out, &out)
		refusedBy(t, err, append(says, "--witness-policy "+path)...)
	}
}

// Two witnesses that may be one are warned of, where the configuration is checked
// and where the server starts.
func TestPolicyThatMayCountOneTwice(t *testing.T) {
	two, err := checkpoint.NewCosigner("witness.example/w", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy")
	policy := fmt.Sprintf("witness a %s http://127.0.0.1:1\nwitness b %s http://127.0.0.1:1\ngroup g 2 a b\nquorum g\n", witnessKey(t), two.Verifier())
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	const says = "have keys of one name, "
	out, log := &printed{}, &printed{}
	none := func(string) (string, bool) { return "", false }
	if err := run(t.Context(), []string{"config", "check", "--witness-policy", path}, none, out, log); err != nil || strings.Count(log.String(), "warning: --witness-policy: ") != 1 || !strings.Contains(log.String(), says) {
		t.Errorf("%v: %s", err, log)
	}
	if err := run(t.Context(), []string{"config", "check", "--witness-policy", path + "x"}, none, out, log); err == nil {
		t.Error("a policy that is not there was not missed")
	}
	s := start(t, filepath.Join(t.TempDir(), "data"), "--witness-policy", path, "--witness-fail-open")
	if !strings.Contains(s.log.String(), says) {
		t.Errorf("%s", s.log)
	}
}

// A witness that fails is complained of once a minute, and praised once.
func TestWitnessEvents(t *testing.T) {
	var lines bytes.Buffer
	reg := prometheus.NewRegistry()
	e := newWitnessEvents(reg, slog.New(slog.NewTextHandler(&lines, nil)))
	now := time.Unix(1_000_000, 0)
	e.now = func() time.Time { return now }
	for range 100 {
		e.answered("w1", time.Millisecond, errors.New("it answered 500"))
		now = now.Add(time.Second)
	}
	e.answered("w2", time.Second, fmt.Errorf("asked: %w", &url.Error{Op: "Post", Err: context.DeadlineExceeded}))
	e.answered("w2", time.Second, &url.Error{Op: "Post", Err: errors.New("connection refused")})
	for range 2 {
		e.answered("w1", time.Millisecond, nil)
	}
	text := lines.String()
	if strings.Count(text, "witness=w1 error=") != 2 || strings.Count(text, "cosigns again") != 1 || !strings.Contains(text, "failures=100") || strings.Count(text, "witness=w2") != 1 {
		t.Error(text)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, n := range map[string]float64{
		"indelible_witness_answers_total refused w1": 100, "indelible_witness_answers_total cosigned w1": 2,
		"indelible_witness_answers_total timeout w2": 1, "indelible_witness_answers_total unreachable w2": 1, "indelible_witness_seconds w1": 102,
	} {
		if got[name] != n {
			t.Errorf("%s is %v, not %v; all: %v", name, got[name], n, got)
		}
	}
}
