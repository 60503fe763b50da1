// Package tiledir reads a log from a folder of files. Nothing in it is verified.
package tiledir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"indelible/checkpoint"
	"indelible/fsck"
	"indelible/merkle"
)

// Directory is a folder whose files are named as C2SP tlog-tiles names the
// resources of a log:
//
//	checkpoint
//	tile/entries/000   tile/entries/001.p/17
//	tile/0/000         tile/0/001.p/17        tile/1/000.p/1
type Directory string

var _ fsck.Source = Directory("")

// Checkpoint reads the mirror's checkpoint, a signed note. Nothing in it is
// verified.
func (d Directory) Checkpoint() ([]byte, error) { return d.read("checkpoint", checkpoint.MaxNoteSize) }

// Entries implements fsck.Source.
func (d Directory) Entries(_ context.Context, start, end int64) ([][]byte, error) {
	part := merkle.Bundle{Index: start / merkle.TileWidth, Width: int(end - start)}
	b := merkle.Bundle{Index: part.Index, Width: merkle.TileWidth}
	data, whole, err := d.either(part.Path(), b.Path(), merkle.TileWidth*(2+merkle.MaxBundleEntry))
	if err != nil {
		return nil, err
	}
	if !whole {
		b = part
	}
	entries, err := merkle.ParseBundle(data, b.Width)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path(b.Path()), err)
	}
	return entries[:part.Width], nil
}

// Tile implements fsck.Source.
func (d Directory) Tile(_ context.Context, part merkle.Tile) ([]byte, error) {
	t := merkle.Tile{Level: part.Level, Index: part.Index, Width: merkle.TileWidth}
	data, whole, err := d.either(part.Path(), t.Path(), merkle.TileWidth*merkle.HashSize)
	if err != nil {
		return nil, err
	}
	if !whole {
		t = part
	}
	if len(data) != t.Width*merkle.HashSize {
		return nil, fmt.Errorf("%s: it has %d bytes, not %d", d.path(t.Path()), len(data), t.Width*merkle.HashSize)
	}
	return data[:part.Width*merkle.HashSize], nil
}

// either reads what is there in part, or in its place the whole. SPEC:
// tlog-tiles: what is partial may be deleted once it has become full.
func (d Directory) either(part, full string, limit int64) (data []byte, whole bool, err error) {
	data, err = d.read(part, limit)
	if part == full || !errors.Is(err, fs.ErrNotExist) {
		return data, part == full, err
	}
	data, again := d.read(full, limit)
	if errors.Is(again, fs.ErrNotExist) {
		return nil, false, err
	}
	return data, true, again
}

func (d Directory) path(name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

// read reads a file of a limited size.
func (d Directory) read(name string, limit int64) ([]byte, error) {
	file, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: it has more than %d bytes", d.path(name), limit)
	}
	return data, err
}
