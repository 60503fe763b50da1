// Package growth works out what an append writes: from the right edge of the
// tree and the new entries, the tiles that become full, the partial ones that
// change, and the next tree head.
package growth

import (
	"indelible/merkle"
	"indelible/storage"
)

// Plan returns the edge after an append, and what the append writes. The
// entries are whole rows that follow the edge, one at least; the last one's time
// becomes the tree head's.
func Plan(edge merkle.Edge, entries []storage.Entry) (merkle.Edge, storage.Append) {
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = e.LeafHash
	}
	next, full := edge.Append(leaves)
	tiles := make([]storage.Tile, len(full))
	for i, t := range full {
		tiles[i] = storage.Tile{Level: t.Level, Index: t.Index, Hashes: merkle.EncodeTile(t.Hashes)}
	}
	head := storage.Head{Size: next.Size(), Root: next.Root(), Range: next.Range(), IntegratedAt: entries[len(entries)-1].IntegratedAt}
	return next, storage.Append{Entries: entries, Tiles: tiles, Edges: changedEdges(edge, next), Head: head}
}

// changedEdges returns the partial tiles above level 0 that differ: most
// appends change none of them.
func changedEdges(before, after merkle.Edge) []storage.Edge {
	var edges []storage.Edge
	for level := 1; level < max(before.Levels(), after.Levels()); level++ {
		index := merkle.TilesAt(level, after.Size())
		was, is := before.Partial(level), after.Partial(level)
		if index == merkle.TilesAt(level, before.Size()) && len(was) == len(is) {
			continue
		}
		edges = append(edges, storage.Edge{Level: level, Index: index, Hashes: merkle.EncodeTile(is)})
	}
	return edges
}
