package source

import (
	"encoding/binary"
	"fmt"
	"strings"

	"indelible/merkle"
)

// DataPath is where a copy of a log has the entries of a bundle, as the log frames
// them, beside hash tiles that are named as tlog-tiles names them.
func DataPath(f Format, b merkle.Bundle) string {
	switch f {
	case SumDB, StaticCT:
		return strings.Replace(b.Path(), "tile/entries/", "tile/data/", 1)
	}
	return b.Path()
}

// WidePath is where a copy has entries of Rekor v1 that no bundle can hold: with
// lengths of four bytes.
func WidePath(b merkle.Bundle) string {
	return strings.Replace(b.Path(), "tile/entries/", "tile/entries32/", 1)
}

// AppendWide adds an entry to such a file.
func AppendWide(dst, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(entry))), entry...)
}

// ParseData takes framed entries apart: it returns the Data and Entries of the first
// want of exactly has entries.
func ParseData(f Format, data []byte, has, want int) (Block, error) {
	switch f {
	case Tiles, RekorV1:
		return parseBundle(data, has, want)
	case SumDB:
		return parseRecords(data, has, want)
	case StaticCT:
		return parseDataTile(data, has, want)
	}
	return Block{}, fmt.Errorf("entries of a log of format %s cannot be taken apart", f)
}

// ParseWide is ParseData for a file of AppendWide.
func ParseWide(data []byte, has, want int) (Block, error) {
	var b Block
	rest := data
	for i := range has {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.BigEndian.Uint32(rest)) {
			return Block{}, fmt.Errorf("entry %d of %d is cut off", i, has)
		}
		end := 4 + int(binary.BigEndian.Uint32(rest))
		if i < want {
			b.Entries = append(b.Entries, rest[4:end:end])
		}
		rest = rest[end:]
		if i == want-1 {
			b.Data = data[:len(data)-len(rest)]
		}
	}
	if len(rest) > 0 {
		return Block{}, fmt.Errorf("%d bytes after the %d entries", len(rest), has)
	}
	return b, nil
}
