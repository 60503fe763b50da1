package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// Each operation of the database fails, before or after it did its work, and
// every add succeeds all the same, with the right index and proof.
func TestEveryFault(t *testing.T) {
	for _, op := range faulty.Ops() {
		for name, fault := range map[string]faulty.Fault{"failed": faulty.Fail, "failed, but persisted": faulty.Persist} {
			t.Run(fmt.Sprint(op, " ", name), func(t *testing.T) {
				t.Parallel()
				var calls atomic.Int64
				plan := func(o faulty.Op) faulty.Fault {
					if o != op {
						return faulty.None
					}
					// The first two, and then one of four: some steps need several
					// operations to go well in a row.
					if n := calls.Add(1); n <= 2 || n%4 == 0 {
						return fault
					}
					return faulty.None
				}
				store := memory.New()
				w := newWorld(t, store)
				cfg := w.config(t)
				cfg.Store, cfg.Events = faulty.Wrap(store, plan), Events{}
				for run := range 2 {
					l, stop := start(t, cfg)
					for i := range 12 {
						want := int64(run*12 + i)
						if r := add(t, l, fmt.Sprint("entry ", want)); r.Index != want || r.Duplicate {
							t.Fatalf("entry %d: index %d, duplicate %v", want, r.Index, r.Duplicate)
						}
					}
					if r := add(t, l, "entry 3"); r.Index != 3 || !r.Duplicate {
						t.Fatalf("%+v", r)
					}
					stop()
				}
				l, _ := start(t, w.config(t))
				poll(t, "ready", func() bool { return l.Ready() == nil })
				checkWhole(t, l)
			})
		}
	}
}

// Three replicas over one database in which everything fails now and then, all
// written to at once, with entries in common. Nothing is lost, moved or there
// twice.
func TestReplicasUnderFaults(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	plan := func(faulty.Op) faulty.Fault {
		switch rand.IntN(60) {
		case 0:
			return faulty.Fail
		case 1:
			return faulty.Persist
		}
		return faulty.None
	}
	var logs []*Log
	for i := range 3 {
		cfg := w.config(t)
		cfg.Store, cfg.Events = faulty.Wrap(store, plan), Events{}
		cfg.Replica, cfg.LeaseTTL = fmt.Sprint("replica ", i), 200*time.Millisecond
		reg, err := guard.OpenFile(w.path) // a handle of its own, as another process has
		if err != nil {
			t.Fatal(err)
		}
		defer reg.Close()
		cfg.Register = reg
		l, stop := start(t, cfg)
		defer stop()
		logs = append(logs, l)
	}
	var mu sync.Mutex
	at := map[string]int64{}
	ctx := deadline(t)
	var wg sync.WaitGroup
	for c := range 18 {
		l := logs[c%len(logs)]
		wg.Go(func() {
			for i := range 25 {
				s := fmt.Sprint("entry ", c/2, " ", i) // two replicas add each
				e := raw(t, s)
				r, err := l.Add(ctx, e)
				if err != nil {
					t.Error(err)
					return
				}
				checkReceipt(t, l, e, r)
				mu.Lock()
				if was, ok := at[s]; ok && was != r.Index {
					t.Errorf("%q at %d and at %d", s, was, r.Index)
				}
				at[s] = r.Index
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	l, _ := start(t, w.config(t))
	poll(t, "the whole log is published", func() bool { p, err := l.Published(); return err == nil && p.Size == int64(len(at)) })
	checkWhole(t, l)
}

// A write to the register that fails: nothing is published over it, and after a
// failed fsync never again.
func TestRegisterFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		poison bool
	}{
		{"for a while", errors.New("disk full"), false},
		{"for good", guard.ErrFailed, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, memory.New())
			cfg := w.config(t)
			reg := &failingRegister{File: w.register}
			cfg.Register = reg
			l, _ := start(t, cfg)
			add(t, l, "before")
			reg.set(c.err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan error, 1)
			go func() {
				_, err := l.Add(ctx, raw(t, "meanwhile"))
				got <- err
			}()
			poll(t, "trouble is reported", func() bool { return l.Ready() != nil })
			if p, _ := l.Published(); p.Size != 1 {
				t.Fatalf("published size %d over a register that failed", p.Size)
			}
			if err := l.Ready(); !c.poison && (!errors.Is(err, ErrNotPublishing) || !strings.Contains(err.Error(), c.err.Error())) {
				t.Errorf("readiness says %v", err)
			}
			if c.poison {
				if err := <-got; !errors.Is(err, ErrPoisoned) {
					t.Fatal(err)
				}
				return
			}
			reg.set(nil)
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// failingRegister is a register whose Advance fails.
type failingRegister struct {
	*guard.File
	mu  sync.Mutex
	err error
}

func (r *failingRegister) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *failingRegister) Advance(ctx context.Context, from, to guard.Head) error {
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return r.File.Advance(ctx, from, to)
}

// staleStore answers reads of the head and the published checkpoint as a
// replica that lags behind would.
type staleStore struct {
	storage.Store
	mu    sync.Mutex
	heads []storage.Head
}

func (s *staleStore) Head(ctx context.Context, logID int64) (storage.Head, error) {
	h, err := s.Store.Head(ctx, logID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads = append(s.heads, h)
	return s.heads[max(0, len(s.heads)-3)], err
}

// A stale read must not freeze a healthy log.
func TestStaleReads(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	cfg := w.config(t)
	cfg.Store = &staleStore{Store: store}
	l, _ := start(t, cfg)
	for i := range 30 {
		if r := add(t, l, fmt.Sprint("entry ", i)); r.Index != int64(i) {
			t.Fatalf("%+v", r)
		}
	}
	if err := l.Ready(); errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
	checkWhole(t, l)
}

// The log's row replaced by another log's of the same name.
func TestAnotherLogOfTheSameName(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	l, stop := start(t, cfg)
	add(t, l, "x")
	stop()
	other := memory.New()
	reg, err := guard.CreateFile(filepath.Join(t.TempDir(), "r"), testOrigin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	if _, err := other.CreateLog(t.Context(), storage.Log{Instance: guard.NewID(), Origin: testOrigin, Register: reg.ID(), Keys: cfg.Record.Keys},
		storage.Head{Root: merkle.EmptyRoot()}); err != nil {
		t.Fatal(err)
	}
	cfg.Store = other
	l, _ = start(t, cfg)
	poll(t, "poisoned", func() bool { return errors.Is(l.Ready(), ErrPoisoned) })
}

// An add that was not answered in time is told what the log cannot do, and not
// what the database said.
func TestWhyAnAddIsOverdue(t *testing.T) {
	for op, want := range map[faulty.Op]error{faulty.TxCommit: ErrNotAppending, faulty.Publish: ErrNotPublishing} {
		t.Run(string(op), func(t *testing.T) {
			var broken atomic.Bool
			store := memory.New()
			w := newWorld(t, store)
			cfg := w.config(t)
			cfg.Events = Events{}
			cfg.Store = faulty.Wrap(store, func(o faulty.Op) faulty.Fault {
				if o == op && broken.Load() {
					return faulty.Fail
				}
				return faulty.None
			})
			l, _ := start(t, cfg)
			poll(t, "it is ready", func() bool { return l.Ready() == nil })
			broken.Store(true)
			first := make(chan error, 1)
			go func() {
				_, err := l.Add(deadline(t), raw(t, "first"))
				first <- err
			}()
			poll(t, "trouble is reported", func() bool { return errors.Is(l.Ready(), faulty.ErrInjected) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := l.Add(ctx, raw(t, "first"))
			if !errors.Is(err, want) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, faulty.ErrInjected) {
				t.Errorf("%v, and not %v", err, want)
			}
			broken.Store(false)
			if err := <-first; err != nil {
				t.Error(err)
			}
		})
	}
}

// interrupted is a database that does not answer, and whose driver says in its
// own words that the caller's time was up.
type interrupted struct{ storage.Store }

func (interrupted) Entries(ctx context.Context, _, _, _ int64) ([]storage.Entry, error) {
	<-ctx.Done()
	return nil, errors.New("interrupted (9)")
}

func TestAReadThatTakesTooLong(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	l, stop := start(t, w.config(t))
	add(t, l, "entry")
	stop()
	cfg := w.config(t)
	cfg.Store = interrupted{store}
	l, _ = start(t, cfg)
	if _, err := l.AwaitNewer(deadline(t), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := l.Entry(ctx, 0); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
