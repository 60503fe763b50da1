package log

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/guard"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/memory"
)

const testOrigin = "log.example.com"

// world is what outlives a log's process: the database, the register, the key.
type world struct {
	store    storage.Store
	register *guard.File
	path     string // of the register
	key      Signer
}

func newWorld(t *testing.T, store storage.Store) *world {
	t.Helper()
	w := &world{store: store, path: filepath.Join(t.TempDir(), "register"), key: newKey(t, 1)}
	reg, err := guard.CreateFile(w.path, testOrigin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reg.Close() })
	w.register = reg
	_, err = store.CreateLog(t.Context(), storage.Log{
		Instance: guard.NewID(), Origin: testOrigin, Keys: []string{w.key.Verifier().String()},
		Register: reg.ID(), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newKey(t *testing.T, seed byte) Signer {
	t.Helper()
	raw := make([]byte, ed25519.SeedSize)
	raw[0] = seed
	s, err := checkpoint.NewSigner(testOrigin, ed25519.NewKeyFromSeed(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) config(t *testing.T) Config {
	t.Helper()
	rec, err := w.store.FindLog(t.Context(), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Store: w.store, Record: rec, Signers: []Signer{w.key}, Register: w.register,
		Events: Events{
			Retrying: func(what string, err error) { t.Logf("retrying %s: %v", what, err) },
			Poisoned: func(reason string) { t.Logf("poisoned: %s", reason) },
		},
	}
}

// start runs a log; the returned function stops it and waits.
func start(t *testing.T, cfg Config) (*Log, func()) {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l, running(t, l)
}

func running(t *testing.T, l *Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func raw(t testing.TB, s string) entry.Entry {
	t.Helper()
	e, err := entry.NewRaw([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// deadline is far beyond what any step takes; it only ends a test that hangs.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func add(t *testing.T, l *Log, s string) Receipt {
	t.Helper()
	e := raw(t, s)
	r, err := l.Add(deadline(t), e)
	if err != nil {
		t.Fatalf("add %q: %v", s, err)
	}
	checkReceipt(t, l, e, r)
	return r
}

// checkReceipt verifies all that a receipt claims, as a client would.
func checkReceipt(t testing.TB, l *Log, e entry.Entry, r Receipt) {
	t.Helper()
	opened, err := checkpoint.Open(r.Checkpoint.Note, l.keys)
	if err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
	if opened.Size != r.Checkpoint.Size || opened.Root != r.Checkpoint.Root || r.Proof.Size != opened.Size || r.Proof.Root != opened.Root {
		t.Fatalf("receipt says size %d root %x, its checkpoint %d %x", r.Proof.Size, r.Proof.Root, opened.Size, opened.Root)
	}
	if r.LeafHash != e.LeafHash() || r.Proof.Index != r.Index {
		t.Fatalf("receipt is for leaf %x at %d, proof for %d", r.LeafHash, r.Index, r.Proof.Index)
	}
	if err := merkle.VerifyInclusion(r.Index, opened.Size, r.LeafHash, r.Proof.Hashes, opened.Root); err != nil {
		t.Fatalf("index %d: %v", r.Index, err)
	}
}

// poll waits until f holds.
func poll(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx := deadline(t)
	for !f() {
		if !pause(ctx, time.Millisecond) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestFirstCheckpointIsOfTheEmptyTree(t *testing.T) {
	l, _ := start(t, newWorld(t, memory.New()).config(t))
	p, err := l.AwaitNewer(deadline(t), -1)
	if err != nil {
		t.Fatal(err)
	}
	if p.Size != 0 || p.Root != merkle.EmptyRoot() {
		t.Fatalf("size %d root %x", p.Size, p.Root)
	}
	poll(t, "ready", func() bool { return l.Ready() == nil })
}

func TestAddAnswersWithAProof(t *testing.T) {
	l, _ := start(t, newWorld(t, memory.New()).config(t))
	for i := range 300 {
		r := add(t, l, fmt.Sprint("entry ", i))
		if r.Index != int64(i) || r.Duplicate {
			t.Fatalf("entry %d got index %d, duplicate %v", i, r.Index, r.Duplicate)
		}
	}
	for _, i := range []int{0, 255, 256, 299} {
		r := add(t, l, fmt.Sprint("entry ", i))
		if r.Index != int64(i) || !r.Duplicate {
			t.Fatalf("entry %d again got index %d, duplicate %v", i, r.Index, r.Duplicate)
		}
	}
	if p, _ := l.Published(); p.Size != 300 {
		t.Fatalf("size %d", p.Size)
	}
}

func TestAddManyKeepsOrderAndSharesACheckpoint(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	cfg.MaxBatch = 100
	l, _ := start(t, cfg)
	add(t, l, "entry 7")
	var es []entry.Entry
	for i := range 1000 {
		es = append(es, raw(t, fmt.Sprint("entry ", i%900)))
	}
	outcomes, err := l.AddMany(deadline(t), es)
	if err != nil {
		t.Fatal(err)
	}
	next := int64(1)
	for i, o := range outcomes {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		checkReceipt(t, l, es[i], o.Receipt)
		if o.Receipt.Checkpoint.Size != 900 {
			t.Fatalf("entry %d: checkpoint of size %d", i, o.Receipt.Checkpoint.Size)
		}
		switch {
		case i == 7:
			if o.Receipt.Index != 0 || !o.Receipt.Duplicate {
				t.Fatalf("%+v", o.Receipt)
			}
		case i < 900:
			if o.Receipt.Index != next || o.Receipt.Duplicate {
				t.Fatalf("entry %d: index %d, want %d", i, o.Receipt.Index, next)
			}
			next++
		default:
			if o.Receipt.Index != outcomes[i-900].Receipt.Index || !o.Receipt.Duplicate {
				t.Fatalf("entry %d repeated: %+v", i, o.Receipt)
			}
		}
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	l, _ := start(t, newWorld(t, memory.New()).config(t))
	const callers, each = 64, 40
	var mu sync.Mutex
	at := map[string]int64{}
	ctx := deadline(t)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				// Two callers each add the same entries.
				s := fmt.Sprint("entry ", c/2, " ", i)
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
	if p, _ := l.Published(); p.Size != callers/2*each {
		t.Fatalf("size %d, want %d", p.Size, callers/2*each)
	}
	checkWhole(t, l)
}

// checkWhole reads the log through its public face and verifies all of it.
func checkWhole(t testing.TB, l *Log) {
	t.Helper()
	ctx := context.Background()
	p, err := l.Published()
	if err != nil {
		t.Fatal(err)
	}
	var edge merkle.Edge
	seen := map[merkle.Hash]int64{}
	last := time.Time{}
	for edge.Size() < p.Size {
		records, _, err := l.Entries(ctx, edge.Size(), 256)
		if err != nil {
			t.Fatal(err)
		}
		var leaves []merkle.Hash
		for _, r := range records {
			leaf := merkle.LeafHash(r.Canonical)
			if was, ok := seen[leaf]; ok {
				t.Fatalf("the entry at %d stands at %d as well", was, r.Index)
			}
			if r.LeafHash != leaf || r.IntegratedAt.Before(last) {
				t.Fatalf("entry %d: leaf hash %x of %x, time %v after %v", r.Index, r.LeafHash, leaf, r.IntegratedAt, last)
			}
			seen[leaf], last = r.Index, r.IntegratedAt
			leaves = append(leaves, leaf)
		}
		var full []merkle.FullTile
		edge, full = edge.Append(leaves[:min(int64(len(leaves)), p.Size-edge.Size())])
		for _, f := range full {
			checkTile(t, l, merkle.Tile{Level: f.Level, Index: f.Index, Width: 256}, f.Hashes)
		}
	}
	for level := range edge.Levels() {
		if hashes := edge.Partial(level); len(hashes) > 0 {
			checkTile(t, l, merkle.Tile{Level: level, Index: merkle.TilesAt(level, p.Size), Width: len(hashes)}, hashes)
		}
	}
	if edge.Root() != p.Root {
		t.Fatalf("the entries give root %x, the checkpoint says %x", edge.Root(), p.Root)
	}
}

func checkTile(t testing.TB, l *Log, tile merkle.Tile, want []merkle.Hash) {
	t.Helper()
	got, err := l.Tile(context.Background(), tile)
	if err != nil || string(got) != string(merkle.EncodeTile(want)) {
		t.Fatalf("%s: %d bytes, %v", tile.Path(), len(got), err)
	}
}

// Large entries come in several calls, each of which has MaxListBytes at most.
func TestEntriesInParts(t *testing.T) {
	l, _ := start(t, newWorld(t, memory.New()).config(t))
	const size, each = 300, 15_000
	var entries []entry.Entry
	for i := range size {
		entries = append(entries, raw(t, fmt.Sprint(i, strings.Repeat("x", each))))
	}
	if _, err := l.AddMany(deadline(t), entries); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < size; {
		records, p, err := l.Entries(deadline(t), at, MaxList)
		if err != nil || p.Size != size {
			t.Fatalf("from %d: of %d entries: %v", at, p.Size, err)
		}
		bytes := 0
		for i, r := range records {
			bytes += len(r.Canonical)
			if r.Index != at+int64(i) || r.LeafHash != entries[r.Index].LeafHash() {
				t.Fatalf("from %d: entry %d has index %d and leaf hash %x", at, i, r.Index, r.LeafHash)
			}
		}
		next := at + int64(len(records))
		if full := bytes+each+10 > MaxListBytes; bytes > MaxListBytes || !full && next < size {
			t.Fatalf("from %d: %d entries of %d bytes", at, len(records), bytes)
		}
		at = next
	}
}

func TestRestartGoesOn(t *testing.T) {
	w := newWorld(t, memory.New())
	size := 0
	for run := range 5 {
		l, stop := start(t, w.config(t))
		for range 130 {
			if r := add(t, l, fmt.Sprint("entry ", size)); r.Index != int64(size) {
				t.Fatalf("run %d: index %d, want %d", run, r.Index, size)
			}
			size++
		}
		if r := add(t, l, "entry 0"); r.Index != 0 || !r.Duplicate {
			t.Fatalf("%+v", r)
		}
		checkWhole(t, l)
		stop()
		if err := l.Ready(); !errors.Is(err, ErrStopping) {
			t.Fatalf("a stopped log: %v", err)
		}
		if _, err := l.Add(deadline(t), raw(t, "late")); !errors.Is(err, ErrStopping) {
			t.Fatalf("a stopped log: %v", err)
		}
	}
}

// gate is a witness that lets a checkpoint pass only when told.
type gate struct{ pass chan error }

func (g gate) Cosign(ctx context.Context, note []byte, _ Tree) ([]byte, error) {
	select {
	case err := <-g.pass:
		return note, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (gate) Enough([]byte) bool { return true }

func (gate) Confirm(context.Context, []byte, Tree, func(context.Context) (int64, error)) error {
	return nil
}

func TestNothingIsShownBeforeItIsPublished(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	g := gate{make(chan error, 100)}
	cfg.Witness, cfg.LeaseTTL = g, time.Hour // one that is lost is no failure of the witness
	l, _ := start(t, cfg)
	g.pass <- nil
	if _, err := l.AwaitNewer(deadline(t), -1); err != nil {
		t.Fatal(err)
	}
	e := raw(t, "hidden")
	got := make(chan Receipt, 1)
	go func() {
		r, err := l.Add(context.Background(), e)
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	ctx := deadline(t)
	poll(t, "durable", func() bool {
		h, err := w.store.Head(ctx, cfg.Record.ID)
		return err == nil && h.Size == 1
	})
	if _, err := l.Entry(ctx, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("Entry: %v", err)
	}
	if _, err := l.Lookup(ctx, e.LeafHash()); !errors.Is(err, ErrNotFound) {
		t.Errorf("Lookup: %v", err)
	}
	if rs, _, err := l.Entries(ctx, 0, 10); err != nil || len(rs) != 0 {
		t.Errorf("Entries: %v, %v", rs, err)
	}
	if _, err := l.Tile(ctx, merkle.Tile{Level: 0, Index: 0, Width: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Tile: %v", err)
	}
	if _, err := l.Bundle(ctx, merkle.Bundle{Index: 0, Width: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Bundle: %v", err)
	}
	if _, err := l.InclusionProof(ctx, 0, 1); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("InclusionProof: %v", err)
	}
	// A witness that fails is asked again, and nothing is published meanwhile.
	g.pass <- errors.New("witness is away")
	poll(t, "trouble is reported", func() bool { return l.Ready() != nil })
	if p, _ := l.Published(); p.Size != 0 {
		t.Fatalf("published size %d without the witness", p.Size)
	}
	g.pass <- nil
	checkReceipt(t, l, e, <-got)
	if _, err := l.Lookup(ctx, e.LeafHash()); err != nil {
		t.Error(err)
	}
}

func TestACallerWhoGivesUpDoesNotDisturb(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	g := gate{make(chan error, 100)}
	cfg.Witness = g
	l, _ := start(t, cfg)
	g.pass <- nil
	if _, err := l.AwaitNewer(deadline(t), -1); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := l.Add(gone, raw(t, "shared"))
		first <- err
	}()
	poll(t, "queued", func() bool { return l.queue.len() == 1 })
	second := make(chan Receipt, 1)
	go func() {
		r, err := l.Add(context.Background(), raw(t, "shared"))
		if err != nil {
			t.Error(err)
		}
		second <- r
	}()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	g.pass <- nil
	g.pass <- nil
	if r := <-second; r.Index != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestFullQueue(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	g := gate{make(chan error, 100)}
	cfg.Witness, cfg.MaxQueue, cfg.MaxQueueBytes = g, 3, 100
	l, _ := start(t, cfg)
	g.pass <- nil
	if _, err := l.AwaitNewer(deadline(t), -1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { l.Add(ctx, raw(t, fmt.Sprint("e", i))) })
	}
	poll(t, "queued", func() bool { return l.queue.len() == 3 })
	if _, err := l.Add(ctx, raw(t, "one too many")); !errors.Is(err, ErrQueueFull) {
		t.Errorf("a fourth entry: %v", err)
	}
	cancel()
	wg.Wait()
	for range 10 {
		g.pass <- nil
	}
	poll(t, "drained", func() bool { return l.queue.len() == 0 })
	// What would not fit into an empty queue either is told so.
	if _, err := l.Add(deadline(t), raw(t, string(make([]byte, 101)))); !errors.Is(err, ErrTooMuch) || !strings.Contains(err.Error(), "101 bytes of entries, and its queue holds 100") {
		t.Errorf("an entry bigger than the queue: %v", err)
	}
	four := []entry.Entry{raw(t, "a"), raw(t, "b"), raw(t, "c"), raw(t, "d")}
	if _, err := l.AddMany(deadline(t), four); !errors.Is(err, ErrTooMuch) || !strings.Contains(err.Error(), "4 entries, and its queue holds 3") {
		t.Errorf("a batch bigger than the queue: %v", err)
	}
}

func TestProofsOfEverySize(t *testing.T) {
	l, _ := start(t, newWorld(t, memory.New()).config(t))
	const size = 600
	var es []entry.Entry
	for i := range size {
		es = append(es, raw(t, fmt.Sprint("entry ", i)))
	}
	if _, err := l.AddMany(deadline(t), es); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, to := range []int64{1, 2, 3, 255, 256, 257, 511, 512, 599, 600} {
		for _, index := range []int64{0, 1, 254, 255, 256, 511, 598, 599} {
			if index >= to {
				continue
			}
			p, err := l.InclusionProof(ctx, index, to)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyInclusion(index, to, es[index].LeafHash(), p.Hashes, p.Root); err != nil {
				t.Fatalf("%d in %d: %v", index, to, err)
			}
		}
		for _, from := range []int64{0, 1, 2, 128, 255, 256, 257, 600} {
			c, err := l.ConsistencyProof(ctx, from, to)
			if from > to {
				if !errors.Is(err, ErrOutOfRange) {
					t.Fatalf("%d to %d: %v", from, to, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyConsistency(from, to, c.FromRoot, c.ToRoot, c.Hashes); err != nil {
				t.Fatalf("%d to %d: %v", from, to, err)
			}
		}
	}
	for _, bad := range [][2]int64{{-1, 0}, {600, 600}, {0, 601}, {5, 5}, {0, -1}} {
		if _, err := l.InclusionProof(ctx, bad[0], bad[1]); !errors.Is(err, ErrOutOfRange) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestClock(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	var mu sync.Mutex
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	set := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	l, _ := start(t, cfg)
	first := add(t, l, "a")
	set(-5 * time.Minute)
	if second := add(t, l, "b"); second.IntegratedAt != first.IntegratedAt {
		t.Fatalf("time went from %v to %v", first.IntegratedAt, second.IntegratedAt)
	}
	set(-6 * time.Minute)
	if _, err := l.Add(deadline(t), raw(t, "c")); !errors.Is(err, ErrClock) {
		t.Fatalf("a clock 11 minutes behind: %v", err)
	}
	set(time.Hour)
	add(t, l, "c")
	checkWhole(t, l)
}

func TestAKeyThatIsNotTheLogsIsRefused(t *testing.T) {
	w := newWorld(t, memory.New())
	cfg := w.config(t)
	cfg.Signers = []Signer{newKey(t, 2)}
	if _, err := Open(cfg); err == nil {
		t.Fatal("opened with a foreign key")
	}
	cfg = w.config(t)
	other, err := guard.CreateFile(filepath.Join(t.TempDir(), "r"), testOrigin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	cfg.Register = other
	if _, err := Open(cfg); err == nil {
		t.Fatal("opened with a foreign register")
	}
}

func TestAwaitNewer(t *testing.T) {
	l, _ := start(t, newWorld(t, memory.New()).config(t))
	got := make(chan Published, 1)
	go func() {
		p, err := l.AwaitNewer(context.Background(), 0)
		if err != nil {
			t.Error(err)
		}
		got <- p
	}()
	add(t, l, "x")
	if p := <-got; p.Size != 1 {
		t.Fatalf("size %d", p.Size)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.AwaitNewer(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
