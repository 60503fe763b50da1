package mirror

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"indelible/merkle"
)

// removeLeftovers removes what a process that was killed left of files that it was
// writing: beside the progress, and where the frontier is. Elsewhere nothing was
// written.
func (c *Copy) removeLeftovers() error {
	folders := []string{c.private, c.tree}
	for _, at := range frontier(c.state.Size) {
		full := filepath.Join(c.tree, filepath.FromSlash(at))
		folders = append(folders, filepath.Dir(full), full+".p")
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".new") || !e.Type().IsRegular() {
				continue
			}
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// ahead is how many tiles of a level may be written beyond the first that is not
// full: the names of a thousand are in one folder.
const ahead = 1000

// frontier is the first tile of each level that is not full, and one in the folder
// after.
func frontier(size int64) (paths []string) {
	for level := 0; ; level++ {
		index := merkle.HashesAt(level, size) / merkle.TileWidth
		for _, i := range []int64{index, index + ahead} {
			paths = append(paths, merkle.Tile{Level: level, Index: i, Width: merkle.TileWidth}.Path())
			if level == 0 {
				bundle := merkle.Bundle{Index: i, Width: merkle.TileWidth}.Path()
				paths = append(paths, bundle, strings.Replace(bundle, "tile/entries/", "tile/data/", 1), strings.Replace(bundle, "tile/entries/", "tile/entries32/", 1))
			}
		}
		if index == 0 {
			return paths
		}
	}
}
