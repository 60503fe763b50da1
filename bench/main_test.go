package main

import (
	"io"
	"testing"
)

// TestHowFarGrowthIsFollowed: five million entries is the size that the cost of
// an add is promised for.
func TestHowFarGrowthIsFollowed(t *testing.T) {
	for _, c := range []struct {
		args []string
		grow int64
	}{
		{nil, 5_000_000},
		{[]string{"-short"}, 100_000},
		{[]string{"-grow", "7"}, 7},
	} {
		if o, err := parseOptions(c.args, io.Discard); err != nil || o.grow != c.grow {
			t.Errorf("%q: %d entries, want %d: %v", c.args, o.grow, c.grow, err)
		}
	}
}
