package words

import "testing"

func TestCount(t *testing.T) {
	for want, got := range map[string]string{
		"0 entries": Count(0, "entry"), "1 entry": Count(1, "entry"), "2 entries": Count(int64(2), "entry"),
		"1 key": Count(1, "key"), "2 keys": Count(2, "key"), "1 round": Count(1, "round"), "1000 rounds": Count(1000, "round"),
	} {
		if got != want {
			t.Errorf("%q, and not %q", got, want)
		}
	}
}
