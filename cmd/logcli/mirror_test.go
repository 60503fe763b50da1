package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/mirror"
	"indelible/mirror/sourcetest"
)

// mirrorWorld is a log, and a directory for its copy.
func mirrorWorld(t *testing.T, size int64) (l *sourcetest.Log, dir string, logcli func(args ...string) (string, string, int)) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // no key is remembered
	l, dir = sourcetest.New(t, "log.example", size), filepath.Join(t.TempDir(), "mirror")
	logcli = func(args ...string) (string, string, int) {
		var out, errs strings.Builder
		none := func(string) (string, bool) { return "", false }
		code := run(t.Context(), args, none, strings.NewReader(""), &out, &errs)
		return out.String(), errs.String(), code
	}
	return l, dir, logcli
}

func TestMirrorCommand(t *testing.T) {
	l, dir, run := mirrorWorld(t, 1000)
	key := l.Key.String()
	out, errs, code := run("mirror", l.URL, dir, "--dry-run", "--log-key", key)
	if code != exitDone || !strings.Contains(out, "lacks 1000 of them") || !strings.Contains(out, "hours at 10 requests a second") {
		t.Errorf("dry run: %d %s%s", code, out, errs)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("--dry-run made the directory")
	}
	out, errs, code = run("mirror", l.URL, dir, "--rate", "0", "--log-key", key, "--contact", "auditor@example.com")
	if code != exitDone || !strings.Contains(out, "the copy has all entries (1000), verified; 1000 of them") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	// The key is remembered with the copy.
	l.Grow(1100)
	out, errs, code = run("mirror", l.URL+"/", dir, "--rate", "0", "-o", "json")
	var report struct {
		mirror.Report
		Path string `json:"path"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitDone || report.Size != 1100 || report.Fetched != 100 || report.Path != filepath.Join(dir, mirror.Folder("log.example")) {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if out, errs, code = run("mirror", "verify", dir); code != exitDone || !strings.Contains(out, "is what its checkpoint says: 1100 entries") {
		t.Errorf("verify: %d %s%s", code, out, errs)
	}
	// Another copy can be made of this one, as any web server serves it.
	web := httptest.NewServer(http.FileServer(http.Dir(report.Path)))
	defer web.Close()
	if out, errs, code = run("mirror", web.URL, filepath.Join(dir, "second"), "--rate", "0", "--log-key", key); code != exitDone {
		t.Errorf("a copy of the copy: %d %s%s", code, out, errs)
	}
	if out, errs, code = run("fsck", "--url", web.URL, "--log-key", key); code != exitDone || !strings.Contains(out, "is sound") {
		t.Errorf("fsck: %d %s%s", code, out, errs)
	}
	file := filepath.Join(report.Path, "tile", "entries", "001")
	data, err := os.ReadFile(file)
	if err == nil {
		data[30] ^= 4
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, code = run("mirror", "verify", dir); code != exitUnverified || !strings.Contains(out, "tile/entries/001: entry 258 is not the one in the tree") {
		t.Errorf("verify: %d %s%s", code, out, errs)
	}
	if out, errs, code = run("mirror", "verify", dir, "--repair", "--from", l.URL, "--rate", "0"); code != exitDone || !strings.Contains(out, "(repaired)") {
		t.Errorf("repair: %d %s%s", code, out, errs)
	}
	if out, errs, code = run("mirror", "verify", dir); code != exitDone {
		t.Errorf("after the repair: %d %s%s", code, out, errs)
	}
}

func TestMirrorExitCodes(t *testing.T) {
	l, dir, run := mirrorWorld(t, 700)
	key := l.Key.String()
	if _, errs, code := run("mirror", l.URL, dir, "--rate", "0"); code != exitUsage || !strings.Contains(errs, "--log-key") {
		t.Errorf("without a key: %d %s", code, errs)
	}
	// A key that is remembered is used.
	if out, errs, code := run("trust", "add", "--url", l.URL, "--log-key", key); code != exitDone {
		t.Fatalf("trust add: %d %s%s", code, out, errs)
	}
	if out, errs, code := run("mirror", l.URL, filepath.Join(t.TempDir(), "m"), "--rate", "0"); code != exitDone {
		t.Errorf("with a remembered key: %d %s%s", code, out, errs)
	}
	l.Replace("tile/entries/001", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("xyz")) })
	if _, errs, code := run("mirror", l.URL, dir, "--rate", "0", "--log-key", key); code != exitUnverified || !strings.Contains(errs, l.URL+"/tile/entries/001: entry 0 of 256") {
		t.Errorf("a wrong bundle: %d %s", code, errs)
	}
	l.Replace("tile/entries/001", nil)
	if _, errs, code := run("mirror", l.URL, dir, "--rate", "0", "--log-key", key); code != exitDone {
		t.Errorf("%d %s", code, errs)
	}
	l.Grow(600)
	if _, errs, code := run("mirror", l.URL, dir, "--rate", "0"); code != exitUnasked || !strings.Contains(errs, "the log serves an older head: its size is 600, and 700 was served before") {
		t.Errorf("a stale head: %d %s", code, errs)
	}
	other := sourcetest.New(t, "log.example", 500)
	other.Add([]byte("another"))
	other.Grow(900)
	if _, errs, code := run("mirror", other.URL, dir, "--rate", "0", "--log-key", key); code != exitUnverified || !strings.Contains(errs, "the evidence is in ") {
		t.Errorf("a fork: %d %s", code, errs)
	}
	for _, flags := range [][]string{{"--rate", "-1"}, {"--parallel", "0"}, {"--memory", "0"}, {"--poll", "0s"}, {"--follow", "--dry-run"}} {
		if _, errs, code := run(append([]string{"mirror", l.URL, dir, "--log-key", key}, flags...)...); code != exitUsage {
			t.Errorf("%q: %d %s", flags, code, errs)
		}
	}
	if _, errs, code := run("mirror", "verify", dir, "--repair"); code != exitUsage {
		t.Errorf("--repair alone: %d %s", code, errs)
	}
	if _, errs, code := run("mirror", "serve", filepath.Join(dir, "misspelt"), "--listen", "127.0.0.1:none"); code != exitUnasked || !strings.Contains(errs, "there is nothing to serve") {
		t.Errorf("serve without a directory: %d %s", code, errs)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{l.URL, file, "--log-key", key}, {"verify", file}, {"serve", file}, {"push", file, l.URL}} {
		if _, errs, code := run(append([]string{"mirror"}, args...)...); code != exitUsage || !strings.Contains(errs, "is a file: name the directory that the copies of logs are in") {
			t.Errorf("%q: %d %s", args, code, errs)
		}
	}
	if _, errs, code := run("mirror", "verify", t.TempDir()); code != exitUnasked || !strings.Contains(errs, "there is no copy") {
		t.Errorf("no copy: %d %s", code, errs)
	}
}

func TestPacing(t *testing.T) {
	for _, test := range []struct {
		at   mirror.Progress
		rate float64
		want string
	}{
		{mirror.Progress{Done: 10, Size: 110}, 10, "10 entries/s, 10s left"},
		{mirror.Progress{Done: 10, Size: 110, Growth: 5}, 10, "10 entries/s, 20s left"},
		{mirror.Progress{Done: 10, Size: 110, Growth: 12}, 10, "10 entries/s; it never catches up: the log grows by 12/s"},
		{mirror.Progress{Done: 110, Size: 110}, 10, "10 entries/s"},
	} {
		if got := pacing(test.at, test.rate); got != test.want {
			t.Errorf("%q; want %q", got, test.want)
		}
	}
}
