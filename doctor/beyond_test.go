package doctor

import (
	"testing"
	"time"
)

// A clock is right if it was at what it said at any time while that was waited for.
func TestBeyond(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, c := range []struct{ said, from, to, want float64 }{
		{0, 0.9, 0.95, 0},
		{0, 1, 1, 0},
		{12, 0.5, 12, 0},
		{0, 0.5, 20, 0},
		{0, 3.5, 20, -2.5},
		{23, 3.5, 20, 3},
	} {
		if got := beyond(at(c.said), at(c.from), at(c.to)); got.Seconds() != c.want {
			t.Errorf("%v in %v to %v: %v, not %v s", c.said, c.from, c.to, got, c.want)
		}
	}
}
