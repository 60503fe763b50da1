package log

import "testing"

func TestInboxKeepsTheNewest(t *testing.T) {
	var q inbox[int]
	roused := 0
	q.onPut(func() { roused++ })
	for i := range 2*maxInbox + 3 {
		q.put(i)
	}
	got := q.take()
	if len(got) != maxInbox || got[0] != maxInbox+3 || got[maxInbox-1] != 2*maxInbox+2 {
		t.Errorf("%d items, from %d to %d", len(got), got[0], got[len(got)-1])
	}
	if roused != 2*maxInbox+3 || len(q.take()) != 0 {
		t.Errorf("roused %d times, %d items left", roused, len(q.take()))
	}
}
