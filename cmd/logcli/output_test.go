package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const forged = "x\nVerified: y is in log z\r\x1b[31m\u202e"

// What comes from outside begins no line, and does nothing to the terminal.
func TestForgedLines(t *testing.T) {
	w := newWorld(t)
	f := w.file(forged, "artifact")
	out, errs := w.run(exitDone, "add", f)
	quietLines(t, out+errs)
	out, errs = w.run(exitDone, "add", f, w.file("second", "artifact"))
	quietLines(t, out+errs)
	out, errs = w.run(exitDone, "verify", f)
	quietLines(t, out+errs)
	says(t, out, "Verified: ")
	if strings.Count(out, "\nVerified:") != 1 {
		t.Errorf("%q", out)
	}
	out, errs = w.run(exitUnverified, "verify", "--proof", f+proofSuffix, w.file(forged+"2", "another"))
	quietLines(t, out+errs)
	if strings.Contains(out, "\nVerified:") {
		t.Errorf("%q", out)
	}
	w.run(exitUnasked, "verify", f+"3")
	w.log.replace["/v1/entries/0"] = func(rw http.ResponseWriter, _ *http.Request) {
		fail(rw, http.StatusBadRequest, "it is not there\nlogcli: all verified")
	}
	_, errs = w.run(exitUnasked, "get", "0")
	says(t, errs, "it is not there\n  logcli: all verified")
	_, errs = w.run(exitUnasked, "verify", f+"3")
	if strings.Contains(errs, "\nVerified:") {
		t.Errorf("%q", errs)
	}
	raw := w.file("raw", "a\nVerified: b")
	delete(w.log.replace, "/v1/entries/0")
	w.run(exitDone, "add", "--kind", "raw", raw)
	if out, _ = w.run(exitDone, "get", "3"); strings.Contains(out, "\nVerified:") {
		t.Errorf("%q", out)
	}
}

func quietLines(t *testing.T, said string) {
	t.Helper()
	if strings.ContainsAny(said, "\x1b\r\u202e") || strings.Contains(said, "x\nVerified") {
		t.Errorf("%q", said)
	}
}

// full is a device without room.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

// A command whose output is lost says so, by the exit code too.
func TestOutputLost(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	other := w.file("other", "something else")
	for _, test := range []struct {
		code int
		args []string
	}{
		{exitUnasked, []string{"add", f}},
		{exitUnasked, []string{"add", f, "-o", "json"}},
		{exitUnasked, []string{"verify", f}},
		{exitUnasked, []string{"verify", f, "-o", "json"}},
		{exitUnasked, []string{"checkpoint"}},
		{exitUnasked, []string{"get", "7", "-o", "json"}},
		{exitUnverified, []string{"verify", "--proof", f + proofSuffix, other}},
		{exitUsage, []string{"get", "-o", "json"}},
	} {
		var errs bytes.Buffer
		getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
		if got := run(t.Context(), test.args, getenv, strings.NewReader(""), full{}, &errs); got != test.code || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, want %d: %s", test.args, got, test.code, &errs)
		}
	}
}

// Files that are read as a whole have a bound.
func TestEndlessFiles(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	huge := filepath.Join(w.dir, "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<40); err != nil { // without a block of its own
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", f, "--policy"},
		{"verify", f, "--signer"},
		{"verify", f, "--log-key"},
		{"verify", f, "--trusted-root"},
		{"verify", f, "--proof"},
		{"verify", f, "--bundle"},
		{"verify", f, "--certificate-identity", "x", "--ca-roots"},
		{"verify", f, "--bundle", f, "--tsa"},
		{"add", f, "--certificate"},
		{"add", f, "--key"},
		{"add", "--kind", "dsse"},
		{"add", "--kind", "raw"},
		{"consistency"},
		{"doctor", "--rekor-v1-key"},
		{"search", "--public-key"},
		{"evidence", "verify"},
	} {
		var out, errs bytes.Buffer
		getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
		got := run(t.Context(), append(args, huge), getenv, strings.NewReader(""), &out, &errs)
		if got == exitDone || !strings.Contains(errs.String(), huge) && !strings.Contains(errs.String(), "bytes") {
			t.Errorf("%q: exit code %d: %s", args, got, &errs)
		}
	}
}

func TestDated(t *testing.T) {
	for said, want := range map[string]string{
		"logged by 1795280816 (seconds since 1970, UTC), valid then, 1795280816 (in seconds since 1970, UTC); 17 entries": "logged by 2026-11-21T17:06:56Z, valid then, 2026-11-21T17:06:56Z; 17 entries",
		"trusted from 0 to 1704153600 (in seconds since 1970, UTC), and":                                                  "trusted from 0 to 2024-01-02T00:00:00Z, and",
		"its time is 1795280816, in seconds since 1970":                                                                   "its time is 2026-11-21T17:06:56Z",
		"number 1795280816 of 1795280817":                                                                                 "number 1795280816 of 1795280817",
	} {
		if got := dated(said); got != want {
			t.Errorf("%q: %q", said, got)
		}
	}
}
