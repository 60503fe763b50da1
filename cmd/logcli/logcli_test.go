package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
)

// says demands that a text has all of the words.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q:\n%s", w, text)
		}
	}
}

func TestFirstUse(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	out, announced := w.run(exitDone, "add", f)
	says(t, out, "is in log log.example, number 0", f+".tlog-proof")
	key, pins := filepath.Join(w.dir, "config/indelible/signer.key"), filepath.Join(w.dir, "config/indelible/logs")
	says(t, announced, key, pins, w.log.signer.Verifier().String())
	for path, mode := range map[string]os.FileMode{key: 0o600, pins: os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if _, announced = w.run(exitDone, "add", f); announced != "" {
		t.Errorf("announced again: %s", announced)
	}
	asked := len(w.log.asked)
	out, _ = w.run(exitDone, "verify", f)
	says(t, out, "Verified:", "✓ signer", "– witnesses", "– time")
	if len(w.log.asked) != asked {
		t.Error("verify asked the log")
	}
}

func TestManyInOneRequest(t *testing.T) {
	w := newWorld(t)
	files := []string{w.file("a", "a"), w.file("b", "b"), w.file("c", "c")}
	out, errs := w.run(exitUnasked, append([]string{"add"}, files...)...)
	says(t, out, "a is in log", "b is in log")
	says(t, errs, "c: the log refused it: not this one")
	posts := slices.DeleteFunc(w.log.asked, func(s string) bool { return !strings.HasPrefix(s, "POST") })
	if len(posts) != 1 || posts[0] != "POST /v1/entries:batch" {
		t.Errorf("asked %q", posts)
	}
	w.run(exitDone, "verify", files[1])
	w.run(exitUnasked, "verify", files[2])
	left, err := filepath.Glob(filepath.Join(w.dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestErrorsAsJSON(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	for code, commands := range map[int][][]string{
		exitUsage: {
			{"nonsense"},
			{"add"},
			{"add", "--nonsense", f},
			{"verify", "-"},
			{"add", "--kind", "nonsense", f},
			{"get", "0", "--url", "nonsense"},
			{"get", "0", "--url", "http://"},
			{"get", "nonsense", "--log-key", w.log.signer.Verifier().String()},
			{"verify", "--signer", "SHA256:12", "--log-key", w.log.signer.Verifier().String(), "--proof", f, f},
			{"verify", "--log-key", "x", "--policy", "y", f},
			{"checkpoint"},
			{"add", "-"},
			{"keygen", "--algorithm", "rsa", "k"},
			{"keygen", "--origin", "a b", "k"},
		},
		exitUnasked: {{"verify", f + "x"}, {"add", f + "x"}, {"checkpoint", "--url", "http://127.0.0.1:1", "--timeout", "1s"}},
	} {
		for _, args := range commands {
			for _, flag := range []string{"-o json", "-ojson", "--output=json"} {
				out, errs := w.run(code, append(args, strings.Fields(flag)...)...)
				var said struct {
					Error string
					Exit  int
				}
				if err := json.Unmarshal([]byte(out), &said); err != nil || said.Error == "" || said.Exit != code || errs != "" {
					t.Errorf("%q: %v\n%s%s", args, err, out, errs)
				}
			}
			if out, errs := w.run(code, args...); out != "" || !strings.HasPrefix(errs, "logcli: ") {
				t.Errorf("%q: %s%s", args, out, errs)
			}
		}
	}
}

func TestMalformedProof(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	for _, proof := range []string{"", "nonsense", "c2sp.org/tlog-proof@v1\n", strings.Repeat("x", maxProof+1)} {
		w.file("f.tlog-proof", proof)
		w.run(exitUnverified, "verify", f)
		w.run(exitUnverified, "verify", "--log-key", w.log.signer.Verifier().String(), "--signer", "SHA256:"+strings.Repeat("0", 64), f)
		w.run(exitUnverified, "prove", "--log-key", w.log.signer.Verifier().String(), f)
	}
}

// --policy means the same wherever it is given: without its quorum, nothing is
// believed.
func TestPolicy(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	log := "log " + w.log.signer.Verifier().String() + "\n"
	none := w.file("none", log+"quorum none\n")
	// The key is that of RFC 8032, test 1.
	one := w.file("one", log+"witness w witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\nquorum w\n")
	for _, args := range [][]string{{"get", "0"}, {"prove", "0"}, {"checkpoint"}, {"fsck"}, {"verify", f}, {"add", f}} {
		w.run(exitUnverified, append(args, "--policy", one)...)
	}
	w.log.entries = w.log.entries[:1]
	for _, args := range [][]string{{"get", "0"}, {"prove", "0"}, {"checkpoint"}, {"fsck"}, {"verify", f}, {"add", f}} {
		w.run(exitDone, append(args, "--policy", none)...)
	}
}

// A policy that may count one witness twice is warned of.
func TestPolicyWarnings(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	const key = "witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea" // RFC 8032, test 1
	two, err := checkpoint.NewCosigner("witness.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	lines := "log " + w.log.signer.Verifier().String() + "\nwitness a " + key + "\n"
	const words = `witnesses \"a\" and \"b\" have keys of one name, \"witness.example\": if they are one witness, the quorum counts it twice`
	for policy, warns := range map[string]bool{lines + "quorum none\n": false, lines + "witness b " + two.Verifier().String() + "\nquorum none\n": true} {
		path := w.file("policy", policy)
		_, stderr := w.run(exitDone, "verify", f, "--policy", path)
		if strings.Contains(stderr, "warning: --policy: "+strings.ReplaceAll(words, `\"`, `"`)) != warns {
			t.Errorf("%s", stderr)
		}
		if out, _ := w.run(exitDone, "verify", f, "--policy", path, "-o", "json"); strings.Contains(out, `"warnings"`) != warns || strings.Contains(out, words) != warns {
			t.Errorf("%s", out)
		}
	}
}

// What a log says is shown, and cannot do anything to the terminal.
func TestHostileWords(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	w.log.replace["/v1/entries/0"] = func(rw http.ResponseWriter, _ *http.Request) {
		fail(rw, http.StatusBadRequest, "red: \x1b[31m bell: \a csi: \u009b2J backwards: \u202e")
	}
	_, errs := w.run(exitUnasked, "get", "0")
	says(t, errs, "red: ", "bell: ", "backwards: ")
	if strings.ContainsAny(errs, "\x1b\a\u009b\u202e") {
		t.Errorf("%q", errs)
	}
	raw := w.file("raw", "\x1b[31mred")
	w.run(exitDone, "add", "--kind", "raw", raw)
	if out, _ := w.run(exitDone, "get", "1"); strings.Contains(out, "\x1b") || !strings.Contains(out, "1b 5b 33 31") {
		t.Errorf("%q", out)
	}
}

func TestFsck(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"))
	w.run(exitDone, "add", w.file("b", "b"))
	out, errs := w.run(exitDone, "fsck")
	says(t, out, "is sound: 2 entries")
	if errs != "" {
		t.Errorf("a progress bar without a terminal: %q", errs)
	}
	w.log.replace["/tile/0/000.p/2"] = func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, strings.Repeat("x", 64)) }
	_, errs = w.run(exitUnverified, "fsck")
	says(t, errs, "tile/0/000.p/2", "its hash 0 is not that of entry 0")
	w.log.replace["/tile/0/000.p/2"] = http.NotFound
	_, errs = w.run(exitUnverified, "fsck")
	says(t, errs, "tile/0/000.p/2", "does not have all that its checkpoint of size 2 covers")
	delete(w.log.replace, "/tile/0/000.p/2")
	w.log.replace["/tile/entries/000.p/2"] = func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "\x00\x01a\x00\x01b") }
	_, errs = w.run(exitUnverified, "fsck")
	says(t, errs, "tile/0/000.p/2", "not that of entry 0")
}

// A log that is not the one remembered under its name is refused, before
// anything is sent to it.
func TestPins(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	f := w.file("f", "artifact")
	_, announced := w.run(exitUsage, "checkpoint")
	says(t, announced, "--log-key", w.log.signer.Verifier().String())
	w.run(exitDone, "add", f)
	other.run(exitDone, "add", other.file("f", "theirs"))
	w.env["INDELIBLE_URL"] = other.url
	_, errs := w.run(exitUnverified, "add", f)
	says(t, errs, "not the log that you used before", other.log.signer.Verifier().String())
	if len(other.log.entries) > 1 {
		t.Error("it was sent an entry")
	}
	w.run(exitUnverified, "checkpoint")
	w.run(exitUnverified, "get", "0")
	w.run(exitDone, "verify", f)
}

func TestProveAsJSON(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	out, _ := w.run(exitDone, "prove", "0", "-o", "json")
	var said struct {
		Text     string
		Index    int64
		TreeSize int64
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatal(err, out)
	}
	text, _ := w.run(exitDone, "prove", "0")
	if said.Text != text || said.TreeSize != 1 {
		t.Errorf("%+v\n%s", said, text)
	}
	if _, err := checkpoint.ParseProof([]byte(text)); err != nil {
		t.Error(err)
	}
	w.run(exitDone, "verify", "--proof", w.file("proof", text), f)
}

func TestStandardInput(t *testing.T) {
	w := newWorld(t)
	proof := filepath.Join(w.dir, "proof")
	w.run(exitDone, "add", "--out", proof, "-")
	w.run(exitDone, "verify", "--proof", proof, "-")
	w.run(exitUnverified, "verify", "--proof", proof, w.file("f", "something else"))
}

func TestColour(t *testing.T) {
	p := &program{getenv: func(string) (string, bool) { return "", false }, stdout: &strings.Builder{}}
	if got := p.colour("31", "x"); got != "x" {
		t.Errorf("%q where there is no terminal", got)
	}
}
