package forward

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"indelible/fsck"
	"indelible/internal/growth"
	"indelible/internal/tiledir"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// mirror is one in memory. Its tiles and roots are made by another
// implementation of the tree, x/mod's.
type mirror struct {
	entries [][]byte
	stored  []tlog.Hash

	mu     sync.Mutex
	asked  map[int64]int // how often the bundle that begins there was
	answer func(start int64, time int, entries [][]byte) ([][]byte, error)
}

func newMirror(t testing.TB, size int) *mirror {
	t.Helper()
	m := &mirror{asked: map[int64]int{}}
	for i := range size {
		e := fmt.Appendf(nil, "entry %d", i)
		more, err := tlog.StoredHashes(int64(i), e, m.hashes())
		if err != nil {
			t.Fatal(err)
		}
		m.entries, m.stored = append(m.entries, e), append(m.stored, more...)
	}
	return m
}

func (m *mirror) hashes() tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = m.stored[x]
		}
		return out, nil
	}
}

func (m *mirror) root(t testing.TB, size int64) merkle.Hash {
	t.Helper()
	root, err := tlog.TreeHash(size, m.hashes())
	if err != nil {
		t.Fatal(err)
	}
	return merkle.Hash(root)
}

func (m *mirror) mark(t testing.TB, where string, size int64) Mark {
	t.Helper()
	return Mark{Where: where, Size: size, Root: m.root(t, size)}
}

var errShort = errors.New("not in the mirror")

func (m *mirror) Entries(_ context.Context, start, end int64) ([][]byte, error) {
	if end > int64(len(m.entries)) {
		return nil, errShort
	}
	m.mu.Lock()
	m.asked[start]++
	time := m.asked[start]
	m.mu.Unlock()
	entries := append([][]byte(nil), m.entries[start:end]...)
	if m.answer != nil {
		return m.answer(start, time, entries)
	}
	return entries, nil
}

func (m *mirror) Tile(_ context.Context, t merkle.Tile) ([]byte, error) {
	if t.Index<<8+int64(t.Width) > merkle.HashesAt(t.Level, int64(len(m.entries))) {
		return nil, errShort
	}
	return tlog.ReadTileData(tlog.Tile{H: merkle.TileHeight, L: t.Level, N: t.Index, W: t.Width}, m.hashes())
}

// other has the entry at an index, and those after it, different.
func (m *mirror) other(t testing.TB, from int) *mirror {
	t.Helper()
	o := &mirror{asked: map[int64]int{}}
	for i, e := range m.entries {
		if i >= from {
			e = fmt.Appendf(nil, "other %d", i)
		}
		more, err := tlog.StoredHashes(int64(i), e, o.hashes())
		if err != nil {
			t.Fatal(err)
		}
		o.entries, o.stored = append(o.entries, e), append(o.stored, more...)
	}
	return o
}

// database is one that has the first entries of a mirror, integrated at their
// index in milliseconds.
func database(t testing.TB, m *mirror, size int) (*memory.Store, int64) {
	t.Helper()
	store := memory.New()
	l, err := store.CreateLog(t.Context(), storage.Log{Origin: "log.example"}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		t.Fatal(err)
	}
	if size > 0 {
		grow(t, store, l.ID, m, size)
	}
	return store, l.ID
}

func grow(t testing.TB, store storage.Store, id int64, m *mirror, size int) {
	t.Helper()
	tx, err := store.BeginAppend(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var edge merkle.Edge
	edge, _ = edge.Append(leafHashes(m.entries[:tx.Head().Size]))
	var rows []storage.Entry
	for i := tx.Head().Size; i < int64(size); i++ {
		rows = append(rows, storage.Entry{Index: i, LeafHash: merkle.LeafHash(m.entries[i]), IntegratedAt: max(i, tx.Head().IntegratedAt), Body: m.entries[i]})
	}
	_, a := growth.Plan(edge, rows)
	if err := errors.Join(tx.Write(t.Context(), a), tx.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// source lets fsck audit a database.
type source struct {
	store storage.Store
	id    int64
}

func (s source) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	rows, err := s.store.Entries(ctx, s.id, start, end)
	var bodies [][]byte
	for _, r := range rows {
		bodies = append(bodies, r.Body)
	}
	return bodies, err
}

func (s source) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	if t.Width == merkle.TileWidth {
		return s.store.Tile(ctx, s.id, t.Level, t.Index)
	}
	if t.Level == 0 {
		hashes, err := s.store.LeafHashes(ctx, s.id, t.Index<<8, t.Index<<8+int64(t.Width))
		return merkle.EncodeTile(hashes), err
	}
	e, err := s.store.Edge(ctx, s.id, t.Level)
	return e.Hashes, err
}

// whole demands that the database has exactly the first entries of a mirror.
func whole(t *testing.T, store storage.Store, id int64, m *mirror, size int64) {
	t.Helper()
	head, err := store.Head(t.Context(), id)
	if err != nil || head.Size != size || head.Root != m.root(t, size) {
		t.Fatalf("the tree head has size %d, and should have %d: %v", head.Size, size, err)
	}
	if _, err := fsck.Check(t.Context(), source{store, id}, size, head.Root, nil); err != nil {
		t.Fatal(err)
	}
}

// The sizes lie around the ends of bundles, of tiles, and of appends.
func TestForward(t *testing.T) {
	m := newMirror(t, 66100)
	for _, from := range []int{0, 1, 255, 256, 300, 65535} {
		for _, to := range []int64{1, 256, 257, 4096 + 255, 65536, 66099, 66100} {
			if int64(from) > to {
				continue
			}
			store, id := database(t, m, from)
			var last int64
			writing := false
			got, err := Run(t.Context(), Config{
				Store: store, LogID: id, Mirror: m,
				Marks: []Mark{m.mark(t, "the register", to), m.mark(t, "a witness", to/2)},
				Progress: func(w bool, done, total int64) {
					if w == writing && done <= last || writing && !w || done > total || total != to-int64(from) {
						t.Errorf("progress %v %d of %d after %v %d", w, done, total, writing, last)
					}
					writing, last = w, done
				},
			})
			if err != nil || got != (Report{int64(from), to}) || last != to-int64(from) {
				t.Fatalf("%d to %d: %+v, progress %d: %v", from, to, got, last, err)
			}
			whole(t, store, id, m, to)
		}
	}
}

// A database that is not behind is compared, and left alone.
func TestNothingMissing(t *testing.T) {
	m := newMirror(t, 600)
	store, id := database(t, m, 600)
	got, err := Run(t.Context(), Config{Store: store, LogID: id, Mirror: &mirror{}, Marks: []Mark{m.mark(t, "the register", 500)}})
	if err != nil || got != (Report{600, 600}) {
		t.Fatalf("%+v: %v", got, err)
	}
	o := m.other(t, 400)
	if _, err = Run(t.Context(), Config{Store: store, LogID: id, Mirror: m, Marks: []Mark{o.mark(t, "the register", 500)}}); err == nil ||
		!strings.Contains(err.Error(), "the database went another way: its tree of size 500 is not the one that was signed, as the register knows") {
		t.Fatal(err)
	}
	if _, err = Run(t.Context(), Config{Store: store, LogID: id, Mirror: m}); err == nil {
		t.Fatal("there was nowhere to go")
	}
}

// refused demands that nothing was written, and why.
func refused(t *testing.T, store storage.Store, id int64, cfg Config, says string) {
	t.Helper()
	before, err := store.Head(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Store, cfg.LogID = store, id
	if _, err = Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%v does not say %q", err, says)
	}
	if after, err := store.Head(t.Context(), id); err != nil || after.Size != before.Size {
		t.Errorf("the tree head has size %d, and had %d: %v", after.Size, before.Size, err)
	}
}

func TestWhatIsNotTheLogsIsNotWritten(t *testing.T) {
	const from, size = 300, 10_000
	m := newMirror(t, size)
	register := m.mark(t, "the register", size-100)
	shown := m.mark(t, "the mirror's checkpoint", size)
	for _, changed := range []int64{from, 511, 512, 9000, size - 101} {
		bad := &mirror{entries: append([][]byte(nil), m.entries...), stored: m.stored, asked: map[int64]int{}}
		bad.entries[changed] = []byte("changed")
		store, id := database(t, m, from)
		refused(t, store, id, Config{Mirror: bad, Marks: []Mark{register, shown}}, fmt.Sprintf("its entry %d was changed; take another mirror", changed))
	}
	store, id := database(t, m, from)
	refused(t, store, id, Config{Mirror: newMirror(t, size-101), Marks: []Mark{register}}, errShort.Error())
	refused(t, store, id, Config{Mirror: m.other(t, 0), Marks: []Mark{register}}, "nor do its tiles: it is not a mirror of this log, or is damaged: take another")
	fork := m.other(t, 5000)
	refused(t, store, id, Config{Mirror: m, Marks: []Mark{fork.mark(t, "the register", 6000), shown}},
		"the tree of size 6000 that the register knows is not in that of size 10000 that the mirror's checkpoint knows: the log signed two histories")
	long, longID := database(t, m, 7000)
	refused(t, long, longID, Config{Mirror: m, Marks: []Mark{register, fork.mark(t, "a witness", 6000)}},
		"the database went another way: its tree of size 6000 is not the one that was signed, as a witness knows")
	full, fullID := database(t, m, size)
	refused(t, full, fullID, Config{Mirror: m, Marks: []Mark{register, fork.mark(t, "a witness", 6000)}},
		"the database's tree of size 9900 is the one that the register knows, and that of size 6000 is not the one that a witness knows: the log signed two histories")
	refused(t, store, id, Config{Mirror: m, Marks: []Mark{shown, fork.mark(t, "the register", size)}}, "at size 10000 the mirror's checkpoint knows the root")
	astray, other := database(t, m.other(t, 200), from)
	refused(t, astray, other, Config{Mirror: m, Marks: []Mark{register}}, "its tiles do, and the database's 300 entries are not in that tree: the database went another way")
	m.answer = func(_ int64, _ int, entries [][]byte) ([][]byte, error) { return entries[1:], nil }
	refused(t, store, id, Config{Mirror: m, Marks: []Mark{register}}, "the mirror's entries 256 to 511: there are 255")
}

// A mirror that gives other entries the second time gets them nowhere, and what
// was written before is right.
func TestASecondAnswer(t *testing.T) {
	const from, size = 300, 10_000
	for _, changed := range []int64{from, 5000, size - 1} {
		m := newMirror(t, size)
		m.answer = func(start int64, time int, entries [][]byte) ([][]byte, error) {
			if i := changed - start; time == 2 && i >= 0 && i < int64(len(entries)) {
				entries[i] = []byte("changed")
			}
			return entries, nil
		}
		store, id := database(t, m, from)
		cfg := Config{Store: store, LogID: id, Mirror: m, Marks: []Mark{m.mark(t, "the register", size)}}
		got, err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "are not those that it gave before") || got.To > changed || got.To < changed-maxEntries-from {
			t.Fatalf("%+v: %v", got, err)
		}
		whole(t, store, id, m, got.To)
		if got, err = Run(t.Context(), cfg); err != nil || got.To != size {
			t.Fatalf("%+v: %v", got, err)
		}
		whole(t, store, id, m, size)
	}
}

// Whatever operation of the database fails, done or not, the run goes on or ends
// with a database that the next run goes on from.
func TestEveryFault(t *testing.T) {
	const from, size = 700, 13_000
	m := newMirror(t, size)
	for _, fault := range []faulty.Fault{faulty.Fail, faulty.Persist} {
		for _, op := range []faulty.Op{faulty.BeginAppend, faulty.TxWrite, faulty.TxCommit, faulty.TxTouch, faulty.DurableHead, faulty.LeafHashes} {
			for nth := 1; nth <= 3; nth++ {
				t.Run(fmt.Sprint(fault, op, nth), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { oneFault(t, m, from, size, fault, op, nth) })
				})
			}
		}
	}
}

func oneFault(t *testing.T, m *mirror, from int, size int64, fault faulty.Fault, op faulty.Op, nth int) {
	store, id := database(t, m, from)
	var mu sync.Mutex
	seen := 0
	failing := faulty.Wrap(store, func(o faulty.Op) faulty.Fault {
		mu.Lock()
		defer mu.Unlock()
		if o != op {
			return faulty.None
		}
		if seen++; seen == nth {
			return fault
		}
		return faulty.None
	})
	cfg := Config{Store: failing, LogID: id, Mirror: m, Marks: []Mark{m.mark(t, "the register", size)}}
	_, err := Run(t.Context(), cfg)
	if read := op == faulty.DurableHead || op == faulty.LeafHashes; err != nil && !(read && errors.Is(err, faulty.ErrInjected)) {
		t.Fatal(err)
	}
	cfg.Store = store
	if got, err := Run(t.Context(), cfg); err != nil || got.To != size {
		t.Fatalf("%+v: %v", got, err)
	}
	whole(t, store, id, m, size)
}

// A database that never takes anything is given up, and so is one that somebody
// else appends to.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirror(t, 10_000)
		store, id := database(t, m, 300)
		full := faulty.Wrap(store, func(o faulty.Op) faulty.Fault {
			if o == faulty.TxWrite {
				return faulty.Fail
			}
			return faulty.None
		})
		cfg := Config{Store: full, LogID: id, Mirror: m, Marks: []Mark{m.mark(t, "the register", 10_000)}}
		if got, err := Run(t.Context(), cfg); !errors.Is(err, faulty.ErrInjected) || got != (Report{300, 300}) {
			t.Errorf("%+v: %v", got, err)
		}
		cfg.Store = store
		cfg.Progress = func(writing bool, done, _ int64) {
			if writing && done < 5000 {
				grow(t, store, id, m, int(done)+310)
			}
		}
		if _, err := Run(t.Context(), cfg); !errors.Is(err, errOthers) || !strings.Contains(err.Error(), "somebody else appends") {
			t.Error(err)
		}
		cfg.Progress = nil
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Error(err)
		}
		whole(t, store, id, m, 10_000)
	})
}

// An entry's time is never before it was in the log, as far as that is known.
func TestTimes(t *testing.T) {
	m := newMirror(t, 1000)
	store, id := database(t, m, 300)
	at := func(mark Mark, ms int64) Mark { mark.Time = ms; return mark }
	_, err := Run(t.Context(), Config{
		Store: store, LogID: id, Mirror: m, Now: func() time.Time { return time.UnixMilli(9000) },
		Marks: []Mark{at(m.mark(t, "w1", 350), 100), at(m.mark(t, "w2", 500), 8000), at(m.mark(t, "the register", 800), 7000), m.mark(t, "the mirror", 1000)},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := store.Entries(t.Context(), id, 299, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		want := int64(299) // never before the last one's
		if r.Index >= 350 {
			want = 7000
		}
		if r.Index >= 800 {
			want = 9000
		}
		if r.IntegratedAt != want {
			t.Fatalf("entry %d has the time %d, not %d", r.Index, r.IntegratedAt, want)
		}
	}
}

func in(d tiledir.Directory, name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

// save writes a mirror into a folder, as a static server would have it.
func save(t *testing.T, m *mirror, size int64) tiledir.Directory {
	t.Helper()
	d := tiledir.Directory(t.TempDir())
	put := func(name string, data []byte) {
		t.Helper()
		path := in(d, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for start := int64(0); start < size; start += merkle.TileWidth {
		end := min(start+merkle.TileWidth, size)
		var data []byte
		for _, e := range m.entries[start:end] {
			data, _ = merkle.AppendBundleEntry(data, e)
		}
		put(merkle.Bundle{Index: start >> 8, Width: int(end - start)}.Path(), data)
	}
	for level := 0; merkle.HashesAt(level, size) > 0; level++ {
		for i := int64(0); i<<8 < merkle.HashesAt(level, size); i++ {
			tile := merkle.Tile{Level: level, Index: i, Width: int(min(merkle.TileWidth, merkle.HashesAt(level, size)-i<<8))}
			data, err := m.Tile(t.Context(), tile)
			if err != nil {
				t.Fatal(err)
			}
			put(tile.Path(), data)
		}
	}
	return d
}

func TestDirectory(t *testing.T) {
	m := newMirror(t, 1300)
	d := save(t, m, 1280)
	for _, to := range []int64{1000, 1280} { // the first ends within a bundle that is whole there
		store, id := database(t, m, 300)
		if _, err := Run(t.Context(), Config{Store: store, LogID: id, Mirror: d, Marks: []Mark{m.mark(t, "the register", to)}}); err != nil {
			t.Fatal(err)
		}
		whole(t, store, id, m, to)
		if _, err := fsck.Check(t.Context(), d, to, m.root(t, to), nil); to == 1280 && err != nil {
			t.Fatal(err)
		}
	}
	store, id := database(t, m, 300)
	refused(t, store, id, Config{Mirror: d, Marks: []Mark{m.mark(t, "the register", 1300)}}, "entries/005.p/20: no such file")
	tile := merkle.Tile{Index: 4, Width: 100}
	if got, err := d.Tile(t.Context(), tile); err != nil || len(got) != 3200 {
		t.Fatal(len(got), err)
	}
	for _, name := range []string{"tile/entries/004", "tile/0/004", "checkpoint"} {
		if err := os.WriteFile(in(d, name), make([]byte, 20<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, store, id, Config{Mirror: d, Marks: []Mark{m.mark(t, "the register", 1280)}}, "more than")
	if _, err := d.Tile(t.Context(), tile); err == nil {
		t.Error("a tile of 20 MiB was taken")
	}
	if _, err := d.Checkpoint(); err == nil {
		t.Error("a checkpoint of 20 MiB was taken")
	}
	if err := os.WriteFile(in(d, "tile/entries/004"), []byte{0}, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, store, id, Config{Mirror: d, Marks: []Mark{m.mark(t, "the register", 1280)}}, "tile/entries/004: ")
}
