// Package guardtest is the conformance suite of guard.Register. A kind of
// register is done when it passes.
package guardtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"indelible/guard"
	"indelible/merkle"
)

// Origin is the log whose register is tested.
const Origin = "log.example.com/2026"

// Register is a register as programs hold it.
type Register interface {
	guard.Register
	Origin() string
	Close() error
}

// Place is a place for one register, and what can happen to it.
type Place interface {
	Create(ctx context.Context, origin, id string) (Register, error)
	// Open opens what was created, as another process would.
	Open(ctx context.Context, origin string) (Register, error)
	// Content is what is stored, and Put puts other content in its place.
	Content() ([]byte, error)
	Put(content []byte) error
	// Cut makes the place unreachable, and Mend takes that and all other faults
	// back.
	Cut() error
	Mend() error
	// Lose makes the next write be done, and seem to fail.
	Lose()
	// Refuse makes the next write fail without being done.
	Refuse()
}

// Run runs the suite. place returns an empty place, new for each test.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"a register keeps its identity", (*suite).identity},
		{"a register that is there is not made again", (*suite).createTwice},
		{"what is not there is said to be missing", (*suite).missing},
		{"heads are remembered", (*suite).remembers},
		{"it never goes back", (*suite).forward},
		{"of those that race one wins", (*suite).race},
		{"those that share it lose nothing", (*suite).turns},
		{"poison stays, and its first reason", (*suite).poison},
		{"what others showed stays, and is registered when it is borne out", (*suite).shown},
		{"another log's register in its place", (*suite).foreign},
		{"an older copy in its place", (*suite).older},
		{"content that does not check", (*suite).corrupt},
		{"unreachable is an error", (*suite).unreachable},
		{"a write whose answer was lost", (*suite).lost},
		{"a write that failed", (*suite).refused},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(&suite{t, place(t)}) })
	}
}

type suite struct {
	*testing.T
	place Place
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("%v, not %v", err, want)
	}
}

func (s *suite) create() Register {
	s.Helper()
	r, err := s.place.Create(s.Context(), Origin, guard.NewID())
	s.ok(err)
	s.Cleanup(func() { r.Close() })
	return r
}

func (s *suite) open() Register {
	s.Helper()
	r, err := s.place.Open(s.Context(), Origin)
	s.ok(err)
	s.Cleanup(func() { r.Close() })
	return r
}

func (s *suite) read(r Register) guard.State {
	s.Helper()
	state, err := r.Read(s.Context())
	s.ok(err)
	return state
}

func (s *suite) advance(r Register, sizes ...int64) {
	s.Helper()
	for _, size := range sizes {
		s.ok(r.Advance(s.Context(), s.read(r).Newest, Head(size)))
	}
}

// Head is some tree head of a size.
func Head(size int64) guard.Head {
	return guard.Head{Size: size, Root: merkle.LeafHash(fmt.Append(nil, size)), Time: 1_700_000_000_000 + size}
}

func (s *suite) identity() {
	id := guard.NewID()
	r, err := s.place.Create(s.Context(), Origin, id)
	s.ok(err)
	defer r.Close()
	for _, r := range []Register{r, s.open()} {
		if r.ID() != id || r.Origin() != Origin {
			s.Fatalf("identity %q of %q", r.ID(), r.Origin())
		}
		if got := s.read(r); got != (guard.State{Newest: guard.Empty()}) {
			s.Fatalf("a new register knows %v", got)
		}
	}
}

func (s *suite) createTwice() {
	if _, err := s.place.Create(s.Context(), "two words", guard.NewID()); err == nil {
		s.Fatal("an origin with a space was taken")
	}
	r := s.create()
	s.advance(r, 7)
	_, err := s.place.Create(s.Context(), Origin, guard.NewID())
	s.is(err, fs.ErrExist)
	if got := s.read(s.open()); got.Newest != Head(7) {
		s.Fatalf("it knows %v", got)
	}
}

func (s *suite) missing() {
	_, err := s.place.Open(s.Context(), Origin)
	s.is(err, fs.ErrNotExist)
}

func (s *suite) remembers() {
	r, other := s.create(), Register(nil)
	s.advance(r, 1, 2, 500)
	other = s.open()
	s.advance(r, 501)
	for _, r := range []Register{r, other, s.open()} {
		if got := s.read(r); got.Newest != Head(501) {
			s.Fatalf("it knows %v, not %v", got.Newest, Head(501))
		}
	}
	for size := int64(502); size < 600; size++ { // whatever is thinned or compacted
		s.advance(r, size)
	}
	if got := s.read(s.open()); got.Newest != Head(599) {
		s.Fatalf("it knows %v", got.Newest)
	}
}

func (s *suite) forward() {
	r := s.create()
	s.advance(r, 10)
	for _, c := range []struct {
		name     string
		from, to guard.Head
		moved    bool
	}{
		{"same size", Head(10), Head(10), false},
		{"smaller", Head(10), Head(9), false},
		{"from an older head", guard.Empty(), Head(11), true},
		{"from a newer head", Head(11), Head(12), true},
		{"from another root", guard.Head{Size: 10, Root: merkle.EmptyRoot()}, Head(11), true},
	} {
		err := r.Advance(s.Context(), c.from, c.to)
		if err == nil || errors.Is(err, guard.ErrMoved) != c.moved {
			s.Errorf("%s: %v", c.name, err)
		}
	}
	if got := s.read(s.open()); got.Newest != Head(10) {
		s.Fatalf("it knows %v", got)
	}
}

// race lets handles advance from one head at the same time, some of them to the
// very same one.
func (s *suite) race() {
	handles := []Register{s.create()}
	for range 3 {
		handles = append(handles, s.open())
	}
	from := guard.Empty()
	for round := int64(1); round <= 10; round++ {
		var wg sync.WaitGroup
		errs := make([]error, len(handles))
		for i, r := range handles {
			to := Head(round * 10)
			to.Size += int64(i / 2)
			wg.Go(func() { errs[i] = r.Advance(s.Context(), from, to) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				s.is(err, guard.ErrMoved)
			}
		}
		if won != 1 {
			s.Fatalf("round %d: %d won: %v", round, won, errs)
		}
		from = s.read(handles[0]).Newest
	}
}

func (s *suite) turns() {
	const each = 15
	handles := []Register{s.create(), s.open(), s.open()}
	var wg sync.WaitGroup
	for _, r := range handles {
		wg.Go(func() {
			for range each {
				if err := once(s.Context(), r); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := s.read(s.open()).Newest.Size; got != int64(each*len(handles)) {
		s.Fatalf("size %d after %d advances", got, each*len(handles))
	}
}

// once advances by one, however often others are faster.
func once(ctx context.Context, r Register) error {
	for {
		state, err := r.Read(ctx)
		if err != nil {
			return err
		}
		err = r.Advance(ctx, state.Newest, Head(state.Newest.Size+1))
		if !errors.Is(err, guard.ErrMoved) {
			return err
		}
	}
}

func (s *suite) poison() {
	r := s.create()
	s.advance(r, 3)
	other := s.open()
	word := guard.Word{By: "Ada \"A\" <ada@example.com>", Why: "the newest\ncopy, é", Time: 1_700_000_000_000}
	s.ok(r.Clear(s.Context(), word)) // of a healthy log
	if got := s.read(s.open()); got != (guard.State{Newest: Head(3)}) {
		s.Fatalf("%v", got)
	}
	reason := "fork: \x00\n\"at\" size 3 " + strings.Repeat("é", 5000)
	s.ok(r.Poison(s.Context(), reason, guard.Head{}))
	s.ok(other.Poison(s.Context(), "another", guard.Head{}))
	for _, r := range []Register{r, other, s.open()} {
		got := s.read(r)
		if got.Newest != Head(3) || !strings.HasPrefix(reason, got.Poisoned) || len(got.Poisoned) < 500 {
			s.Fatalf("%v", got)
		}
		err := r.Advance(s.Context(), Head(3), Head(4))
		if err == nil || errors.Is(err, guard.ErrMoved) {
			s.Fatalf("a poisoned register: %v", err)
		}
	}
	s.ok(other.Clear(s.Context(), word))
	s.advance(r, 4)
	if got := s.read(s.open()); got != (guard.State{Newest: Head(4), Cleared: word}) {
		s.Fatalf("%v", got)
	}
}

// shown poisons with heads that others kept, of which the largest counts.
func (s *suite) shown() {
	r := s.create()
	s.advance(r, 3)
	other := s.open()
	s.ok(r.Poison(s.Context(), "a witness knows more", Head(5)))
	s.ok(other.Poison(s.Context(), "another", Head(9)))
	s.ok(r.Poison(s.Context(), "a third", Head(7)))
	s.ok(r.Poison(s.Context(), "a fourth", guard.Head{}))
	for _, r := range []Register{r, other, s.open()} {
		if got := s.read(r); got != (guard.State{Newest: Head(3), Poisoned: "a witness knows more", Shown: Head(9)}) {
			s.Fatalf("%v", got)
		}
	}
	word := guard.Word{By: "Ada", Why: strings.Repeat("\x00", 5000), Time: 1_700_000_000_000}
	s.ok(other.Clear(s.Context(), word))
	for _, r := range []Register{r, other, s.open()} {
		got := s.read(r)
		if got.Newest != Head(9) || got.Poisoned != "" || got.Shown != (guard.Head{}) || got.Cleared.By != "Ada" || !strings.HasPrefix(word.Why, got.Cleared.Why) || len(got.Cleared.Why) < 500 {
			s.Fatalf("%v", got)
		}
	}
	// One that the register knows already is no more than a reason.
	s.ok(r.Poison(s.Context(), "a fork", Head(8)))
	if got := s.read(s.open()); got.Newest != Head(9) || got.Shown != Head(8) || got.Poisoned != "a fork" {
		s.Fatalf("%v", got)
	}
	s.ok(r.Clear(s.Context(), word))
	s.advance(r, 10)
}

func (s *suite) foreign() {
	r := s.create()
	s.advance(r, 5)
	content, err := s.place.Content()
	s.ok(err)
	s.ok(s.place.Put(renamed(s.T, content)))
	_, err = r.Read(s.Context())
	s.is(err, guard.ErrCorrupt)
	if err := r.Advance(s.Context(), Head(5), Head(6)); err == nil {
		s.Fatal("another log's register was advanced")
	}
	if got, err := s.place.Open(s.Context(), Origin); err == nil {
		defer got.Close()
		if got.Origin() == Origin {
			s.Fatal("it was opened under our name")
		}
	}
}

func (s *suite) older() {
	r := s.create()
	s.advance(r, 5)
	content, err := s.place.Content()
	s.ok(err)
	s.advance(r, 6)
	s.ok(s.place.Put(content))
	_, err = r.Read(s.Context())
	s.is(err, guard.ErrCorrupt)
	if err := r.Advance(s.Context(), Head(5), Head(7)); err == nil {
		s.Fatal("it went on from an older head")
	}
}

// corrupt changes a byte here and there. Line ends are left alone, since the
// end of a file without one is the trace of a crash.
func (s *suite) corrupt() {
	r := s.create()
	s.advance(r, 5, 6)
	s.ok(r.Poison(s.Context(), "a test", guard.Head{}))
	content, err := s.place.Content()
	s.ok(err)
	for i := 0; i < len(content); i += 11 {
		if content[i] == '\n' {
			continue
		}
		bad := bytes.Clone(content)
		bad[i] ^= 1
		if bad[i] == '\n' {
			continue
		}
		s.ok(s.place.Put(bad))
		r, err := s.place.Open(s.Context(), Origin)
		if err == nil {
			r.Close()
		}
		s.is(err, guard.ErrCorrupt)
	}
	s.ok(s.place.Put(content))
	if got := s.read(s.open()); got.Poisoned != "a test" {
		s.Fatalf("%v", got)
	}
}

func (s *suite) unreachable() {
	r := s.create()
	s.advance(r, 5)
	s.ok(s.place.Cut())
	_, read := r.Read(s.Context())
	_, open := s.place.Open(s.Context(), Origin)
	for name, err := range map[string]error{
		"read": read, "open": open,
		"advance": r.Advance(s.Context(), Head(5), Head(6)),
		"poison":  r.Poison(s.Context(), "a test", guard.Head{}),
	} {
		if err == nil || errors.Is(err, guard.ErrMoved) || errors.Is(err, guard.ErrCorrupt) || errors.Is(err, fs.ErrExist) {
			s.Errorf("%s: %v", name, err)
		}
	}
	s.ok(s.place.Mend())
	if got := s.read(s.open()); got != (guard.State{Newest: Head(5)}) {
		s.Fatalf("%v", got)
	}
}

func (s *suite) lost() { s.unknown(s.place.Lose) }

func (s *suite) refused() { s.unknown(s.place.Refuse) }

// unknown makes writes fail, done or not, and compares what was said with what
// is there.
func (s *suite) unknown(fault func()) {
	s.create()
	for size := int64(1); size <= 5; size++ {
		r := s.open()
		from, to := s.read(r).Newest, Head(size)
		fault()
		said := r.Advance(s.Context(), from, to)
		s.ok(s.place.Mend())
		got := s.read(s.open())
		switch {
		case errors.Is(said, guard.ErrMoved):
			s.Fatalf("nobody else wrote, and it said: %v", said)
		case got.Newest != to && (said == nil || got.Newest != from):
			s.Fatalf("from %v to %v; it said %v, and knows %v", from, to, said, got.Newest)
		case got.Newest != to:
			s.advance(s.open(), size)
		}
	}
	r := s.open()
	fault()
	said := r.Poison(s.Context(), "a test", guard.Head{})
	s.ok(s.place.Mend())
	if got := s.read(s.open()); got.Poisoned != "a test" && (said == nil || got.Poisoned != "") {
		s.Fatalf("it said %v, and knows %v", said, got)
	}
}
