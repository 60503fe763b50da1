package requestid

import (
	"regexp"
	"strings"
	"testing"
)

const (
	trace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent = "00-" + trace + "-00f067aa0ba902b7-01"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct{ given, traceparent, want string }{
		{"7b1b-44.a_b:c+d/e=@", parent, "7b1b-44.a_b:c+d/e=@"},
		{"", parent, trace},
		{"two words", parent, trace},
		{"a\nlevel=ERROR", parent, trace},
		{"é", parent, trace},
		{strings.Repeat("a", MaxLen), parent, strings.Repeat("a", MaxLen)},
		{strings.Repeat("a", MaxLen+1), parent, trace},
		{"", "01-" + trace + "-00f067aa0ba902b7-01-more", trace},
	} {
		if got := Choose(c.given, c.traceparent); got != c.want {
			t.Errorf("%q, %q: %q, and not %q", c.given, c.traceparent, got, c.want)
		}
	}
}

// What is no traceparent names no request: each gets an id of its own.
func TestFresh(t *testing.T) {
	seen := map[string]bool{}
	for _, bad := range []string{
		"", parent[:len(parent)-1], parent + "0", parent + "-more", "ff" + parent[2:], strings.ToUpper(parent), "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01",
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01", "0x" + parent[2:], "00-" + trace[:31] + "--00f067aa0ba902b7-01", strings.Replace(parent, "-", "_", 1),
		"01" + parent[2:] + "more",
	} {
		got := Choose("", bad)
		if !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(got) || seen[got] || got == trace {
			t.Errorf("%q: %q", bad, got)
		}
		seen[got] = true
	}
}

func TestContext(t *testing.T) {
	if got := Of(t.Context()); got != "" {
		t.Errorf("%q", got)
	}
	if got := Of(With(t.Context(), "a")); got != "a" {
		t.Errorf("%q", got)
	}
}

// FuzzChoose: whatever a client sends, an id is one that may stand in a line of the
// log and in a header.
func FuzzChoose(f *testing.F) {
	f.Add("a", parent)
	f.Add("", "01-"+trace+"-00f067aa0ba902b7-01-x")
	f.Fuzz(func(t *testing.T, given, traceparent string) {
		id := Choose(given, traceparent)
		if !valid(id) || id != given && !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(id) {
			t.Errorf("%q", id)
		}
	})
}
