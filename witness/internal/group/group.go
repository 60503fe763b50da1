// Package group runs work in groups: what comes while one group runs forms the
// next one. An fsync or a commit then serves all who wait for it, and one who
// is alone waits for nobody.
//
//	q := group.New(64, commitAll)
//	err := q.Do(item) // from any number of goroutines
package group

import "sync"

// Queue is work that waits.
type Queue[T any] struct {
	most int
	run  func([]T) []error

	mu      sync.Mutex
	waiting []item[T]
	running bool
}

type item[T any] struct {
	work T
	done chan error
}

// New makes a queue whose groups are of at most so many items. run is called by
// one goroutine at a time, with the items in the order in which they came, and
// returns an error for each.
func New[T any](most int, run func([]T) []error) *Queue[T] {
	return &Queue[T]{most: most, run: run}
}

// Do returns when the work was run, with its error.
func (q *Queue[T]) Do(work T) error {
	mine := item[T]{work, make(chan error, 1)}
	q.mu.Lock()
	q.waiting = append(q.waiting, mine)
	if !q.running {
		q.running = true
		go q.drain()
	}
	q.mu.Unlock()
	return <-mine.done
}

// drain runs groups until nothing waits.
func (q *Queue[T]) drain() {
	for {
		items := q.next()
		if len(items) == 0 {
			return
		}
		work := make([]T, len(items))
		for i, it := range items {
			work[i] = it.work
		}
		for i, err := range q.run(work) {
			items[i].done <- err
		}
	}
}

func (q *Queue[T]) next() []item[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), q.most)
	if n == 0 {
		q.running, q.waiting = false, nil
		return nil
	}
	items := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return items
}
