package main

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestDoctor(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("f", "artifact"))
	out, errs := w.run(exitDone, "doctor", "--public-url", "https://log.example")
	says(t, unwrapped(out), "✓ reachable ", "✓ key the log's key is that of "+w.dir, "✓ checkpoint signed by the log, at size 1", "– rekor v2 the log does not serve it",
		"→ For cosign v3's default, let", "Well: nothing failed", "No entry was written.")
	if errs != "" {
		t.Errorf("it says %s", errs)
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 81 && !strings.Contains(line, w.dir) {
			t.Errorf("wider than a terminal: %s", line)
		}
	}
	if i := slices.IndexFunc(w.log.asked, func(s string) bool { return s == "POST /api/v2/log/entries" || s == "POST /api/v1/log/entries" }); i >= 0 {
		t.Errorf("it asked %s of a log that does not serve it", w.log.asked[i])
	}
}

// unwrapped is what was printed, without line breaks and columns.
func unwrapped(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestDoctorFails(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	out, _ := w.run(exitUnverified, "doctor", "--log-key", other.log.signer.Verifier().String())
	says(t, unwrapped(out), "✗ key ", "--log-key has "+other.log.signer.Verifier().String(), "NOT WELL:", "failed, ")
	out, _ = w.run(exitDone, "doctor")
	says(t, unwrapped(out), "! key ", "nothing is known of log", "– origin the log does not serve Rekor v2")
	v1, _ := w.servesRekor()
	out, _ = w.run(exitUnverified, "doctor", "--read-only")
	says(t, unwrapped(out), "✗ origin ", "verify v2 bundles only if they are the same")
	w.run(exitUsage, "doctor", "--rekor-v1-key", w.file("x", "x"))
	out, _ = w.run(exitUnverified, "doctor", "--read-only", "--rekor-v1-key", w.file("v1.pem", v1))
	says(t, unwrapped(out), "✓ v1 key it is that of --rekor-v1-key")
	w.servesRekor()
	out, _ = w.run(exitUnverified, "doctor", "--read-only", "--rekor-v1-key", w.file("v1.pem", v1))
	says(t, out, "✗ v1 key ")
}

func TestDoctorWithoutAnswer(t *testing.T) {
	w := newWorld(t)
	out, errs := w.run(exitUnasked, "doctor", "--url", "http://127.0.0.1:1")
	says(t, out, "✗ reachable ", "Is the log running", "UNREACHABLE:")
	if errs != "" {
		t.Errorf("it says %s too", errs)
	}
	_, errs = w.run(exitUsage, "doctor", "--url", "nonsense")
	says(t, errs, "must begin with http://")
	w.run(exitUsage, "doctor", "now")
	w.log.replace["/checkpoint"] = func(out http.ResponseWriter, _ *http.Request) { fail(out, 404, "\x1b[2J nothing") }
	out, _ = w.run(exitUnasked, "doctor")
	if strings.Contains(out, "\x1b[2J") {
		t.Error("what the server said reached the terminal raw")
	}
}

func TestDoctorAsJSON(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	type said struct {
		Origin string
		Exit   *int
		Wrote  []int64
		Checks []struct{ Name, State, Detail, Do string }
	}
	for code, args := range map[int][]string{
		exitDone: {"--public-url", "https://log.example"}, exitUnverified: {"--log-key", other.log.signer.Verifier().String()}, exitUnasked: {"--url", "http://127.0.0.1:1"},
	} {
		out, errs := w.run(code, append([]string{"doctor", "-o", "json"}, args...)...)
		var s said
		d := json.NewDecoder(strings.NewReader(out))
		if err := d.Decode(&s); err != nil || s.Exit == nil || *s.Exit != code || s.Wrote == nil || len(s.Checks) == 0 || s.Checks[0].Name != "reachable" || errs != "" {
			t.Errorf("%d: %v\n%s%s", code, err, out, errs)
		}
		if _, err := d.Token(); err != io.EOF {
			t.Errorf("%d: more than one JSON value: %s", code, out)
		}
	}
}

func TestWrapped(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one two  three", []string{"one two", "three"}},
		{"1234567890123 x", []string{"1234567890123", "x"}},
		{"äöüßä öüßä", []string{"äöüßä öüßä"}},
	} {
		if got := wrapped(c.text, 10); !slices.Equal(got, c.want) {
			t.Errorf("%q became %q", c.text, got)
		}
	}
}
