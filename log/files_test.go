package log

import (
	"bytes"
	"context"
	"io/fs"
	"sync"
	"testing"

	"indelible/merkle"
	"indelible/storage"
)

// kept are files in memory.
type kept struct {
	mu     sync.Mutex
	files  map[string][]byte
	mended []string
}

// Read implements Files.
func (k *kept) Read(path string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if data, ok := k.files[path]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// Mend implements Files.
func (k *kept) Mend(path string, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[path] = data
	k.mended = append(k.mended, path)
	return nil
}

// counting counts what the database is asked for.
type counting struct {
	storage.Store
	mu             sync.Mutex
	entries, tiles int
}

// Entries implements storage.Store.
func (c *counting) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	c.mu.Lock()
	c.entries++
	c.mu.Unlock()
	return c.Store.Entries(ctx, logID, start, end)
}

// Tile implements storage.Store.
func (c *counting) Tile(ctx context.Context, logID int64, level int, index int64) ([]byte, error) {
	c.mu.Lock()
	c.tiles++
	c.mu.Unlock()
	return c.Store.Tile(ctx, logID, level, index)
}

func (c *counting) counts() (entries, tiles int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries, c.tiles
}

func fullPaths() (bundle merkle.Bundle, tile merkle.Tile) {
	return merkle.Bundle{Index: 1, Width: merkle.TileWidth}, merkle.Tile{Index: 1, Width: merkle.TileWidth}
}

// filled is a log with full tiles, whose process has nothing in memory, and its files.
func filled(t *testing.T) (*counting, *kept, *Log) {
	t.Helper()
	r, first, _ := newRotten(t)
	bundle, tile := fullPaths()
	data, err := first.Bundle(t.Context(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := first.Tile(t.Context(), tile)
	if err != nil {
		t.Fatal(err)
	}
	c, k := &counting{Store: r}, &kept{files: map[string][]byte{bundle.Path(): data, tile.Path(): hashes}}
	cfg := first.cfg
	cfg.Store, cfg.Files = c, k
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.view.Store(first.view.Load())
	return c, k, l
}

// What is in sound files costs the database nothing, and is the same.
func TestFiles(t *testing.T) {
	c, k, l := filled(t)
	bundle, tile := fullPaths()
	for range 2 {
		if got, err := l.Bundle(t.Context(), bundle); err != nil || !bytes.Equal(got, k.files[bundle.Path()]) {
			t.Fatal(err)
		}
		if got, err := l.Tile(t.Context(), tile); err != nil || !bytes.Equal(got, k.files[tile.Path()]) {
			t.Fatal(err)
		}
	}
	if entries, tiles := c.counts(); entries > 0 || tiles > 0 || len(k.mended) > 0 {
		t.Errorf("the database was asked %d times for entries and %d times for tiles; mended: %v", entries, tiles, k.mended)
	}
	other := merkle.Bundle{Index: 0, Width: merkle.TileWidth} // there is no file
	if _, err := l.Bundle(t.Context(), other); err != nil {
		t.Error(err)
	}
	if entries, tiles := c.counts(); entries == 0 || tiles == 0 {
		t.Error("what is in no file was not read from the database")
	}
	if len(k.mended) > 0 {
		t.Errorf("files that were not there were written: %v", k.mended)
	}
}

// A file that is not what was logged is never served, and is written again.
func TestWrongFiles(t *testing.T) {
	bundle, tile := fullPaths()
	for name, change := range map[string]func([]byte) []byte{
		"a bit":   func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"cut off": func(b []byte) []byte { return b[:len(b)-1] },
		"longer":  func(b []byte) []byte { return append(b, 0) },
		"empty":   func([]byte) []byte { return nil },
		"twice":   func(b []byte) []byte { return append(b, b...) },
	} {
		for _, path := range []string{bundle.Path(), tile.Path()} {
			_, k, l := filled(t)
			right := k.files[path]
			k.files[path] = change(bytes.Clone(right))
			var told []string
			l.cfg.Events.Mended = func(path string, err error) { told = append(told, path) }
			data, err := l.Bundle(t.Context(), bundle)
			hashes, tileErr := l.Tile(t.Context(), tile)
			if err != nil || tileErr != nil {
				t.Fatalf("%s: %v, %v", name, err, tileErr)
			}
			got := map[string][]byte{bundle.Path(): data, tile.Path(): hashes}[path]
			if !bytes.Equal(got, right) || !bytes.Equal(k.files[path], right) || len(told) != 1 || told[0] != path {
				t.Errorf("%s of %s: served right: %v, mended right: %v, told: %v", name, path, bytes.Equal(got, right), bytes.Equal(k.files[path], right), told)
			}
			if len(l.Damaged()) > 0 {
				t.Errorf("%s of %s: the database is said to be damaged: %v", name, path, l.Damaged())
			}
		}
	}
}

// A file that is wrong where the database is damaged is not served either, and stays.
func TestWrongFileAndDamage(t *testing.T) {
	c, k, l := filled(t)
	bundle, _ := fullPaths()
	k.files[bundle.Path()][5] ^= 1
	c.Store.(*rotten).rot(func(r *rotten) {
		r.entry = func(e *storage.Entry) { e.Body = append(e.Body, 'x') }
	})
	if data, err := l.Bundle(t.Context(), bundle); err == nil || len(data) > 0 || len(k.mended) > 0 {
		t.Errorf("%d bytes, %v; mended: %v", len(data), err, k.mended)
	}
}
