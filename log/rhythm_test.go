package log

import (
	"testing"
	"time"
)

func TestRhythm(t *testing.T) {
	var r rhythm
	now := time.Now()
	for _, step := range []struct{ after, wait time.Duration }{
		{0, watchEvery}, // what happened first has no rhythm
		{40 * time.Millisecond, 10 * time.Millisecond},
		{4 * time.Millisecond, watchEvery},
		{80 * time.Millisecond, 20 * time.Millisecond},
		{time.Hour, watchEvery}, // a pause says nothing of what comes
		{20 * time.Millisecond, 5 * time.Millisecond},
	} {
		now = now.Add(step.after)
		r.beat(now)
		if got := r.wait(); got != step.wait {
			t.Errorf("after %s: %s; want %s", step.after, got, step.wait)
		}
	}
}
