// Package bytecache keeps what was loaded, in memory that is bounded in bytes:
// the least recently used goes first.
package bytecache

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// Cache maps keys to loaded values. Its methods may be called from many
// goroutines at once.
type Cache[K comparable, V any] struct {
	maxBytes int64
	size     func(K, V) int64

	mu      sync.Mutex
	bytes   int64
	entries map[K]*list.Element
	order   list.List // of *slot[K, V]; the front was used last
	loads   map[K]*load[V]
}

type slot[K comparable, V any] struct {
	key   K
	value V
	bytes int64
}

// load is one value being loaded for everybody who asks for it meanwhile.
type load[V any] struct {
	done   chan struct{} // closed when the others are set
	value  V
	err    error
	gaveUp bool // the context of who ran it ended
}

// overhead is about what the cache itself takes for each value.
const overhead = 200

// New makes a cache of at most maxBytes, as size counts them. A value bigger
// than that is handed out and not kept.
func New[K comparable, V any](maxBytes int64, size func(K, V) int64) *Cache[K, V] {
	return &Cache[K, V]{
		maxBytes: maxBytes,
		size:     size,
		entries:  make(map[K]*list.Element),
		loads:    make(map[K]*load[V]),
	}
}

// errPanicked is what those get who waited for a load that panicked.
var errPanicked = errors.New("what loads it panicked")

// Get returns a value, which it loads if it must. Those who ask for one key at
// the same time share a load, which one of them runs, with its own context: when
// that ends, another one starts again. Errors are not kept.
func (c *Cache[K, V]) Get(ctx context.Context, key K, fetch func(context.Context) (V, error)) (V, error) {
	for {
		v, l, first := c.join(key)
		switch {
		case l == nil:
			return v, nil
		case first:
			return c.run(ctx, key, l, fetch)
		}
		select {
		case <-l.done:
			if !l.gaveUp {
				return l.value, l.err
			}
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// join returns the value, or else its load, and whether that is for the caller to
// run.
func (c *Cache[K, V]) join(key K) (v V, _ *load[V], first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.peek(key); ok {
		return v, nil, false
	}
	if l, ok := c.loads[key]; ok {
		return v, l, false
	}
	l := &load[V]{done: make(chan struct{}), err: errPanicked}
	c.loads[key] = l
	return v, l, true
}

// run loads in the goroutine of who asked: most loads are short, and a new
// goroutine would have to grow its stack for each.
func (c *Cache[K, V]) run(ctx context.Context, key K, l *load[V], fetch func(context.Context) (V, error)) (V, error) {
	defer c.finish(key, l)
	l.value, l.err = fetch(ctx)
	l.gaveUp = l.err != nil && ctx.Err() != nil
	return l.value, l.err
}

func (c *Cache[K, V]) finish(key K, l *load[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loads, key)
	if l.err == nil {
		c.add(key, l.value)
	}
	close(l.done)
}

// Peek returns a value if it is there.
func (c *Cache[K, V]) Peek(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peek(key)
}

func (c *Cache[K, V]) peek(key K) (v V, ok bool) {
	e, ok := c.entries[key]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*slot[K, V]).value, true
}

// Add puts a value in, in the place of one that was there.
func (c *Cache[K, V]) Add(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, v)
}

func (c *Cache[K, V]) add(key K, v V) {
	if e, ok := c.entries[key]; ok {
		c.remove(e)
	}
	s := &slot[K, V]{key: key, value: v, bytes: c.size(key, v) + overhead}
	if s.bytes > c.maxBytes {
		return
	}
	c.entries[key] = c.order.PushFront(s)
	c.bytes += s.bytes
	for c.bytes > c.maxBytes {
		c.remove(c.order.Back())
	}
}

func (c *Cache[K, V]) remove(e *list.Element) {
	s := c.order.Remove(e).(*slot[K, V])
	delete(c.entries, s.key)
	c.bytes -= s.bytes
}

// Bytes is what the cache holds at present.
func (c *Cache[K, V]) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}
