package log

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"indelible/entry"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// Entries that the database does not take are refused to their callers alone,
// wherever they are in a batch, and their neighbours go through.
func TestRefusedAlone(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	cfg := w.config(t)
	var refused []int
	cfg.Events.Refused = func(bytes int, err error) {
		if !errors.Is(err, storage.ErrRefused) {
			t.Errorf("told of %v", err)
		}
		refused = append(refused, bytes)
	}
	l, stop := start(t, cfg)
	add(t, l, "before")
	store.Limit(1000) // a hundred of the small ones fit at a time, and none of the large
	large := map[int]bool{0: true, 7: true, 8: true, 150: true, 299: true}
	var entries []entry.Entry
	for i := range 300 {
		text := fmt.Sprintf("entry %04d", i)
		if large[i] {
			text += strings.Repeat(" ", 1000)
		}
		entries = append(entries, raw(t, text))
	}
	outcomes, err := l.AddMany(deadline(t), entries)
	if err != nil {
		t.Fatal(err)
	}
	next := int64(1)
	for i, o := range outcomes {
		if large[i] {
			if !errors.Is(o.Err, ErrRefused) || !strings.Contains(o.Err.Error(), "of 1010 bytes") {
				t.Errorf("entry %d: %v", i, o.Err)
			}
			continue
		}
		if o.Err != nil || o.Receipt.Index != next || o.Receipt.Duplicate {
			t.Fatalf("entry %d: %v, index %d, not %d", i, o.Err, o.Receipt.Index, next)
		}
		checkReceipt(t, l, entries[i], o.Receipt)
		next++
	}
	poll(t, "ready", func() bool { return l.Ready() == nil })
	store.Limit(0) // an operator raised it: the same entry goes through
	if r, err := l.Add(deadline(t), entries[0]); err != nil || r.Index != next || r.Duplicate {
		t.Errorf("%+v, %v", r, err)
	}
	checkWhole(t, l)
	stop()
	if fmt.Sprint(refused) != "[1010 1010 1010 1010 1010]" {
		t.Errorf("told of entries of %v bytes", refused)
	}
}

// A batch that holds nothing but refused entries is answered, by a log that has
// published nothing else too, and callers of one entry share the answer.
func TestRefusedAll(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	store.Limit(1)
	l, _ := start(t, w.config(t))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := l.Add(deadline(t), raw(t, fmt.Sprint("entry ", i%5))); !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	store.Limit(0)
	if r := add(t, l, "entry 0"); r.Index != 0 {
		t.Errorf("%+v", r)
	}
}

// No operation that a batch's entries are given to is tried again unchanged when
// it is refused: eight entries cost fifteen tries at most, and then all callers
// have their answer. Every other operation that is refused has no entry to
// blame, and adds go on when the operator mended it.
func TestRefusedAtEveryOperation(t *testing.T) {
	given := map[faulty.Op]bool{faulty.TxFindLeaves: true, faulty.TxWrite: true, faulty.TxCommit: true}
	for _, op := range faulty.Ops() {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			var tries atomic.Int64
			store := memory.New()
			w := newWorld(t, store)
			cfg := w.config(t)
			cfg.Events = Events{}
			cfg.Store = faulty.Wrap(store, func(o faulty.Op) faulty.Fault {
				if o != op || !broken.Load() {
					return faulty.None
				}
				if tries.Add(1) > 4 && !given[op] {
					broken.Store(false)
				}
				return faulty.Refuse
			})
			l, _ := start(t, cfg)
			poll(t, "it is ready", func() bool { return l.Ready() == nil })
			add(t, l, "first")
			broken.Store(true)
			var entries []entry.Entry
			for i := range 8 {
				entries = append(entries, raw(t, fmt.Sprint("entry ", i)))
			}
			outcomes, err := l.AddMany(deadline(t), entries)
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outcomes {
				if given[op] != errors.Is(o.Err, ErrRefused) || !given[op] && o.Err != nil {
					t.Errorf("entry %d: %v", i, o.Err)
				}
			}
			if n := tries.Load(); given[op] && n != 15 {
				t.Errorf("it was tried %d times", n)
			}
			broken.Store(false)
			for i := range 8 {
				if r := add(t, l, fmt.Sprint("entry ", i)); r.Index != int64(1+i) {
					t.Errorf("%+v", r)
				}
			}
			checkWhole(t, l)
		})
	}
}

// A poison's reason fits every database's column, whatever it quotes.
func TestALongReason(t *testing.T) {
	store := memory.New()
	w := newWorld(t, store)
	l, _ := start(t, w.config(t))
	add(t, l, "x")
	l.poison(t.Context(), strings.Repeat("ä", 1<<20))
	record, err := store.FindLog(t.Context(), testOrigin)
	if err != nil || len(record.Poisoned) != 4096 {
		t.Errorf("%d bytes, %v", len(record.Poisoned), err)
	}
}

// A replica's name that does not fit its row would keep the log from ever having
// the lease.
func TestALongReplica(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	cfg.Replica = strings.Repeat("r", 256)
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "256 bytes; at most 255") {
		t.Error(err)
	}
}
