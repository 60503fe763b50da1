package log

import "sync"

// maxInbox bounds what waits for the publisher: more than a policy has witnesses.
const maxInbox = 64

// inbox holds what others tell the publisher. The zero value is ready; when
// it is full the oldest gives way: cosignatures of the newest checkpoint are the
// ones that can still be merged.
type inbox[T any] struct {
	mu    sync.Mutex
	items []T
	rouse func()
}

func (q *inbox[T]) put(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == maxInbox {
		q.items = append(q.items[:0], q.items[1:]...)
	}
	q.items = append(q.items, item)
	if q.rouse != nil {
		q.rouse()
	}
}

// onPut sets what is called when something has come.
func (q *inbox[T]) onPut(rouse func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rouse = rouse
}

func (q *inbox[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}
