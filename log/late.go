package log

import "sync"

// maxLate bounds what waits to be merged: more than a policy has witnesses.
const maxLate = 64

// lateNotes wait for the publisher. The zero value is ready.
type lateNotes struct {
	mu    sync.Mutex
	notes []lateNote
	wake  func()
}

func (q *lateNotes) put(n lateNote) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.notes) < maxLate {
		q.notes = append(q.notes, n)
	}
	if q.wake != nil {
		q.wake()
	}
}

// onPut sets what is called when a note has come.
func (q *lateNotes) onPut(wake func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake = wake
}

func (q *lateNotes) take() []lateNote {
	q.mu.Lock()
	defer q.mu.Unlock()
	notes := q.notes
	q.notes = nil
	return notes
}
