package witness

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// errBusy: all places are taken, and stay so for too long.
var errBusy = errors.New("the witness has too much to do; ask again")

const (
	// maxWait is how long a request waits for a place before it is sent away.
	maxWait = 2 * time.Second
	// patience is how long a client may be waited for while others want its place.
	patience = 500 * time.Millisecond
)

// places bound how many requests of a kind are held in memory at one time. When
// all are taken, the request that has been waiting for its own client the longest
// gives its place up: clients that send or read slowly, however many, keep out
// nobody who does not.
type places struct {
	taken chan struct{} // one in it for each place that is taken

	mu      sync.Mutex
	waiting list.List // of *place, those that wait for their clients; the longest first
}

func newPlaces(n int) *places { return &places{taken: make(chan struct{}, n)} }

// place is one that is taken.
type place struct {
	of    *places
	since time.Time     // when its client was first waited for
	cut   func()        // ends that
	at    *list.Element // in waiting
	gone  bool          // it was cut
}

// take takes a place, or returns errBusy.
func (p *places) take(ctx context.Context) (*place, error) {
	select {
	case p.taken <- struct{}{}:
		return &place{of: p}, nil
	default:
	}
	again, end := time.NewTicker(patience/4), time.NewTimer(maxWait)
	defer again.Stop()
	defer end.Stop()
	for {
		p.cutSlowest()
		select {
		case p.taken <- struct{}{}:
			return &place{of: p}, nil
		case <-again.C:
		case <-end.C:
			return nil, errBusy
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// cutSlowest has one request give up its client, if that lasts too long.
func (p *places) cutSlowest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.waiting.Front(); e != nil && time.Since(e.Value.(*place).since) > patience {
		slowest := p.waiting.Remove(e).(*place)
		slowest.gone = true
		slowest.cut()
	}
}

// waits says that the client is waited for from now on. cut, which must not
// block, ends that.
func (l *place) waits(cut func()) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.since, l.cut = time.Now(), cut
	l.at = l.of.waiting.PushBack(l)
}

// settled says that the client is no longer waited for, and reports whether it
// was cut.
func (l *place) settled() bool {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.at != nil {
		l.of.waiting.Remove(l.at)
	}
	return l.gone
}

// leave gives the place up.
func (l *place) leave() {
	l.settled()
	<-l.of.taken
}
