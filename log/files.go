package log

import (
	"context"

	"indelible/merkle"
)

// Files has full entry bundles and full tiles of the log beside the database, as
// files by their paths (merkle.Bundle.Path, merkle.Tile.Path); not all of them need be
// there. They never change, and reading one costs the database nothing.
//
// What is read is compared with the view's tree like rows of the database: a bundle
// entry by entry with the tile above it, and a tile with its parent. A file that is not
// what was logged is not used, and is written again from the database.
type Files interface {
	// Read returns a file. An error means that the database is read in its place.
	Read(path string) ([]byte, error)
	// Mend writes a file in the place of one that is not what was logged.
	Mend(path string, data []byte) error
}

// bundleFromFile returns a full bundle of a view's tree, if there is a file of it that
// is sound; wrong reports that there is one that is not.
func (l *Log) bundleFromFile(ctx context.Context, v *view, b merkle.Bundle) (data []byte, wrong bool, err error) {
	if l.cfg.Files == nil || b.Width != merkle.TileWidth {
		return nil, false, nil
	}
	if data, err = l.cfg.Files.Read(b.Path()); err != nil {
		return nil, false, nil
	}
	tile, err := l.nodes(ctx, v, merkle.Tile{Index: b.Index, Width: merkle.TileWidth})
	if err != nil {
		return nil, false, err
	}
	entries, bad := merkle.ParseBundle(data, b.Width)
	if bad != nil {
		return nil, true, nil
	}
	for i, e := range entries {
		if want, ok := tile.At(0, i); !ok || merkle.LeafHash(e) != want {
			return nil, true, nil
		}
	}
	return data, false, nil
}

// tileFromFile returns a full tile of a view's tree, if there is a file of it that is
// sound; wrong reports that there is one that is not.
func (l *Log) tileFromFile(ctx context.Context, v *view, level int, index int64) (n *merkle.Nodes, wrong bool, err error) {
	if l.cfg.Files == nil {
		return nil, false, nil
	}
	data, err := l.cfg.Files.Read(merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}.Path())
	if err != nil {
		return nil, false, nil
	}
	want, err := l.root(ctx, v, level, index)
	if err != nil {
		return nil, false, err
	}
	hashes, err := merkle.DecodeTile(data)
	if err != nil || len(hashes) != merkle.TileWidth {
		return nil, true, nil
	}
	if n, err = merkle.Expand(hashes); err != nil {
		return nil, true, nil
	}
	if got, _ := n.At(merkle.TileHeight, 0); got != want {
		return nil, true, nil
	}
	return n, false, nil
}

// mend has a file written again, from rows that were checked.
func (l *Log) mend(path string, data []byte) {
	l.cfg.Events.mended(path, l.cfg.Files.Mend(path, data))
}
