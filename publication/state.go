package publication

import (
	"encoding/json"
	"fmt"
	"slices"

	"indelible/merkle"
)

// state is what is known of the files beside the checkpoint.
type state struct {
	// Origin is the log's.
	Origin string `json:"origin"`
	// Size is the frontier, a multiple of 256: all full bundles and full tiles of the
	// first Size entries are durable. Root is the root of these entries.
	Size int64  `json:"size"`
	Root []byte `json:"root"`
	// Partials are the sizes of trees whose partial tiles and partial bundle may be
	// there, in order.
	Partials []int64 `json:"partials,omitempty"`
}

// maxPartials bounds the sizes that are remembered. They become many only while
// checkpoints cannot be written.
const maxPartials = 1000

func (s state) marshal() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has only strings, numbers and bytes
	}
	return append(data, '\n')
}

func parseState(data []byte) (s state, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	if s.Size < 0 || s.Size%merkle.TileWidth != 0 || len(s.Root) != merkle.HashSize {
		return s, fmt.Errorf("it says size %d and a root of %d bytes", s.Size, len(s.Root))
	}
	return s, nil
}

// with is the state with one more size.
func (s state) with(size int64) state {
	s.Partials = append(slices.Clone(s.Partials), size)
	slices.Sort(s.Partials)
	s.Partials = slices.Compact(s.Partials)
	s.Partials = s.Partials[max(0, len(s.Partials)-maxPartials):]
	return s
}

// keptPartials is how many older sizes keep their partial tiles: readers may still have
// one of these checkpoints, from a cache.
const keptPartials = 4

// outdated are the paths of partial tiles and bundles that no checkpoint needs any
// more, and the state without their sizes, once the checkpoint of size before was
// replaced by a larger one.
//
// Sizes from before on are never removed: another replica may be writing its partial
// tiles. A path that one of them shares with a smaller tree is a path of before too,
// since the width of a partial tile grows with the tree.
func (s state) outdated(before int64) (paths []string, rest state) {
	older := s.Partials
	if n, _ := slices.BinarySearch(older, before); n < len(older) {
		older = older[:n]
	}
	older = older[:max(0, len(older)-keptPartials)]
	rest = s
	rest.Partials = slices.Clone(s.Partials[len(older):])
	needed := make(map[string]bool)
	for _, size := range append(slices.Clone(rest.Partials), before) {
		for _, p := range partialPaths(size) {
			needed[p] = true
		}
	}
	for _, size := range older {
		for _, p := range partialPaths(size) {
			if !needed[p] {
				needed[p] = true // once
				paths = append(paths, p)
			}
		}
	}
	return paths, rest
}

// partialPaths are the paths of the partial tiles and the partial bundle of a tree.
func partialPaths(size int64) (paths []string) {
	for level := 0; merkle.HashesAt(level, size) > 0; level++ {
		if width := merkle.PartialWidth(level, size); width > 0 {
			paths = append(paths, merkle.Tile{Level: level, Index: merkle.TilesAt(level, size), Width: width}.Path())
		}
	}
	if width := int(size % merkle.TileWidth); width > 0 {
		paths = append(paths, merkle.Bundle{Index: size / merkle.TileWidth, Width: width}.Path())
	}
	return paths
}
