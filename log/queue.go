package log

import (
	"context"
	"fmt"
	"sync"
	"time"

	"indelible/entry"
	"indelible/merkle"
)

// item is one entry on its way. The appender fills in the lower fields before
// the item's batch is settled; nobody reads them earlier.
type item struct {
	leaf merkle.Hash
	body []byte

	index        int64
	integratedAt int64 // Unix milliseconds
	duplicate    bool  // it was in the log before this batch
	refused      error // why the database does not take it; nil if it does
}

// batch is what is appended and settled together. Its callers wait on done.
type batch struct {
	items []*item
	bytes int64

	// left are the parts of items that are to be appended yet, each in a
	// transaction of its own. There is one, of all items, until the database
	// refuses it.
	left [][]*item

	tried bool  // an attempt to append it reached the database
	from  int64 // the head's size at the first attempt
	needs int64 // the published size that covers all items, once appended

	done chan struct{} // closed when the batch is settled
	err  error         // set before done is closed; nil: all items are published
}

// divide halves the next part, which the database refused. A single item is
// refused instead, and returned.
func (b *batch) divide(why error) *item {
	part, rest := b.left[0], b.left[1:]
	if n := len(part); n > 1 {
		b.left = append([][]*item{part[:n/2], part[n/2:]}, rest...)
		return nil
	}
	b.left = rest
	part[0].refused = why
	return part[0]
}

// place is where an entry of a caller went. Several callers may share an item.
type place struct {
	item   *item
	batch  *batch
	joined bool // the item was another caller's first
}

// queue holds what was accepted and is not settled yet, bounded in entries and
// bytes. The same leaf hash is in it once.
type queue struct {
	maxBatch, maxQueue           int
	maxBatchBytes, maxQueueBytes int64
	changed                      func(entries int, bytes int64)

	mu       sync.Mutex
	open     []*batch // not yet taken by the appender; the last one takes new items
	inFlight map[merkle.Hash]place
	bytes    int64 // of all items in flight
	closed   bool
	wake     chan struct{} // capacity 1: something was added, or the queue was closed
}

func newQueue(c Config) *queue {
	return &queue{
		maxBatch: c.MaxBatch, maxQueue: c.MaxQueue,
		maxBatchBytes: c.MaxBatchBytes, maxQueueBytes: c.MaxQueueBytes,
		changed:  c.Events.queued,
		inFlight: make(map[merkle.Hash]place),
		wake:     make(chan struct{}, 1),
	}
}

// join puts entries into the queue, all or none, and says where each went.
func (q *queue) join(entries []entry.Entry) ([]place, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrStopping
	}
	if err := q.room(entries); err != nil {
		return nil, err
	}
	places := make([]place, len(entries))
	for i, e := range entries {
		places[i] = q.put(e)
	}
	q.changed(len(q.inFlight), q.bytes)
	q.signal()
	return places, nil
}

// room checks the bounds as if all entries were new.
func (q *queue) room(entries []entry.Entry) error {
	var size int64
	for _, e := range entries {
		size += int64(len(e.Canonical()))
	}
	switch {
	case len(entries) > q.maxQueue:
		return fmt.Errorf("%w: %d entries, and its queue holds %d; add fewer at a time", ErrTooMuch, len(entries), q.maxQueue)
	case size > q.maxQueueBytes:
		return fmt.Errorf("%w: %d bytes of entries, and its queue holds %d; add fewer or smaller ones at a time", ErrTooMuch, size, q.maxQueueBytes)
	}
	if n := len(q.inFlight) + len(entries); n > q.maxQueue {
		return fmt.Errorf("%w: %d entries are waiting, and there is room for %d", ErrQueueFull, len(q.inFlight), q.maxQueue)
	}
	if q.bytes+size > q.maxQueueBytes {
		return fmt.Errorf("%w: %d bytes are waiting, and there is room for %d", ErrQueueFull, q.bytes, q.maxQueueBytes)
	}
	return nil
}

func (q *queue) put(e entry.Entry) place {
	leaf := e.LeafHash()
	if p, ok := q.inFlight[leaf]; ok {
		p.joined = true
		return p
	}
	it := &item{leaf: leaf, body: e.Canonical()}
	size := int64(len(it.body))
	b := q.openBatch(size)
	b.items = append(b.items, it)
	b.bytes += size
	q.bytes += size
	p := place{item: it, batch: b}
	q.inFlight[leaf] = p
	return p
}

// openBatch is the batch that the next item of so many bytes goes into.
func (q *queue) openBatch(size int64) *batch {
	if n := len(q.open); n > 0 {
		if b := q.open[n-1]; len(b.items) < q.maxBatch && b.bytes+size <= q.maxBatchBytes {
			return b
		}
	}
	b := &batch{done: make(chan struct{})}
	q.open = append(q.open, b)
	return b
}

// await waits until there is a batch to take. It reports false when there never
// will be again, or ctx has ended. A batch that is not full is given linger to
// grow.
func (q *queue) await(ctx context.Context, linger time.Duration) bool {
	for {
		some, full, closed := q.look()
		if some && linger > 0 && !full && !closed {
			pause(ctx, linger)
		}
		if some || closed {
			return some
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return false
		}
	}
}

// look says whether there is a batch to take, whether that one is full, and
// whether the queue is closed.
func (q *queue) look() (some, full, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	some = len(q.open) > 0
	full = len(q.open) > 1 || some && len(q.open[0].items) >= q.maxBatch
	return some, full, q.closed
}

// take removes the oldest batch, which nothing joins any more; nil if failAll
// was quicker.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.open) == 0 {
		return nil
	}
	b := q.open[0]
	q.open = q.open[1:]
	b.left = [][]*item{b.items}
	return b
}

// pause waits for d, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal wakes next; the caller holds the lock.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// settle ends a batch and wakes everybody who waits for one of its items.
func (q *queue) settle(b *batch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settleLocked(b, err)
	q.changed(len(q.inFlight), q.bytes)
}

func (q *queue) settleLocked(b *batch, err error) {
	select {
	case <-b.done:
		return
	default:
	}
	for _, it := range b.items {
		delete(q.inFlight, it.leaf)
	}
	q.bytes -= b.bytes
	b.err = err
	close(b.done)
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// failAll settles everything in flight with an error, batches that are being
// appended or published included.
func (q *queue) failAll(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.inFlight {
		q.settleLocked(p.batch, err)
	}
	q.open = nil
	q.changed(len(q.inFlight), q.bytes)
}

// len is how many entries are in flight.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.inFlight)
}
