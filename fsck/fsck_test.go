package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"indelible/merkle"
)

// source is a log in memory. Its tiles are made by another implementation of
// the tree, x/mod's.
type source struct {
	entries [][]byte
	hashes  tlog.HashReaderFunc

	mu      sync.Mutex
	asked   map[string]int
	running int
	most    int // of what was asked for at once

	tile func(t merkle.Tile, data []byte) ([]byte, error) // if set, changes answers
}

func newSource(t *testing.T, size int) (*source, merkle.Hash) {
	t.Helper()
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	s := &source{hashes: read, asked: map[string]int{}}
	for i := range size {
		e := fmt.Appendf(nil, "entry %d", i)
		s.entries = append(s.entries, e)
		more, err := tlog.StoredHashes(int64(i), e, read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(size), read)
	if err != nil {
		t.Fatal(err)
	}
	return s, merkle.Hash(root)
}

func (s *source) ask(what string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[what]++
	s.running++
	s.most = max(s.most, s.running)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}
}

func (s *source) Entries(_ context.Context, start, end int64) ([][]byte, error) {
	defer s.ask(fmt.Sprint("entries ", start, " ", end))()
	return s.entries[start:min(end, int64(len(s.entries)))], nil
}

func (s *source) Tile(_ context.Context, t merkle.Tile) ([]byte, error) {
	defer s.ask(t.Path())()
	data, err := tlog.ReadTileData(tlog.Tile{H: merkle.TileHeight, L: t.Level, N: t.Index, W: t.Width}, s.hashes)
	if err == nil && s.tile != nil {
		return s.tile(t, data)
	}
	return data, err
}

// sizes lie around those at which tiles are completed; the largest is beyond
// one round of fetching and has two full tiles of level 1.
func sizes() []int {
	return []int{0, 1, 2, 255, 256, 257, 511, 2048, 2049, 65535, 65536, 65537, 131072 + 300}
}

func TestSound(t *testing.T) {
	s, _ := newSource(t, sizes()[len(sizes())-1])
	for _, size := range sizes() {
		root, err := tlog.TreeHash(int64(size), s.hashes)
		if err != nil {
			t.Fatal(err)
		}
		s.asked, s.most = map[string]int{}, 0
		var last, total int64
		report, err := Check(t.Context(), s, int64(size), merkle.Hash(root), func(done, of int64) {
			if done <= last || done > of {
				t.Errorf("size %d: progress %d of %d after %d", size, done, of, last)
			}
			last, total = done, of
		})
		if err != nil {
			t.Errorf("size %d: %v", size, err)
			continue
		}
		if report.Entries != int64(size) || last != int64(size) || size > 0 && total != int64(size) {
			t.Errorf("size %d: %+v, progress %d of %d", size, report, last, total)
		}
		s.complete(t, size, report)
	}
}

// complete demands that each tile and bundle of the tree was asked for, once,
// and not too many at a time.
func (s *source) complete(t *testing.T, size int, report Report) {
	t.Helper()
	tiles := int64(0)
	for level := 0; int64(size)>>(8*level) > 0; level++ {
		full := merkle.TilesAt(level, int64(size))
		for i := range full {
			if n := s.asked[merkle.Tile{Level: level, Index: i, Width: 256}.Path()]; n != 1 {
				t.Errorf("size %d: tile %d of level %d read %d times", size, i, level, n)
			}
			tiles++
		}
		if w := merkle.PartialWidth(level, int64(size)); w > 0 {
			if n := s.asked[merkle.Tile{Level: level, Index: full, Width: w}.Path()]; n != 1 {
				t.Errorf("size %d: the partial tile of level %d read %d times", size, level, n)
			}
			tiles++
		}
	}
	bundles := (size + 255) / 256
	if report.Tiles != tiles || len(s.asked) != int(tiles)+bundles || s.most > ahead {
		t.Errorf("size %d: %d tiles in the report, %d in the tree; %d reads, up to %d at once", size, report.Tiles, tiles, len(s.asked), s.most)
	}
}

// finds demands a Problem at a place.
func finds(t *testing.T, s *source, root merkle.Hash, where, what string) {
	t.Helper()
	_, err := Check(t.Context(), s, int64(len(s.entries)), root, nil)
	var p *Problem
	if !errors.As(err, &p) || p.Where != where || !strings.Contains(p.What, what) {
		t.Errorf("found %v; want %s: …%s…", err, where, what)
	}
}

// Each tile of a log is damaged in turn, and each is named.
func TestEveryTileCounts(t *testing.T) {
	s, root := newSource(t, 65536+256+7)
	if _, err := Check(t.Context(), s, int64(len(s.entries)), root, nil); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []merkle.Tile{
		{Level: 0, Index: 0, Width: 256},
		{Level: 0, Index: 200, Width: 256},
		{Level: 0, Index: 256, Width: 256},
		{Level: 0, Index: 257, Width: 7},
		{Level: 1, Index: 0, Width: 256},
		{Level: 1, Index: 1, Width: 1},
		{Level: 2, Index: 0, Width: 1},
	} {
		for name, damage := range map[string]func([]byte) []byte{
			"is not that of": func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b },
			"bytes":          func(b []byte) []byte { return b[:len(b)-1] },
			"it has":         func(b []byte) []byte { return append(bytes.Clone(b), 0) },
			"it has 0":       func([]byte) []byte { return nil },
		} {
			s.tile = func(at merkle.Tile, data []byte) ([]byte, error) {
				if at == bad {
					data = damage(data)
				}
				return data, nil
			}
			finds(t, s, root, bad.Path(), name)
		}
	}
}

func TestWhatIsFound(t *testing.T) {
	s, root := newSource(t, 300)
	good := s.entries[100]
	s.entries[100] = []byte("forged")
	finds(t, s, root, "tile/0/000", "its hash 100 is not that of entry 100")
	s.entries[100] = good

	good = s.entries[299]
	s.entries[299] = []byte("forged")
	finds(t, s, root, "tile/0/001.p/44", "its hash 43 is not that of entry 299")
	s.entries[299] = good

	other := root
	other[0] ^= 1
	finds(t, s, other, "root", "the tree head says")

	s.entries[7], s.entries[8] = s.entries[8], s.entries[7]
	finds(t, s, root, "tile/0/000", "entry 7")
	s.entries[7], s.entries[8] = s.entries[8], s.entries[7]

	short := &source{entries: s.entries[:299], hashes: s.hashes, asked: map[string]int{}}
	_, err := Check(t.Context(), short, 300, root, nil)
	var p *Problem
	if !errors.As(err, &p) || p.Where != "entries 256 to 299" || p.What != "there are 43" {
		t.Error(err)
	}
}

// What cannot be read is not called a fault of the log, and is named.
func TestUnreadable(t *testing.T) {
	s, root := newSource(t, 700)
	gone := errors.New("connection lost")
	s.tile = func(at merkle.Tile, data []byte) ([]byte, error) {
		if at.Index == 1 {
			return nil, gone
		}
		return data, nil
	}
	_, err := Check(t.Context(), s, 700, root, nil)
	var p *Problem
	if !errors.Is(err, gone) || errors.As(err, &p) || !strings.Contains(err.Error(), "tile/0/001") {
		t.Error(err)
	}
	broken := unreadable{s, gone}
	if _, err := Check(t.Context(), broken, 700, root, nil); !errors.Is(err, gone) || !strings.Contains(err.Error(), "entries ") {
		t.Error(err)
	}
}

// What is wrong first is what is reported, however much sooner a later part is
// there.
func TestTheFirstFaultIsReported(t *testing.T) {
	s, root := newSource(t, 5*256)
	later := make(chan struct{})
	s.tile = func(at merkle.Tile, data []byte) ([]byte, error) {
		switch at.Index {
		case 1: // wrong, and slow
			<-later
			return make([]byte, len(data)), nil
		case 3:
			close(later)
			return nil, errors.New("connection lost")
		}
		return data, nil
	}
	finds(t, s, root, "tile/0/001", "not that of entry 256")
}

// An audit that is called off says so, and leaves nothing running.
func TestCalledOff(t *testing.T) {
	s, root := newSource(t, 40*256)
	ctx, cancel := context.WithCancel(t.Context())
	report, err := Check(ctx, s, int64(len(s.entries)), root, func(done, _ int64) {
		if done == 256 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || report.Entries < 256 || report.Entries == int64(len(s.entries)) {
		t.Errorf("%+v, %v", report, err)
	}
	if s.running != 0 {
		t.Errorf("%d reads are still running", s.running)
	}
}

type unreadable struct {
	*source
	err error
}

func (u unreadable) Entries(context.Context, int64, int64) ([][]byte, error) { return nil, u.err }
