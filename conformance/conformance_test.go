package conformance_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"indelible/conformance"
)

// unseen are the rules that no run can try.
var unseen = []string{"durable", "atomic", "whole-history"}

// inState are the names of the rules in a state, in order.
func inState(r conformance.Report, s conformance.State) []string {
	var names []string
	for _, one := range r.Results {
		if one.State == s {
			names = append(names, one.Rule)
		}
	}
	return names
}

func explain(t *testing.T, r conformance.Report) {
	t.Helper()
	for _, one := range r.Results {
		if one.State != conformance.Passed || testing.Verbose() {
			t.Logf("%-10s %-6s %s: %s (%s)", one.State, one.Level, one.Rule, one.Says, one.Detail)
		}
	}
}

// Our witness keeps every rule, and keeps them again when it remembers.
func TestOurWitness(t *testing.T) {
	w := newWorld(t)
	size := int64(0)
	for run := range 3 {
		r := w.run(t)
		want := unseen
		if run > 0 {
			want = append([]string{"monitor-none", "first-old", "size-0-root", "first-proof", "size-0"}, unseen...)
		}
		if failed, untested := inState(r, conformance.Failed), inState(r, conformance.NotTested); len(failed) > 0 || !slices.Equal(untested, want) {
			t.Errorf("run %d: failed %q, not tested %q, expected %q", run, failed, untested, want)
			explain(t, r)
		}
		if r.Before != size || r.After <= size+256 || r.Log == "" {
			t.Errorf("run %d went from %d to %d, after one that ended at %d", run, r.Before, r.After, size)
		}
		size = r.After
	}
}

// A witness that looks for the log's name before the rest of the checkpoint may say
// that it does not know a log without a name.
func TestNoName(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.serve(t, w.breaking(t, func(c *call) *httptest.ResponseRecorder {
		if _, note, ok := strings.Cut(string(c.body), "\n\n"); c.add() && ok && (note == "" || note[0] == '\n') {
			asked++
			return status(http.StatusNotFound)
		}
		return nil
	}))
	r := w.run(t)
	if failed := inState(r, conformance.Failed); len(failed) > 0 || asked != 2 {
		t.Errorf("asked %d times; failed %q", asked, failed)
		explain(t, r)
	}
}

// What a witness took and should not have is why the next rule cannot be tried.
func TestTakenBefore(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.breaking(t, func(c *call) *httptest.ResponseRecorder {
		if c.add() && c.old() == 0 && c.size() == 5 && c.proof() > 0 && c.good().Code == http.StatusUnprocessableEntity {
			body := c.body[bytes.Index(c.body, []byte("\n\n")):]
			return c.ask(append([]byte("old 0"), body...))
		}
		return nil
	}))
	r := w.run(t)
	at := slices.IndexFunc(r.Results, func(one conformance.Result) bool { return one.Rule == "size-0" })
	if one := r.Results[at]; one.State != conformance.NotTested || !strings.Contains(one.Detail, "just cosigned size 5") {
		t.Errorf("%+v", one)
	}
	if failed := inState(r, conformance.Failed); !slices.Equal(failed, []string{"first-proof"}) {
		t.Errorf("failed %q", failed)
	}
}

// Every rule is named once, and says where it is written.
func TestRules(t *testing.T) {
	seen := make(map[string]bool)
	for _, one := range newWorld(t).run(t).Results {
		if seen[one.Rule] || strings.ContainsAny(one.Rule, " \n") || one.Says == "" || strings.Contains(one.Says, "\n") || !strings.Contains(one.Section, ", ") {
			t.Errorf("rule %+v", one)
		}
		seen[one.Rule] = true
	}
}
