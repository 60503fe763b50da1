package rpc

import (
	"container/list"
	"context"
	"math"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/tap"

	"indelible/internal/transport"
)

// receiving bounds the memory of requests that have begun to arrive over gRPC,
// which tells nobody how much of a request there is before all of it is there. So
// it counts what arrives on all connections together, and ends the calls whose
// request is not complete when that many bytes have arrived since they began. What
// such calls hold at a time came after the oldest of them began: no more than
// that. A call's request usually comes in one piece. To whom gRPC ends a call in the
// middle of its request it says Canceled, and nobody can have it say more.
type receiving struct {
	most    int64
	arrived atomic.Int64 // bytes, on all connections
	oldest  atomic.Int64 // of the calls that wait: what had arrived when it began; MaxInt64 without one

	mu    sync.Mutex
	calls list.List // of *arrival, the oldest first
}

func newReceiving(most int64) *receiving {
	r := &receiving{most: most}
	r.oldest.Store(math.MaxInt64)
	return r
}

// arrival is a call whose request is not complete.
type arrival struct {
	of      *receiving
	since   int64
	cancel  context.CancelFunc
	forget  func() bool // takes back what is done when the call ends
	element *list.Element
	*transport.Call
}

type arrivalKey struct{}

// begin is what a server does with the headers of a call.
func (r *receiving) begin(ctx context.Context, info *tap.Info) (context.Context, error) {
	a := &arrival{of: r, Call: connectionOfCall(ctx).Call()}
	ctx, a.cancel = context.WithCancel(context.WithValue(nameCall(ctx, info.Header), arrivalKey{}, a))
	r.mu.Lock()
	a.since = r.arrived.Load()
	a.element = r.calls.PushBack(a)
	r.update()
	r.mu.Unlock()
	a.forget = context.AfterFunc(ctx, a.gone)
	return ctx, nil
}

// complete is for a call whose request is there. It may be nil.
func (a *arrival) complete() {
	if a == nil {
		return
	}
	a.forget()
	a.remove()
}

// gone is for a call that ended before.
func (a *arrival) gone() {
	a.remove()
	a.End()
}

// answer is for a call whose request is there. It may be nil.
func (a *arrival) answer() {
	if a != nil {
		a.complete()
		a.Answer()
	}
}

// stream is for a call over which more than one answer goes.
func (a *arrival) stream() {
	if a != nil {
		a.Stream()
	}
}

// sent says that an answer went over a stream.
func (a *arrival) sent() {
	if a != nil {
		a.Sent()
	}
}

// answered ends a call that was answered.
func (a *arrival) answered() {
	if a != nil {
		a.complete()
		a.End()
	}
}

func (a *arrival) remove() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.element != nil {
		a.of.calls.Remove(a.element)
		a.element = nil
		a.of.update()
	}
}

// update is called with the lock.
func (r *receiving) update() {
	since := int64(math.MaxInt64)
	if first := r.calls.Front(); first != nil {
		since = first.Value.(*arrival).since
	}
	r.oldest.Store(since)
}

// count adds bytes that arrived.
func (r *receiving) count(n int64) {
	if now := r.arrived.Add(n); now-r.oldest.Load() > r.most {
		r.end(now)
	}
}

// end ends the calls that have waited too long.
func (r *receiving) end(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for first := r.calls.Front(); first != nil; first = r.calls.Front() {
		a := first.Value.(*arrival)
		if now-a.since <= r.most {
			break
		}
		a.cancel()
		r.calls.Remove(first)
		a.element = nil
	}
	r.update()
}

// listener counts what its connections read.
func (r *receiving) listener(on net.Listener) net.Listener { return countedListener{on, r} }

type countedListener struct {
	net.Listener
	of *receiving
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c, l.of}, nil
}

type countedConn struct {
	net.Conn
	of *receiving
}

// NetConn is for transport.ConnectionOf.
func (c countedConn) NetConn() net.Conn { return c.Conn }

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.of.count(int64(n))
	return n, err
}
