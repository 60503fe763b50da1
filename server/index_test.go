package server_test

import "testing"

// An index has one spelling.
func TestPlainIndex(t *testing.T) {
	w := newWorld(t, nil)
	for _, index := range []string{"00", "+0", "-0", "010", "0x0", "0b0", "0_0", "%30x"} {
		w.refused(t, "GET", "/v1/entries/"+index, nil, 400, "does not end in the index of an entry")
	}
	w.refused(t, "GET", "/v1/entries/%30", nil, 404, "size is 0")
}
