//go:build unix

package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"indelible/internal/config"
)

// TestTheRegistersDSNIsReadAgain at SIGHUP: one that is wrong is an error.
func TestTheRegistersDSNIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	dsn := func(name, text string, mode os.FileMode) *opened {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return &opened{place: "mysql:" + path}
	}
	for name, c := range map[string]struct {
		parts *opened
		says  string // empty: it is right
	}{
		"right":                {dsn("a", "u:p@tcp(127.0.0.1:1)/register", 0o600), ""},
		"others can read it":   {dsn("b", "u:p@tcp(127.0.0.1:1)/register", 0o644), "chmod 600"},
		"is no DSN":            {dsn("c", "nothing", 0o600), "DSN"},
		"is not there":         {&opened{place: "mysql:" + filepath.Join(dir, "none")}, "no such file"},
		"a register in a file": {&opened{place: filepath.Join(dir, "none")}, ""},
	} {
		err := (&program{getenv: none}).reload(nil, c.parts, nil, slog.New(slog.DiscardHandler)).Live["register"](config.Values{})
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhatIsWrongIsNamed: an error says which flag it is about.
func TestWhatIsWrongIsNamed(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ flag, value, says string }{
		{"--register", dir, "--register " + dir + " is a directory; name a file in it"},
		{"--rekor-v1-key", dir, "--rekor-v1-key, the key of the Rekor v1 API"},
		{"--log-key", dir, "--log-key: "},
		{"--shutdown-delay", "-3s", "is negative"},
	} {
		err := run(t.Context(), []string{"init", "--data-dir", t.TempDir(), "--origin", "named.example", c.flag + "=" + c.value}, none, &bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v", c.flag, c.value, err)
		}
	}
	for _, flag := range []string{"version", "--version"} {
		out := &bytes.Buffer{}
		if err := run(t.Context(), []string{flag}, none, out, out); err != nil || !strings.HasPrefix(out.String(), "logserver ") || !strings.Contains(out.String(), runtime.Version()) {
			t.Errorf("%s: %v, %s", flag, err, out)
		}
	}
}
