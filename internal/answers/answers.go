// Package answers bounds what answers to reads cost, so that adds keep most of the
// machine: how many are made at the same time, and how many bytes of them wait to
// be written. Clients share both (fair.As names the client of a request): a client may
// have as much waiting, and as many bytes, as are free beside. Some wait for a moment;
// the others are told at once to come back ([ErrBusy]).
//
// A Gate is shared by all APIs. What it gave to an answer is given back in two
// steps: the place to work when the answer is made, the memory when it was written.
// Both steps are the server's: [Gate.HTTP] wraps a handler, and a gRPC server calls
// [Gate.Begin].
package answers

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"indelible/internal/fair"
)

// ErrBusy: as many answers to reads are made, or wait to be written, as may be.
var ErrBusy = errors.New("the server makes as many answers to reads as it can beside its adds; try again in a moment")

// Kind is how much work an answer is.
type Kind int

// The kinds. A light answer reads one entry, and waits for the database for most
// of its time. A heavy one reads up to a megabyte or more, and needs a processor.
const (
	Light Kind = iota
	Heavy
)

const (
	// DefaultBytes is how many bytes of answers wait to be written at most.
	DefaultBytes = 64 << 20
	// lightPlaces is how many light answers are made at the same time. They have a
	// connection of the database each, and adds have the others.
	lightPlaces = 8
	// waitLight and waitHeavy are how many more wait for a place, waitMemory how many
	// answers wait for memory that they share, and patience is for how long.
	waitLight, waitHeavy, waitMemory = 1024, 64, 64
	patience                         = 5 * time.Second
	// maxRest is the maximum time for which a place is left free after heavy work.
	maxRest = time.Second
	// small is what shared memory has at most that does not count.
	small = 64 << 10
	// slow is how long an answer has been written when its memory goes to another.
	slow = time.Second
)

// HeavyPlaces is how many heavy answers are made at the same time: half of the
// processors make them.
func HeavyPlaces() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// Gate bounds the answers of a server.
type Gate struct {
	// Adding, if set, says whether entries are being added. While they are, heavy work
	// is followed by a rest of the same length: so it takes a quarter of the processors.
	Adding func() bool

	light, heavy *fair.Pool

	mu       sync.Mutex
	left     int64
	byClient map[string]int64
	waiting  int           // for memory
	freed    chan struct{} // closed when memory is given back; nil: no answer waits
	writing  list.List     // of *Answer: those that hold memory and are being written, the oldest first
}

// New makes a gate for bytes of answers; 0 means DefaultBytes.
func New(bytes int64) *Gate {
	if bytes == 0 {
		bytes = DefaultBytes
	}
	return &Gate{
		light: fair.New(lightPlaces, waitLight), heavy: fair.New(HeavyPlaces(), waitHeavy),
		left: bytes, byClient: make(map[string]int64),
	}
}

// Work waits for a place to make something that several answers may share. leave
// gives it back.
func (g *Gate) Work(ctx context.Context, k Kind) (leave func(), err error) {
	pool := g.light
	if k == Heavy {
		pool = g.heavy
	}
	client, _ := fair.Client(ctx)
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leave, err = pool.Enter(short, client, 1)
	switch {
	case err == nil && k == Heavy:
		return sync.OnceFunc(g.rest(leave)), nil
	case err == nil:
		return sync.OnceFunc(leave), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, ErrBusy
}

// rest is leave, after a rest where entries are being added.
func (g *Gate) rest(leave func()) func() {
	begin := time.Now()
	return func() {
		if g.Adding == nil || !g.Adding() {
			leave()
			return
		}
		time.AfterFunc(min(time.Since(begin), maxRest), leave)
	}
}

// Hold takes memory for the answer that ctx belongs to, and leaves it to that:
// release then does nothing. Where ctx belongs to none, release gives it back.
func (g *Gate) Hold(ctx context.Context, bytes int64) (release func(), err error) {
	a, ok := ctx.Value(answerKey{}).(*Answer)
	if !ok {
		a = g.newAnswer(ctx)
	}
	if err := a.hold(bytes); err != nil {
		return nil, err
	}
	if ok {
		return func() {}, nil
	}
	return a.Done, nil
}

// Answer waits for a place and takes memory, as Work and Hold do, for the answer
// that ctx belongs to, and leaves both to that: leave then does nothing. Where ctx
// belongs to none, leave gives them back. An answer takes a place once.
func (g *Gate) Answer(ctx context.Context, k Kind, bytes int64) (leave func(), err error) {
	work, err := g.Work(ctx, k)
	if err != nil {
		return nil, err
	}
	release, err := g.Hold(ctx, bytes)
	if err != nil {
		work()
		return nil, err
	}
	if a, ok := ctx.Value(answerKey{}).(*Answer); ok {
		a.leave = work
		return release, nil
	}
	return func() { work(); release() }, nil
}

// Shared is memory that several answers may be written from. It counts once.
type Shared struct {
	Bytes   int64
	holders map[string]int // answers, by client
}

// Share takes shared memory for the answer that ctx belongs to, if it belongs to
// one, and waits for it if necessary. What has a few KiB does not count.
func (g *Gate) Share(ctx context.Context, s *Shared) error {
	a, ok := ctx.Value(answerKey{}).(*Answer)
	if !ok || s.Bytes <= small {
		return nil
	}
	for end := time.Now().Add(patience); ; {
		freed, ok := g.share(a, s)
		if ok {
			return nil
		}
		if !time.Now().Before(end) || !g.wait(ctx, freed) {
			return cmp.Or(ctx.Err(), ErrBusy)
		}
	}
}

// wait returns when it is worth to look for memory again: when some was given back,
// or when an answer may have become slow. It returns false when ctx ends, and when as
// many wait as may.
func (g *Gate) wait(ctx context.Context, freed <-chan struct{}) bool {
	g.mu.Lock()
	room := g.waiting < waitMemory
	if room {
		g.waiting++
	}
	g.mu.Unlock()
	if !room {
		return false
	}
	defer func() {
		g.mu.Lock()
		g.waiting--
		g.mu.Unlock()
	}()
	timer := time.NewTimer(slow / 4)
	defer timer.Stop()
	select {
	case <-freed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// share takes shared memory, or returns what tells when to try again. It counts once,
// and once for each client that is sent it.
func (g *Gate) share(a *Answer, s *Shared) (freed <-chan struct{}, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.holders[a.client] == 0 {
		more := s.Bytes
		if len(s.holders) > 0 {
			more = 0
		}
		if !g.take(a.client, s.Bytes, more) {
			if g.freed == nil {
				g.freed = make(chan struct{})
			}
			return g.freed, false
		}
	}
	if s.holders == nil {
		s.holders = make(map[string]int)
	}
	s.holders[a.client]++
	a.shared = append(a.shared, s)
	a.list()
	return nil, true
}

// take takes bytes for a client. more of them are memory that no other answer holds.
// If it then holds more than was free, it gets none. If there is too little, the answer that
// was written for the longest is cut off, where it is slow and can be, and whoever asks
// comes back for its memory: an answer of the same client, if only that has too much.
// It is called with the lock.
func (g *Gate) take(client string, bytes, more int64) bool {
	if more <= g.left && g.byClient[client]+bytes <= g.left {
		g.left -= more
		g.byClient[client] += bytes
		return true
	}
	for e := g.writing.Front(); e != nil; e = e.Next() {
		a := e.Value.(*Answer)
		if time.Since(a.since) <= slow {
			break
		}
		if a.cut != nil && (more > g.left || a.client == client) {
			a.cut()
			break
		}
	}
	return false
}

// Answer is what one request's answer holds.
type Answer struct {
	gate   *Gate
	client string
	leave  func() // gives the place back; nil: it has none

	// What follows is guarded by the gate's lock.
	cut    func() // ends the writing, and returns at once; nil: it cannot be ended
	bytes  int64
	shared []*Shared
	since  time.Time     // when it first held memory
	at     *list.Element // in Gate.writing
}

type answerKey struct{}

// Begin begins an answer, to which the context that it returns belongs. The caller
// calls Made when it is made, and Done when it was written.
func (g *Gate) Begin(ctx context.Context, cut func()) (context.Context, *Answer) {
	a := g.newAnswer(ctx)
	a.cut = cut
	return context.WithValue(ctx, answerKey{}, a), a
}

func (g *Gate) newAnswer(ctx context.Context) *Answer {
	client, _ := fair.Client(ctx)
	return &Answer{gate: g, client: client}
}

func (a *Answer) hold(bytes int64) error {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	if !a.gate.take(a.client, bytes, bytes) {
		return ErrBusy
	}
	a.bytes += bytes
	a.list()
	return nil
}

// list enters an answer that holds memory. It is called with the lock.
func (a *Answer) list() {
	if a.at == nil {
		a.since, a.at = time.Now(), a.gate.writing.PushBack(a)
	}
}

// EndBy says how the writing of an answer can be ended from now on.
func (a *Answer) EndBy(cut func()) {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	a.cut = cut
}

// Made gives the answer's place back: it is made.
func (a *Answer) Made() {
	if a.leave != nil {
		a.leave()
	}
}

// Held reports whether the answer holds memory.
func (a *Answer) Held() bool {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	return a.at != nil
}

// Done gives everything back. It may be called again.
func (a *Answer) Done() {
	a.Made()
	g := a.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.at == nil {
		return
	}
	g.writing.Remove(a.at)
	g.left += a.bytes
	held := a.bytes
	for _, s := range a.shared {
		if s.holders[a.client]--; s.holders[a.client] == 0 {
			delete(s.holders, a.client)
			held += s.Bytes
		}
		if len(s.holders) == 0 {
			g.left += s.Bytes
		}
	}
	if g.byClient[a.client] -= held; g.byClient[a.client] == 0 {
		delete(g.byClient, a.client)
	}
	a.at, a.bytes, a.shared = nil, 0, nil
	if g.freed != nil {
		close(g.freed)
		g.freed = nil
	}
}
