// Package places bounds how many requests a server holds in memory at one time,
// so that clients which send or read slowly keep no others out.
package places

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrBusy: all places are occupied, and stay so for too long.
var ErrBusy = errors.New("the server has too much to do; ask again")

const (
	// MaxWait is how long a request waits for a place before it is sent away.
	MaxWait = 2 * time.Second
	// Patience is how long a client may be waited for while others want its place.
	Patience = 500 * time.Millisecond
)

// Places bound how many requests of a kind are held in memory at one time. When
// all are taken, the request that has been waiting for its own client the longest
// gives its place up: clients that send or read slowly, however many, keep out
// nobody who does not.
type Places struct {
	taken chan struct{} // one in it for each place that is taken

	mu      sync.Mutex
	waiting list.List // of *Place, those that wait for their clients; the longest first
}

// New makes n places.
func New(n int) *Places { return &Places{taken: make(chan struct{}, n)} }

// Place is one that is taken.
type Place struct {
	of    *Places
	since time.Time     // when its client was first waited for
	cut   func()        // ends that
	at    *list.Element // in waiting
	gone  bool          // it was cut
}

// Take takes a place, or returns ErrBusy.
func (p *Places) Take(ctx context.Context) (*Place, error) {
	select {
	case p.taken <- struct{}{}:
		return &Place{of: p}, nil
	default:
	}
	again, end := time.NewTicker(Patience/4), time.NewTimer(MaxWait)
	defer again.Stop()
	defer end.Stop()
	for {
		p.cutSlowest()
		select {
		case p.taken <- struct{}{}:
			return &Place{of: p}, nil
		case <-again.C:
		case <-end.C:
			return nil, ErrBusy
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// cutSlowest has one request give up its client, if that lasts too long.
func (p *Places) cutSlowest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.waiting.Front(); e != nil && time.Since(e.Value.(*Place).since) > Patience {
		slowest := p.waiting.Remove(e).(*Place)
		slowest.gone = true
		slowest.cut()
	}
}

// Waits says that the client is waited for from now on. cut, which must not
// block, ends that.
func (l *Place) Waits(cut func()) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.since, l.cut = time.Now(), cut
	l.at = l.of.waiting.PushBack(l)
}

// Settled says that the client is no longer waited for, and reports whether it
// was cut.
func (l *Place) Settled() bool {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.at != nil {
		l.of.waiting.Remove(l.at)
	}
	return l.gone
}

// Leave gives the place up.
func (l *Place) Leave() {
	l.Settled()
	<-l.of.taken
}
