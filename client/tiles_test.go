package client

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"indelible/merkle"
)

// grown makes the fake log one that deleted its partial tiles when it grew.
func (f *fake) grown() {
	var leaves []merkle.Hash
	var bundle []byte
	for i := range merkle.TileWidth {
		leaves = append(leaves, merkle.LeafHash(entryOf(i)))
		bundle, _ = merkle.AppendBundleEntry(bundle, entryOf(i))
	}
	f.replace["/tile/0/000.p/5"], f.replace["/tile/entries/000.p/5"] = http.NotFound, http.NotFound
	f.replace["/tile/0/000"] = func(w http.ResponseWriter, _ *http.Request) { w.Write(merkle.EncodeTile(leaves)) }
	f.replace["/tile/entries/000"] = func(w http.ResponseWriter, _ *http.Request) { w.Write(bundle) }
}

func TestFullInsteadOfPartial(t *testing.T) {
	f, c := newFake(t)
	f.grown()
	tile, err := c.Tile(t.Context(), merkle.Tile{Width: 5})
	if err != nil || !slices.Equal(tile, merkle.EncodeTile(f.leaves)) {
		t.Errorf("%x, %v", tile, err)
	}
	entries, err := c.Entries(t.Context(), 0, 5)
	if err != nil || len(entries) != 5 || string(entries[4]) != "entry 4" {
		t.Errorf("%q, %v", entries, err)
	}
}

func TestNeitherFullNorPartial(t *testing.T) {
	f, c := newFake(t)
	f.grown()
	f.replace["/tile/0/000"], f.replace["/tile/entries/000"] = http.NotFound, http.NotFound
	for want, ask := range map[string]func() error{
		"tile/0/000.p/5":       func() error { _, err := c.Tile(t.Context(), merkle.Tile{Width: 5}); return err },
		"tile/entries/000.p/5": func() error { _, err := c.Entries(t.Context(), 0, 5); return err },
		"tile/0/001:":          func() error { _, err := c.Tile(t.Context(), merkle.Tile{Index: 1, Width: 256}); return err },
		"tile/entries/001:":    func() error { _, err := c.Entries(t.Context(), 256, 512); return err },
	} {
		if err := ask(); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestTruncatedTiles(t *testing.T) {
	f, c := newFake(t)
	for _, n := range []int{0, 1, 32, 4 * 32, 5*32 - 1} {
		f.replace["/tile/0/000.p/5"] = func(w http.ResponseWriter, _ *http.Request) { w.Write(merkle.EncodeTile(f.leaves)[:n]) }
		if _, err := c.Tile(t.Context(), merkle.Tile{Width: 5}); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%d bytes of a tile: %v", n, err)
		}
	}
	f.grown()
	f.replace["/tile/0/000"] = func(w http.ResponseWriter, _ *http.Request) { w.Write(merkle.EncodeTile(f.leaves)) }
	f.replace["/tile/entries/000"] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0, 1, 'x'}) }
	if _, err := c.Tile(t.Context(), merkle.Tile{Width: 5}); !errors.Is(err, ErrUntrusted) {
		t.Error("a full tile of five hashes:", err)
	}
	if _, err := c.Entries(t.Context(), 0, 5); !errors.Is(err, ErrUntrusted) {
		t.Error("a full bundle of one entry:", err)
	}
}
