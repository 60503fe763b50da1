package log

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"indelible/guard"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// ails is what goes wrong at present, told by a test.
type ails struct {
	mu sync.Mutex
	ills
}

type ills struct {
	fails                  []faulty.Op   // these operations
	hangs, deaf            chan struct{} // reads and appends, until it is closed; deaf: whatever their contexts say
	held                   chan struct{} // the lock on the tree head is held by somebody else
	clock                  time.Duration // how far the clock is off
	register, registerWait error
}

func (a *ails) set(f func(a *ails)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

func (a *ails) plan(op faulty.Op) faulty.Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.fails {
		if f == op {
			return faulty.Fail
		}
	}
	return faulty.None
}

func (a *ails) wait(ctx context.Context, locks bool) error {
	a.mu.Lock()
	hangs, deaf, held := a.hangs, a.deaf, a.held
	a.mu.Unlock()
	switch {
	case deaf != nil:
		<-deaf
	case locks && held != nil:
		hangs = held
		fallthrough
	case hangs != nil:
		select {
		case <-hangs:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ailing is a store with what a test wants to go wrong.
type ailing struct {
	storage.Store
	a *ails
}

func (s ailing) Head(ctx context.Context, id int64) (storage.Head, error) {
	if err := s.a.wait(ctx, false); err != nil {
		return storage.Head{}, err
	}
	return s.Store.Head(ctx, id)
}

func (s ailing) Published(ctx context.Context, id int64) (storage.Published, error) {
	if err := s.a.wait(ctx, false); err != nil {
		return storage.Published{}, err
	}
	return s.Store.Published(ctx, id)
}

func (s ailing) BeginAppend(ctx context.Context, id int64) (storage.Appender, error) {
	if err := s.a.wait(ctx, true); err != nil {
		return nil, err
	}
	return s.Store.BeginAppend(ctx, id)
}

type ailingRegister struct {
	guard.Register
	a *ails
}

func (r ailingRegister) Poisoned(ctx context.Context) (string, error) {
	r.a.mu.Lock()
	err, wait := r.a.register, r.a.registerWait
	r.a.mu.Unlock()
	if wait != nil {
		<-ctx.Done()
		return "", ctx.Err()
	}
	if err != nil {
		return "", err
	}
	return r.Register.Poisoned(ctx)
}

// newAiling runs a log that is ready, and whose events are kept.
func newAiling(t *testing.T, a *ails) (l *Log, told func() []string, stop func()) {
	var mu sync.Mutex
	var events []string
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	cfg.Store, cfg.Register = faulty.Wrap(ailing{w.store, a}, a.plan), ailingRegister{w.register, a}
	cfg.Now = func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return time.Now().Add(a.clock)
	}
	cfg.Events = Events{Failing: func(what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			events = append(events, what)
		} else {
			events = append(events, what+" well")
		}
	}}
	l, stop = start(t, cfg)
	return l, func() []string { mu.Lock(); defer mu.Unlock(); return events }, stop
}

// Whatever would stop an add, readiness says so in time though nobody adds, and
// says that it is over.
func TestReadinessWithoutAnAdd(t *testing.T) {
	hang := make(chan struct{})
	for name, c := range map[string]struct {
		goesWrong func(a *ails)
		within    time.Duration
		says      string
		is        error
	}{
		"the clock":                     {func(a *ails) { a.clock = -time.Hour }, time.Second, "behind the time of the log's last entry", ErrClock},
		"the database hangs":            {func(a *ails) { a.hangs = hang }, 5 * time.Second, "the database has not answered for 3s", ErrNotAppending},
		"it hangs and heeds no context": {func(a *ails) { a.deaf = hang }, 5 * time.Second, "the database has not answered for", ErrNotAppending},
		"the tree head is locked":       {func(a *ails) { a.held = hang }, tryEvery + 5*time.Second, "its lock on the tree head is held", ErrNotAppending},
		"the database fails":            {func(a *ails) { a.fails = faulty.Ops() }, 2 * time.Second, "injected fault", ErrNotAppending},
		"it reads and does not lock":    {func(a *ails) { a.fails = []faulty.Op{faulty.BeginAppend} }, tryEvery + 2*time.Second, "injected fault", ErrNotAppending},
		"it says that it is read-only":  {func(a *ails) { a.fails = []faulty.Op{faulty.Ping} }, 2 * time.Second, "injected fault", ErrNotAppending},
		"it takes no writes":            {func(a *ails) { a.fails = []faulty.Op{faulty.TxTouch, faulty.TxWrite} }, tryEvery + 2*time.Second, "injected fault", ErrNotAppending},
		"it commits nothing":            {func(a *ails) { a.fails = []faulty.Op{faulty.TxCommit} }, tryEvery + 2*time.Second, "injected fault", ErrNotAppending},
		"the register fails":            {func(a *ails) { a.register = errors.New("no register") }, tryEvery + 2*time.Second, "no register", ErrNotPublishing},
		"the register hangs":            {func(a *ails) { a.registerWait = context.Canceled }, tryEvery + 5*time.Second, "the register has not answered for 3s", ErrNotPublishing},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &ails{}
				l, told, stop := newAiling(t, a)
				defer stop()
				add(t, l, "an entry, with a time")
				time.Sleep(20 * time.Second)
				if err := l.Ready(); err != nil || len(told()) > 0 {
					t.Fatalf("%v; %v", err, told())
				}
				hang = make(chan struct{})
				a.set(c.goesWrong)
				time.Sleep(c.within)
				synctest.Wait()
				if err := l.Ready(); err == nil || !strings.Contains(err.Error(), c.says) || !errors.Is(err, c.is) {
					t.Errorf("after %s: %v", c.within, err)
				}
				time.Sleep(time.Minute)
				if l.Ready() == nil {
					t.Error("it became ready by itself")
				}
				close(hang)
				a.set(func(a *ails) { a.ills = ills{} })
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if err := l.Ready(); err != nil {
					t.Errorf("when it is over: %v", err)
				}
				if list := told(); len(list) == 0 || !strings.HasSuffix(list[len(list)-1], " well") {
					t.Errorf("%v", list)
				}
			})
		})
	}
}

// A database that reads and takes no writes is no log that is ready, not even for
// a moment at the start, nor when other trouble ends.
func TestWritableIsTriedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{}) // whether it takes writes is found out after two seconds
		a := &ails{ills: ills{fails: []faulty.Op{faulty.TxTouch}, held: held}}
		time.AfterFunc(2*time.Second, func() { close(held) })
		l, _, stop := newAiling(t, a)
		defer stop()
		never := func(d time.Duration) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if l.Ready() == nil {
					t.Fatal("it is ready")
				}
			}
		}
		never(3 * time.Second)
		a.set(func(a *ails) { a.fails = nil })
		time.Sleep(2 * time.Second)
		if err := l.Ready(); err != nil {
			t.Fatal(err)
		}
		a.set(func(a *ails) { a.fails = faulty.Ops() })
		time.Sleep(3 * time.Second)
		a.set(func(a *ails) { a.fails = []faulty.Op{faulty.TxTouch} }) // it comes back, read-only
		never(3 * time.Second)
	})
}

// The looks are cheap: an idle log reads its tree head once a second, and writes
// every ten seconds; a busy one writes nothing more.
func TestLooksAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		count := map[faulty.Op]int{}
		w := newWorld(t, memory.New())
		cfg := w.config(t)
		cfg.Store = faulty.Wrap(w.store, func(op faulty.Op) faulty.Fault {
			mu.Lock()
			defer mu.Unlock()
			count[op]++
			return faulty.None
		})
		l, stop := start(t, cfg)
		defer stop()
		time.Sleep(time.Second)
		counted := func(op faulty.Op, d func()) int {
			mu.Lock()
			was := count[op]
			mu.Unlock()
			d()
			mu.Lock()
			defer mu.Unlock()
			return count[op] - was
		}
		if n := counted(faulty.TxTouch, func() { time.Sleep(100 * time.Second) }); n < 9 || n > 11 {
			t.Errorf("an idle log wrote %d times in 100 s", n)
		}
		if n := counted(faulty.Head, func() { time.Sleep(100 * time.Second) }); n > 101 {
			t.Errorf("an idle log read its head %d times in 100 s", n)
		}
		add(t, l, "the first")
		time.Sleep(time.Second)
		if n := counted(faulty.TxTouch, func() {
			for i := range 100 {
				add(t, l, fmt.Sprint(i))
				time.Sleep(time.Second)
			}
		}); n > 0 {
			t.Errorf("a busy log tried %d times whether it can write", n)
		}
	})
}
