package merkle

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// TileHeight is how many levels of the tree a tile spans.
	TileHeight = 8
	// TileWidth is how many hashes a full tile holds.
	TileWidth = 1 << TileHeight
	// maxLevel is the highest level a path may name. SPEC: tlog-tiles, 0 to 63.
	maxLevel = 63
	// maxIndex is the highest index that a tile or bundle can have: a tree has
	// at most 2^63-1 leaves. The hashes of any tile up to it are numbered
	// without overflow.
	maxIndex = math.MaxInt64 / TileWidth
)

// Tile names a hash tile. Width is 1 to 256; below 256 it is a partial tile.
type Tile struct {
	Level int
	Index int64
	Width int
}

// Bundle names an entry bundle. Width is 1 to 256, in entries.
type Bundle struct {
	Index int64
	Width int
}

// HashesAt is how many hashes a level of tiles has in a tree of size.
func HashesAt(level int, size int64) int64 {
	if level*TileHeight >= 63 {
		return 0
	}
	return size >> (level * TileHeight)
}

// TilesAt is how many full tiles a level has in a tree of size.
func TilesAt(level int, size int64) int64 { return HashesAt(level, size) / TileWidth }

// PartialWidth is how many hashes the partial tile of a level has in a tree of
// size; 0 means that there is none.
func PartialWidth(level int, size int64) int { return int(HashesAt(level, size) % TileWidth) }

// Path is the tile's path, such as tile/0/x001/234/067.p/12.
func (t Tile) Path() string {
	return "tile/" + strconv.Itoa(t.Level) + "/" + indexPath(t.Index, t.Width)
}

// Path is the bundle's path, such as tile/entries/x001/234/067.p/12.
func (b Bundle) Path() string { return "tile/entries/" + indexPath(b.Index, b.Width) }

// indexPath writes an index in groups of three digits, all but the last with
// an x before them, and the width of what is partial.
func indexPath(index int64, width int) string {
	s := fmt.Sprintf("%03d", index%1000)
	for index >= 1000 {
		index /= 1000
		s = fmt.Sprintf("x%03d/%s", index%1000, s)
	}
	if width != TileWidth {
		s += ".p/" + strconv.Itoa(width)
	}
	return s
}

// ParseTilePath is the inverse of Tile.Path. It takes no other spelling.
func ParseTilePath(p string) (Tile, error) {
	level, rest, ok := strings.Cut(strings.TrimPrefix(p, "tile/"), "/")
	l, err := strconv.Atoi(level)
	if !ok || err != nil || l < 0 || l > maxLevel {
		return Tile{}, badPath("tile", p)
	}
	index, width, ok := parseIndexPath(rest)
	t := Tile{Level: l, Index: index, Width: width}
	// SPEC: tlog-tiles: one path for each tile. What is not what we would
	// write (leading zeros and groups, a missing x) is refused.
	if !ok || t.Path() != p {
		return Tile{}, badPath("tile", p)
	}
	return t, nil
}

// ParseBundlePath is the inverse of Bundle.Path. It takes no other spelling.
func ParseBundlePath(p string) (Bundle, error) {
	index, width, ok := parseIndexPath(strings.TrimPrefix(p, "tile/entries/"))
	b := Bundle{Index: index, Width: width}
	if !ok || b.Path() != p {
		return Bundle{}, badPath("entry bundle", p)
	}
	return b, nil
}

func badPath(what, p string) error {
	if len(p) > 100 {
		p = p[:100] + "…"
	}
	return fmt.Errorf("%q is not the path of a %s, such as tile/0/x001/067 or tile/entries/000.p/12", p, what)
}

// maxIndexPath bounds the work on a hostile path: maxIndex has six groups.
const maxIndexPath = len("x036/x028/x797/x018/x963/967.p/255")

func parseIndexPath(p string) (index int64, width int, ok bool) {
	if len(p) > maxIndexPath {
		return 0, 0, false
	}
	groups, partial, isPartial := strings.Cut(p, ".p/")
	width = TileWidth
	if isPartial {
		var err error
		width, err = strconv.Atoi(partial)
		if err != nil || width < 1 || width >= TileWidth {
			return 0, 0, false
		}
	}
	digits := strings.ReplaceAll(strings.ReplaceAll(groups, "/", ""), "x", "")
	index, err := strconv.ParseInt(digits, 10, 64)
	return index, width, err == nil && index >= 0 && index <= maxIndex
}

// EncodeTile writes hashes one after the other.
func EncodeTile(hashes []Hash) []byte {
	data := make([]byte, 0, len(hashes)*HashSize)
	for i := range hashes {
		data = append(data, hashes[i][:]...)
	}
	return data
}

// DecodeTile reads the 1 to 256 hashes of a tile.
func DecodeTile(data []byte) ([]Hash, error) {
	n := len(data) / HashSize
	if len(data)%HashSize != 0 || n < 1 || n > TileWidth {
		return nil, fmt.Errorf("a tile of %d bytes; it must be 1 to %d hashes of %d bytes", len(data), TileWidth, HashSize)
	}
	hashes := make([]Hash, n)
	for i := range hashes {
		copy(hashes[i][:], data[i*HashSize:])
	}
	return hashes, nil
}
