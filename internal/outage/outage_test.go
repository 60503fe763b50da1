package outage

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lines are the levels and messages that were written.
func lines(b *bytes.Buffer) string {
	var list []string
	for line := range strings.Lines(b.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "level=")
		list = append(list, line)
	}
	return strings.Join(list, "\n")
}

// An outage of some minutes, in which several steps fail many times a second, is a
// line at its beginning, one a minute, and one at its end.
func TestAnOutageIsAFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		o := New(slog.New(slog.NewTextHandler(&b, nil)))
		away, gone := errors.New("away"), errors.New("gone")
		for range 1500 { // 150 s
			o.Step("append", away)
			o.Step("publish", gone)
			time.Sleep(100 * time.Millisecond)
		}
		o.Step("append", nil)
		o.Step("publish", nil)
		o.Step("publish", nil)
		const began = "since=2000-01-01T00:00:00Z "
		want := `ERROR msg="an outage begins; what fails is tried again until it succeeds" step=append error=away
WARN msg="the outage lasts" ` + began + `failures=1201 error="append: away; publish: gone"
WARN msg="the outage lasts" ` + began + `failures=2401 error="append: away; publish: gone"
INFO msg="the outage has ended" ` + began + `lasted=2m30s failures=3000`
		if got := lines(&b); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

// What fails and goes well by turns is reported every ten seconds at most; and
// once it fails for longer, it is.
func TestWhatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		o := New(slog.New(slog.NewTextHandler(&b, nil)))
		err := errors.New("now and then")
		for range 6000 { // a minute
			o.Step("publish", err)
			o.Step("publish", nil)
			time.Sleep(10 * time.Millisecond)
		}
		if n := strings.Count(lines(&b), "ERROR"); n != 6 || strings.Count(lines(&b), "INFO") != 6 {
			t.Errorf("%d beginnings in a minute:\n%s", n, lines(&b))
		}
		b.Reset()
		for range 1500 { // it has begun a moment after the last, and lasts
			o.Step("publish", err)
			time.Sleep(10 * time.Millisecond)
		}
		if got := lines(&b); strings.Count(got, "ERROR") != 1 {
			t.Errorf("an outage of 15 s:\n%s", got)
		}
	})
}
