package index

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/entry"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// reaches waits until the index in the store has a size.
func (w *world) reaches(size int64) {
	w.t.Helper()
	for range 20_000 {
		st, err := w.store.IndexState(w.t.Context(), w.id)
		if err == nil && st.Size == size && st.Format == format {
			return
		}
		time.Sleep(10 * time.Millisecond) // of a synctest bubble's time
	}
	w.t.Fatalf("the index did not get to %d", size)
}

// An entry after a pause is indexed at once, and a busy log's in batches, at
// most the gathering time late.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		batches, rows := 0, 0
		x := w.open(func(c *Config) {
			c.Events.Indexed = func(size int64, entries, n int, _ time.Duration) { batches, rows = batches+1, rows+n }
		})
		stop := run(t, x)
		synctest.Wait()
		begin := time.Now()
		w.grow(1)
		synctest.Wait()
		if x.Known() != 1 || time.Since(begin) > 0 || batches != 1 {
			t.Fatalf("known %d after %v, %d batches", x.Known(), time.Since(begin), batches)
		}
		for range 300 {
			w.grow(3)
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if published := w.published(); published-x.Known() > 3*31 {
				t.Fatalf("it knows %d of %d", x.Known(), published)
			}
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if x.Known() != 901 || batches > 13 || rows != 2*901 {
			t.Fatalf("known %d in %d batches, %d rows", x.Known(), batches, rows)
		}
		w.complete(x, 901)
		stop()
	})
}

// A log that is far ahead is followed without pauses.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		size := w.grow(3*maxBatch + 100)
		x := w.open(nil)
		begin := time.Now()
		defer run(t, x)()
		w.reaches(size)
		if took := time.Since(begin); took > 400*time.Millisecond {
			t.Fatalf("it took %v", took)
		}
	})
}

// Entries with very many keys come in batches of fewer entries.
func TestManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		const perEntry = 400
		digest := base64Of(make([]byte, 32))
		var bodies [][]byte
		for i := range 3 * maxRows / perEntry {
			body := fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":"%s"},"signatures":[`, digest)
			for j := range perEntry {
				if j > 0 {
					body = append(body, ',')
				}
				body = fmt.Appendf(body, `{"content":"","verifier":{"keyDetails":"","publicKey":{"rawBytes":"%s"}}}`, base64Of(fmt.Append(nil, "key ", i, " ", j)))
			}
			bodies = append(bodies, append(body, "]}}}"...))
		}
		w.publish(w.append(bodies...))
		most, rows := 0, 0
		x := w.open(func(c *Config) {
			c.Events.Indexed = func(_ int64, entries, n int, _ time.Duration) {
				most, rows = max(most, n), rows+n
			}
		})
		stop := run(t, x)
		w.reaches(int64(len(bodies)))
		stop()
		if most > maxRows+perEntry || rows != len(bodies)*(perEntry+1) {
			t.Fatalf("%d rows, up to %d at once", rows, most)
		}
		payload := entry.IndexKey{By: entry.ByPayload, Value: "sha256:" + strings.Repeat("00", 32)}
		if got, to := all(t, x, payload, MaxFind); len(got) != len(bodies) || to != int64(len(bodies)) {
			t.Fatalf("%d entries up to %d", len(got), to)
		}
	})
}

// Idle replicas leave the database alone.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		w := newWorld(t, faulty.Wrap(memory.New(), func(faulty.Op) faulty.Fault {
			asked.Add(1)
			return faulty.None
		}))
		defer run(t, w.open(nil))()
		defer run(t, w.open(nil))()
		w.reaches(w.grow(10))
		time.Sleep(time.Minute)
		synctest.Wait()
		before := asked.Load()
		time.Sleep(time.Hour)
		if n := asked.Load() - before; n > 0 {
			t.Fatalf("%d operations in an hour", n)
		}
	})
}

// However often followers are killed, and whatever fails before or after it was
// done, the index has everything once.
func TestKilledAtRandom(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) { killAtRandom(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func killAtRandom(t *testing.T, random *rand.Rand) {
	w := memoryWorld(t)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(random.Uint64(), 7))
	broken := faulty.Wrap(w.store, func(faulty.Op) faulty.Fault {
		mu.Lock()
		defer mu.Unlock()
		return []faulty.Fault{faulty.None, faulty.None, faulty.None, faulty.Fail, faulty.Persist}[dice.IntN(5)]
	})
	size := int64(0)
	var running []func()
	for range 40 {
		switch random.IntN(5) {
		case 0:
			x := w.open(func(c *Config) { c.Store, c.LeaseTTL = broken, time.Second })
			running = append(running, run(t, x))
		case 1:
			if n := len(running); n > 0 {
				running[n-1]()
				running = running[:n-1]
			}
		default:
			size = w.grow(1 + random.IntN(600))
		}
		time.Sleep(time.Duration(random.Int64N(int64(700 * time.Millisecond))))
	}
	x := w.open(func(c *Config) { c.LeaseTTL = time.Second }) // of a sound store
	running = append(running, run(t, x))
	w.reaches(size)
	w.complete(x, size)
	for _, stop := range running {
		stop()
	}
}

// Two that do not know of each other (a lease that both believe in) take turns
// by the cursor.
func TestTwoFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		var retried atomic.Int64
		for range 2 {
			x := w.open(func(c *Config) {
				c.Store = believer{w.store}
				c.Events.Retrying = func(string, error) { retried.Add(1) }
			})
			defer run(t, x)()
		}
		size := int64(0)
		for range 50 {
			size = w.grow(100)
			time.Sleep(50 * time.Millisecond)
		}
		w.reaches(size)
		w.complete(w.open(nil), size)
		if n := retried.Load(); n > 0 {
			t.Errorf("%d failures", n)
		}
	})
}

// believer gives the lease to everybody.
type believer struct{ storage.Store }

func (believer) Lease(_ context.Context, _ int64, _, holder string, _ time.Duration) (storage.Lease, error) {
	return storage.Lease{Held: true, Holder: holder, Epoch: 1}, nil
}

// One replica follows at a time. When it ends the other goes on at once; when it
// vanishes, after the lease has run out.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		indexed := map[string]*atomic.Int64{"one": {}, "two": {}}
		start := func(name string) func() {
			x := w.open(func(c *Config) {
				c.Replica = name
				c.Events.Indexed = func(int64, int, int, time.Duration) { indexed[name].Add(1) }
			})
			stop := run(t, x)
			synctest.Wait()
			return stop
		}
		stop := start("one")
		w.grow(10)
		synctest.Wait()
		defer start("two")()
		for range 10 {
			w.reaches(w.grow(10))
			time.Sleep(time.Second)
		}
		if one, two := indexed["one"].Load(), indexed["two"].Load(); one != 11 || two != 0 {
			t.Fatal(one, two)
		}
		stop()
		begin := time.Now()
		w.reaches(w.grow(10))
		if took := time.Since(begin); took > 1100*time.Millisecond || indexed["two"].Load() != 1 {
			t.Fatal(took, indexed["two"].Load())
		}
	})
}

// An index in an older format is rebuilt, and one in a newer format is left
// alone.
func TestFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		size := w.grow(100)
		st, err := w.store.IndexReset(t.Context(), w.id, storage.IndexState{}, format-1)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.IndexAppend(t.Context(), w.id, st, 50, []storage.IndexRow{{Key: 7, Index: 3}}); err != nil {
			t.Fatal(err)
		}
		var reset, newer atomic.Int64
		x := w.open(func(c *Config) {
			c.Events.Reset = func(int) { reset.Add(1) }
			c.Events.Newer = func(int) { newer.Add(1) }
		})
		stop := run(t, x)
		w.reaches(size)
		w.complete(x, size)
		stop()
		if st, err = w.store.IndexState(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		if st, err = w.store.IndexReset(t.Context(), w.id, st, format+1); err != nil {
			t.Fatal(err)
		}
		stop = run(t, x)
		time.Sleep(time.Minute)
		if now, err := w.store.IndexState(t.Context(), w.id); err != nil || now != st || x.Known() != 0 {
			t.Fatalf("%+v became %+v, %v; known %d", st, now, err, x.Known())
		}
		stop()
		if reset.Load() != 1 || newer.Load() != 1 {
			t.Fatalf("begun anew %d times, told of a newer one %d times", reset.Load(), newer.Load())
		}
	})
}

// A rebuilding gives what a follower had, also beside one.
func TestRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t)
		x := w.open(nil)
		stop := run(t, x)
		size := w.grow(2*maxBatch + 10)
		w.reaches(size)
		last := int64(0)
		if err := Rebuild(t.Context(), w.store, w.id, func(done, of int64) {
			if done <= last || done > of || of != size {
				t.Errorf("%d of %d after %d", done, of, last)
			}
			last = done
		}); err != nil || last != size {
			t.Fatal(last, err)
		}
		w.complete(x, size)
		size = w.grow(100) // the follower learns of it
		w.reaches(size)
		w.complete(x, size)
		stop()
		w.complete(w.rebuilt(), size)
	})
}

// What fails alike again and again, such as over a damaged database, is told
// once, and once more after it went well.
func TestAFaultIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		w := newWorld(t, faulty.Wrap(memory.New(), func(op faulty.Op) faulty.Fault {
			if op == faulty.IndexAppend && broken.Load() {
				return faulty.Fail
			}
			return faulty.None
		}))
		told := 0
		x := w.open(func(c *Config) { c.Events.Retrying = func(string, error) { told++ } })
		stop := run(t, x)
		w.grow(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		broken.Store(false)
		w.reaches(1)
		synctest.Wait()
		broken.Store(true)
		w.grow(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if told != 2 {
			t.Errorf("told %d times, after it went well in between", told)
		}
		broken.Store(false)
		w.reaches(2)
		stop()
	})
}

// What the log has in memory is not read from the database, and what it has not
// is.
func TestRecentEntriesAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		w := newWorld(t, faulty.Wrap(memory.New(), func(op faulty.Op) faulty.Fault {
			if op == faulty.Entries {
				read.Add(1)
			}
			return faulty.None
		}))
		w.log.recent = func(start, stop int64) []storage.Entry {
			if start < 100 || start >= 700 {
				return nil
			}
			var entries []storage.Entry
			for i := start; i < min(stop, start/200*200+200, 700); i++ {
				entries = append(entries, storage.Entry{Index: i, Body: body(i)})
			}
			return entries
		}
		size := w.grow(1000)
		x := w.open(nil)
		stop := run(t, x)
		w.reaches(size)
		stop()
		if n := read.Load(); n != 1+2 { // those before 100, and 300 in parts of 256
			t.Fatalf("the database was read %d times", n)
		}
		w.complete(x, size)
	})
}
