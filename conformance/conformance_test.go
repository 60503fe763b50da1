package conformance_test

import (
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
