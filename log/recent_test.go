package log

import (
	"testing"

	"indelible/storage"
)

func chunk(start, n, body int64) []storage.Entry {
	entries := make([]storage.Entry, n)
	for i := range entries {
		entries[i] = storage.Entry{Index: start + int64(i), Body: make([]byte, body)}
	}
	return entries
}

func TestRecent(t *testing.T) {
	r := recent{limit: 10 * (96 + 100)}
	expect := func(start, stop, first int64, n int) {
		t.Helper()
		got := r.from(start, stop)
		if len(got) != n || n > 0 && got[0].Index != first {
			t.Fatalf("from %d to %d: %d entries", start, stop, len(got))
		}
	}
	expect(0, 10, 0, 0)
	r.put(chunk(100, 4, 100))
	r.put(nil)
	r.put(chunk(104, 4, 100))
	expect(99, 200, 0, 0)
	expect(100, 200, 100, 4) // to the end of what was read together
	expect(103, 200, 103, 1)
	expect(104, 106, 104, 2)
	expect(107, 200, 107, 1)
	expect(108, 200, 0, 0)
	expect(105, 105, 0, 0)
	r.put(chunk(108, 4, 100)) // more than the limit: the oldest go
	expect(103, 200, 0, 0)
	expect(104, 200, 104, 4)
	expect(108, 200, 108, 4)
	r.put(chunk(110, 2, 100)) // read again from another place on
	expect(108, 200, 0, 0)
	expect(110, 200, 110, 2)
	r.put(chunk(112, 1, 5000)) // one that is larger than all there may be
	expect(112, 200, 0, 0)
	r.put(chunk(113, 1, 100))
	expect(113, 200, 113, 1)
	if r.bytes != 196 {
		t.Fatal(r.bytes)
	}
	off := recent{}
	off.put(chunk(0, 1, 1))
	if off.from(0, 1) != nil {
		t.Fatal("kept")
	}
}
