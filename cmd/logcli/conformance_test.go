package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/witness"
)

// refusing is no witness: it says 409 to everything.
func refusing(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintln(rw, 0)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func cosignerKey(t *testing.T) string {
	t.Helper()
	c, err := checkpoint.NewCosigner("w.example", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return c.Verifier().String()
}

func logKey(t *testing.T) string {
	t.Helper()
	s, err := checkpoint.NewSigner("log.example", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s.Verifier().String()
}

const someWitness = "w.example+2c4ce2c5+BA=="

func TestConformanceNewLog(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "log.key")
	out, said := w.run(exitDone, "conformance", "witness", "--new-log", file)
	says(t, said, "vkey    conformance.invalid/", "logcli conformance witness --log-key "+file)
	// What is printed is appended to a list as it is.
	if logs, _, err := witness.ParseLogList([]byte("logs/v0\n\nvkey " + logKey(t) + "\n" + out)); err != nil || len(logs) != 2 || !strings.HasPrefix(logs[1].Origin, "conformance.invalid/") {
		t.Errorf("%v, of\n%s", err, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	w.run(exitUnasked, "conformance", "witness", "--new-log", file)
	out, _ = w.run(exitDone, "conformance", "witness", "-o", "json", "--origin", "played.example", "--new-log", file+"2")
	var made struct{ File, Origin, VKey, LogList string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Origin != "played.example" || !strings.HasPrefix(made.VKey, "played.example+") || made.File != file+"2" || made.LogList == "" {
		t.Errorf("%s: %v", out, err)
	}
}

func TestConformance(t *testing.T) {
	w, url := newWorld(t), refusing(t)
	file := filepath.Join(t.TempDir(), "log.key")
	w.run(exitDone, "conformance", "witness", "--new-log", file)
	vkey := cosignerKey(t)
	args := []string{"conformance", "witness", "--log-key", file, "--witness-key", vkey}
	out, errs := w.run(exitUnverified, append(args, url)...)
	says(t, out, "FAIL        MUST    grow  ", "ok          MUST    first-old  ", "not tested  MUST    durable  ", "(tlog-witness, add-checkpoint): from 0 to 4: 409: 0\n", "DOES NOT CONFORM: ")
	if errs != "" {
		t.Errorf("it says %s too", errs)
	}
	out, _ = w.run(exitUnverified, append(args, url, "-o", "json")...)
	var r struct {
		Exit, BrokenMust int
		Results          []struct{ Rule, Level, Section, Says, State, Detail string }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Exit != exitUnverified || r.BrokenMust < 3 || len(r.Results) < 50 || r.Results[0].Section == "" {
		t.Errorf("%s: %v", out, err)
	}
	_, errs = w.run(exitUnasked, append(args, "http://127.0.0.1:1")...)
	says(t, errs, "the witness does not answer")
	nobody := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(nobody.Close)
	_, errs = w.run(exitUsage, append(args, nobody.URL)...)
	says(t, errs, "not set up", "vkey conformance.invalid/")
}

func TestConformanceUsage(t *testing.T) {
	w, url := newWorld(t), refusing(t)
	file := filepath.Join(t.TempDir(), "log.key")
	w.run(exitDone, "conformance", "witness", "--new-log", file)
	vkey := cosignerKey(t)
	for want, args := range map[string][]string{
		"it is used as: logcli conformance witness URL": {},
		"which witness?":            {"witness"},
		"--log-key is required":     {"witness", url},
		"--witness-key is required": {"witness", url, "--log-key", file},
		"--witness-key: ":           {"witness", url, "--log-key", file, "--witness-key", someWitness},
		"--log-key: ":               {"witness", url, "--log-key", file + "3", "--witness-key", vkey},
		"must begin with http://":   {"witness", "nonsense", "--log-key", file, "--witness-key", vkey},
		"takes neither --log-key":   {"witness", url, "--new-log", file + "4"},
		"is not a cosigner's":       {"witness", url, "--log-key", file, "--witness-key", w.log.signer.Verifier().String()},
	} {
		_, errs := w.run(exitUsage, append([]string{"conformance"}, args...)...)
		says(t, errs, want)
	}
}
