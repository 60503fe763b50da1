package main

import "testing"

// What was found is counted, and an answer that is none is an error.
func TestHits(t *testing.T) {
	for _, c := range []struct {
		of     func([]byte) (int, error)
		answer string
		want   int // -1: an error
	}{
		{nativeHits, `{"entries":[{"index":"1"},{}],"completeTo":"7"}`, 2},
		{nativeHits, `{"completeTo":"7"}`, 0},
		{nativeHits, `[]`, -1},
		{rekorV1Hits, `["aa","bb"]`, 2},
		{rekorV1Hits, `[]`, 0},
		{rekorV1Hits, `{"code":400}`, -1},
	} {
		got, err := c.of([]byte(c.answer))
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d: %v", c.answer, got, c.want, err)
		}
	}
}
