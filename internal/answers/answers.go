// Package answers bounds what answers to reads cost, so that adds keep most of the
// machine: how many are made at the same time, and how many bytes of them wait to
// be written. Whoever finds no room is told so at once ([ErrBusy]), and not after a
// long wait.
//
// A Gate is shared by all APIs. What it gave to an answer is given back in two
// steps: the place to work when the answer is made, the memory when it was written.
// Both steps are the server's: [Gate.HTTP] wraps a handler, and a gRPC server calls
// [Gate.Begin].
package answers

import (
	"container/list"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
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
	// waitLight and waitHeavy are how many more wait for a place, and patience is
	// for how long.
	waitLight, waitHeavy = 1024, 64
	patience             = time.Second
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
	light, heavy places

	mu      sync.Mutex
	left    int64
	writing list.List // of *Answer: those that hold memory and are being written, the oldest first
}

// New makes a gate for bytes of answers; 0 means DefaultBytes.
func New(bytes int64) *Gate {
	if bytes == 0 {
		bytes = DefaultBytes
	}
	return &Gate{light: newPlaces(lightPlaces, waitLight), heavy: newPlaces(HeavyPlaces(), waitHeavy), left: bytes}
}

// places are for those that work at the same time, and for those that wait.
type places struct{ work, wait chan struct{} }

func newPlaces(work, wait int) places {
	return places{make(chan struct{}, work), make(chan struct{}, wait)}
}

// take waits for a place to work, which leave gives back.
func (p places) take(ctx context.Context) (leave func(), err error) {
	leave = sync.OnceFunc(func() { <-p.work })
	select {
	case p.work <- struct{}{}:
		return leave, nil
	default:
	}
	select {
	case p.wait <- struct{}{}:
		defer func() { <-p.wait }()
	default:
		return nil, ErrBusy
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.work <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Work waits for a place to make something that several answers may share. leave
// gives it back.
func (g *Gate) Work(ctx context.Context, k Kind) (leave func(), err error) {
	if k == Heavy {
		return g.heavy.take(ctx)
	}
	return g.light.take(ctx)
}

// Hold takes memory for the answer that ctx belongs to, and leaves it to that:
// release then does nothing. Where ctx belongs to none, release gives it back.
func (g *Gate) Hold(ctx context.Context, bytes int64) (release func(), err error) {
	a, ok := ctx.Value(answerKey{}).(*Answer)
	if !ok {
		a = &Answer{gate: g}
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
	holders int
}

// Share takes shared memory for the answer that ctx belongs to, if it belongs to
// one. What has a few KiB does not count.
func (g *Gate) Share(ctx context.Context, s *Shared) error {
	a, ok := ctx.Value(answerKey{}).(*Answer)
	if !ok || s.Bytes <= small {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.holders == 0 && !g.take(s.Bytes) {
		return ErrBusy
	}
	s.holders++
	a.shared = append(a.shared, s)
	a.list()
	return nil
}

// take takes bytes. If there are too few, of the answers that can be cut off, the
// one that was written for the longest is, where it is slow, and whoever asks comes
// back for its memory.
// It is called with the lock.
func (g *Gate) take(bytes int64) bool {
	if bytes <= g.left {
		g.left -= bytes
		return true
	}
	for e := g.writing.Front(); e != nil; e = e.Next() {
		a := e.Value.(*Answer)
		if time.Since(a.since) <= slow {
			break
		}
		if a.cut != nil {
			a.cut()
			break
		}
	}
	return false
}

// Answer is what one request's answer holds.
type Answer struct {
	gate  *Gate
	leave func() // gives the place back; nil: it has none

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
	a := &Answer{gate: g, cut: cut}
	return context.WithValue(ctx, answerKey{}, a), a
}

func (a *Answer) hold(bytes int64) error {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	if !a.gate.take(bytes) {
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
	for _, s := range a.shared {
		if s.holders--; s.holders == 0 {
			g.left += s.Bytes
		}
	}
	a.at, a.bytes, a.shared = nil, 0, nil
}
