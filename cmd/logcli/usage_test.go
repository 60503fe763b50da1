package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestUsageErrors(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("f", "artifact"))
	for _, args := range [][]string{
		{"--timeout", "0", "get", "0"},
		{"--timeout=-1s", "checkpoint"},
		{"completion", "nosuch"},
		{"help", "nosuch"},
		{"help", "trust", "nosuch"},
		{"trust", "nosuch"},
		{"evidence", "nosuch"},
		{"conformance", "nosuch"},
		{"get", "00"},
		{"get", "+0"},
		{"get", "--", "-0"},
		{"get", "--", "-1"},
		{"get", "0x0"},
	} {
		w.run(exitUsage, args...)
		out, errs := w.run(exitUsage, append([]string{"-o", "json"}, args...)...)
		var said struct {
			Error string
			Exit  int
		}
		if err := json.Unmarshal([]byte(out), &said); err != nil || said.Exit != exitUsage || said.Error == "" || errs != "" {
			t.Errorf("%q: %v\n%s%s", args, err, out, errs)
		}
	}
	for _, args := range [][]string{{"help"}, {"help", "trust", "export"}, {"completion"}, {"completion", "bash"}, {"get", "0"}} {
		w.run(exitDone, args...)
	}
}

// What is wrong with the arguments is said before a log is asked, which may be down.
func TestArgumentsComeFirst(t *testing.T) {
	w := newWorld(t)
	text := w.file("README.md", "# No checkpoint\n")
	w.url = "http://127.0.0.1:1"
	for _, c := range []struct {
		says string
		exit int
		args []string
	}{
		{"neither an index nor a leaf hash", exitUsage, []string{"get", "x"}},
		{"is no checkpoint", exitUnasked, []string{"consistency", text}},
		{"is no checkpoint", exitUnasked, []string{"consistency", "--to", text, text}},
		{"-1 is taken for a flag; numbers here begin at 0", exitUsage, []string{"get", "-1"}},
		{"-12 is taken for a flag; numbers here begin at 0", exitUsage, []string{"prove", "-12"}},
	} {
		if _, errs := w.run(c.exit, c.args...); !strings.Contains(errs, c.says) {
			t.Errorf("%q: %s", c.args, errs)
		}
	}
	for _, args := range [][]string{{"--version"}, {"version"}} {
		if out, _ := w.run(exitDone, args...); !strings.HasPrefix(out, "logcli ") || !strings.Contains(out, runtime.Version()) {
			t.Errorf("%q: %s", args, out)
		}
	}
}

// No flag takes the URI of something that is elsewhere for a file's name, and none
// makes a file of that name.
func TestSchemesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	t.Chdir(w.dir)
	f := w.file("f", "artifact")
	for _, args := range [][]string{
		{"add", "--key", "pkcs11:token=x", f},
		{"add", "--out", "vault:x", f},
		{"add", "--log-key", "hashivault:x", f},
		{"verify", "--signer", "file:///key", f},
		{"verify", "--tsa", "https://tsa.example.com", f},
		{"keygen", "pkcs11:token=x"},
		{"conformance", "witness", "--new-log", "pkcs11:token=x", w.url},
	} {
		_, errs := w.run(exitUsage, args...)
		says(t, errs, "a scheme that is not known here")
	}
	if made, err := filepath.Glob("*:*"); err != nil || len(made) > 0 {
		t.Errorf("%v was made, %v", made, err)
	}
	w.run(exitDone, "add", "--out", "./vault:x", f) // which is a file's name
}

// The licenses of what is linked come with the program.
func TestLicenses(t *testing.T) {
	out, _ := newWorld(t).run(exitDone, "licenses")
	says(t, out, "The Go standard library", "github.com/spf13/cobra", "google.golang.org/grpc", "Apache License")
}

// Where the proof cannot be written, nothing is logged.
func TestProofNotWritable(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	for _, out := range []string{w.dir, filepath.Join(w.dir, "nosuch", "proof"), filepath.Join(f, "proof")} {
		_, errs := w.run(exitUnasked, "add", "--out", out, f)
		says(t, errs, "nothing was logged", "write "+out)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "nosuch")); err == nil {
		t.Error("a folder was made unasked")
	}
	if n := len(w.log.entries); n > 0 {
		t.Errorf("%d entries were logged", n)
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, ".new-*")); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

// An entry is in the log even if its proof is not on disk; how to get it is said.
func TestProofLost(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		w := newWorld(t)
		f := w.file("f", "artifact")
		folder := filepath.Join(w.dir, "folder")
		w.log.replace["/v1/entries"] = func(rw http.ResponseWriter, r *http.Request) {
			if err := os.Remove(folder); err != nil {
				t.Error(err)
			}
			w.log.add(rw, r)
		}
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		out, errs := w.run(exitUnasked, "add", "-o", format, "--out", filepath.Join(folder, "proof"), f)
		says(t, out+errs, "it is in log log.example, number 0, but its proof could not be written", "logcli prove 0 --out FILE")
		if format == "json" && (!strings.Contains(out, `"index":0`) || strings.Contains(out, `"proof":`)) {
			t.Error(out)
		}
		w.run(exitDone, "prove", "0", "--out", filepath.Join(w.dir, "proof"))
	}
}

// The key of a log that took nothing is not remembered.
func TestRefusedIsNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.log.replace["/v1/entries"] = func(rw http.ResponseWriter, _ *http.Request) { fail(rw, http.StatusBadRequest, "not this kind") }
	w.run(exitUnasked, "add", "--kind", "raw", w.file("f", "artifact"))
	if kept, err := filepath.Glob(filepath.Join(w.env["XDG_CONFIG_HOME"], "indelible", "logs", "*")); err != nil || len(kept) > 0 {
		t.Error(kept, err)
	}
}

func TestKeyIsThere(t *testing.T) {
	w := newWorld(t)
	_, errs := w.run(exitUnasked, "keygen", w.file("key", "a key"))
	says(t, errs, "exists, and keys are never overwritten: give another name")
}
