// Package fair shares processors and memory among clients.
//
//	pool := fair.New(workers, places)
//	…
//	err := pool.Do(ctx, client, cost, f)
//
// A [Room] shares memory. [As] names the client of a request in its context.
//
// # What it guarantees
//
// At most so many steps run at a time as the pool has workers, in the goroutines
// of their callers. While steps wait, each client that has some gets an equal
// share of the workers' time as their costs count it, however many steps the
// others have waiting, and however its own are cut. So of n clients that wait, one
// with a step of cost c waits no longer than n steps of about that cost, and those
// that were running, take. A client that does little at a time comes before those
// that took more lately. Steps of one client run in the order in which they came.
//
// At most places steps wait. A client may have as many waiting as there are
// places free: alone it can take half of them, and beside n others that take what
// they can, one part of n+2. So a client that has none waiting finds a place as
// long as there are fewer clients than places.
//
// The costs are the callers' estimate. The pool does not measure time, so what it
// decides depends on nothing but the order of the calls.
package fair

import (
	"container/heap"
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrBusy says that a client has too many steps waiting.
var ErrBusy = errors.New("the server has as much work of this client waiting as it takes; try again in a moment")

// Pool shares workers among clients. It is start-time fair queueing: each client
// has a clock, which the costs of its steps advance, and the one that is behind
// the most is next.
type Pool struct {
	places int

	mu      sync.Mutex
	idle    int // workers
	waiting int // steps, of all clients
	now     int64
	clients map[string]*client
	queue   queue // of the clients that have steps waiting
}

type client struct {
	name    string
	clock   int64
	running int
	steps   list.List // that wait, of *step
	at      int       // in the queue
}

type step struct {
	of    *client
	cost  int64
	place *list.Element // among the client's steps
	ready chan struct{} // closed when its turn has come
}

// New makes a pool of workers, in which so many steps may wait.
func New(workers, places int) *Pool {
	return &Pool{places: places, idle: workers, clients: make(map[string]*client)}
}

// Do calls f when it is the client's turn, and returns when f has returned. cost
// says how long f takes, in the caller's unit; at least 1 counts. Do returns
// ErrBusy, or the error of ctx when it ends first, and then f was not called.
func (p *Pool) Do(ctx context.Context, client string, cost int, f func()) error {
	leave, err := p.Enter(ctx, client, cost)
	if err != nil {
		return err
	}
	defer leave()
	f()
	return nil
}

// Enter is Do for a step that does not end where it began: it returns when it is
// the client's turn, and the caller calls leave, once, when the step is done.
func (p *Pool) Enter(ctx context.Context, client string, cost int) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := p.join(client, int64(max(1, cost)))
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		if p.abandon(s) {
			return nil, ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil { // it ended when the turn came
		p.leave(s.of)
		return nil, err
	}
	return func() { p.leave(s.of) }, nil
}

// join puts a step at the end of its client's.
func (p *Pool) join(name string, cost int64) (*step, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[name]
	if c == nil {
		p.forgetIdle()
		c = &client{name: name}
		p.clients[name] = c
	}
	if c.steps.Len() >= p.places-p.waiting {
		p.forget(c)
		return nil, ErrBusy
	}
	s := &step{of: c, cost: cost, ready: make(chan struct{})}
	s.place = c.steps.PushBack(s)
	if p.waiting++; c.steps.Len() == 1 {
		c.clock = max(c.clock, p.now)
		heap.Push(&p.queue, c)
	}
	p.dispatch()
	return s, nil
}

// dispatch gives the workers that are idle to the clients that are behind.
func (p *Pool) dispatch() {
	for p.idle > 0 && p.waiting > 0 {
		c := p.queue[0]
		s := c.steps.Remove(c.steps.Front()).(*step)
		p.now = c.clock
		c.clock += s.cost
		c.running++
		p.idle--
		p.waiting--
		if c.steps.Len() == 0 {
			heap.Pop(&p.queue)
		} else {
			heap.Fix(&p.queue, 0)
		}
		close(s.ready)
	}
}

// abandon takes a step back, unless its turn has come.
func (p *Pool) abandon(s *step) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-s.ready:
		return false
	default:
	}
	s.of.steps.Remove(s.place)
	if p.waiting--; s.of.steps.Len() == 0 {
		heap.Remove(&p.queue, s.of.at)
		p.forget(s.of)
	}
	return true
}

// leave gives a worker back.
func (p *Pool) leave(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.running--
	p.idle++
	p.forget(c)
	p.dispatch()
}

// forget drops a client that has nothing to do and no debts.
func (p *Pool) forget(c *client) {
	if c.running == 0 && c.steps.Len() == 0 && c.clock <= p.now {
		delete(p.clients, c.name)
	}
}

// forgetIdle bounds how many clients are remembered for what they took lately.
func (p *Pool) forgetIdle() {
	if len(p.clients) < 2*p.places {
		return
	}
	for name, c := range p.clients {
		if c.running == 0 && c.steps.Len() == 0 {
			delete(p.clients, name)
		}
	}
}

// queue is a heap of clients by their clocks.
type queue []*client

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].clock < q[j].clock }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	c := x.(*client)
	c.at = len(*q)
	*q = append(*q, c)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	*q = (*q)[:last]
	return c
}
