package progress

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestBar(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1_700_000_000, 0)
	b := New(&out, "auditing")
	b.now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		done  int64
		want  string
	}{
		{0, 0, "\rauditing   0% |" + strings.Repeat(" ", 40) + "| (0/1000)\x1b[K"},
		{99 * time.Millisecond, 10, ""}, // it was drawn just now
		{4901 * time.Millisecond, 500, "\rauditing  50% |" + strings.Repeat("█", 20) + strings.Repeat(" ", 20) + "| (500/1000, 100/s) [5s:5s]\x1b[K"},
		{time.Millisecond, 1000, "\r\x1b[K"},
	} {
		out.Reset()
		now = now.Add(step.after)
		if b.Set(step.done, 1000); out.String() != step.want {
			t.Errorf("%d: %q, and not %q", step.done, out.String(), step.want)
		}
	}
}

func TestNothingToDo(t *testing.T) {
	var out strings.Builder
	if New(&out, "x").Set(0, 0); out.String() != "\r\x1b[K" {
		t.Errorf("%q", out.String())
	}
}

// TestNarrow: a line that wraps would not be cleared.
func TestNarrow(t *testing.T) {
	line := "auditing  45% |" + strings.Repeat("█", 18) + strings.Repeat(" ", 22) + "| (450/1000, 123/s) [4s:5s]"
	n := utf8.RuneCountInString(line)
	for columns, want := range map[int]string{
		0: line, 200: line, n + 1: line, n: "auditing  45% (450/1000, 123/s) [4s:5s]", 40: "auditing  45% (450/1000, 123/s) [4s:5s]", 20: "auditing  45% (450/", 1: "",
	} {
		if got := fit(line, columns); got != want {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
}
