package fair

import (
	"context"
	"sync"
)

// Room shares memory among clients. A client gets some if it then holds no more than
// was free: in small pieces half of the room when it is alone, and beside n others that
// take what they can, one part of n+2. So a client that holds nothing finds room.
type Room struct {
	mu    sync.Mutex
	left  int64
	held  map[string]int64 // by client
	freed chan struct{}    // closed when something is given back; nil: no client waits
}

// NewRoom makes a room of a size.
func NewRoom(size int64) *Room {
	return &Room{left: size, held: make(map[string]int64)}
}

// Take waits until the client may hold n more, or until ctx ends: then it returns
// the error of ctx. The caller calls free, once, to give it back.
func (r *Room) Take(ctx context.Context, client string, n int64) (free func(), err error) {
	for {
		free, freed := r.try(client, n)
		if free != nil {
			return free, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Try is Take that does not wait: it returns nil if there is no room.
func (r *Room) Try(client string, n int64) (free func()) {
	free, _ = r.try(client, n)
	return free
}

// try is Try, and returns what tells when to try again.
func (r *Room) try(client string, n int64) (free func(), freed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[client]+n > r.left {
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		return nil, r.freed
	}
	r.left -= n
	r.held[client] += n
	return func() { r.give(client, n) }, nil
}

func (r *Room) give(client string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += n
	if r.held[client] -= n; r.held[client] == 0 {
		delete(r.held, client)
	}
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}
