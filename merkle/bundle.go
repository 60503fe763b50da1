package merkle

import (
	"encoding/binary"
	"fmt"
)

// MaxBundleEntry is the most bytes an entry of a bundle can have: its length is
// written in 16 bits.
const MaxBundleEntry = 1<<16 - 1

// AppendBundleEntry adds an entry to a bundle: its length as a big-endian
// uint16, and its bytes.
func AppendBundleEntry(dst, entry []byte) ([]byte, error) {
	if len(entry) > MaxBundleEntry {
		return dst, fmt.Errorf("an entry of %d bytes; a bundle's hold at most %d", len(entry), MaxBundleEntry)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(entry)))
	return append(dst, entry...), nil
}

// ParseBundle returns the width entries of a bundle, which alias data. More or
// fewer entries are an error.
func ParseBundle(data []byte, width int) ([][]byte, error) {
	if width < 1 || width > TileWidth {
		return nil, fmt.Errorf("a bundle of %d entries; it must be 1 to %d", width, TileWidth)
	}
	entries := make([][]byte, 0, width)
	rest := data
	for range width {
		var entry []byte
		var err error
		if entry, rest, err = cutEntry(rest); err != nil {
			return nil, fmt.Errorf("entry %d of %d in the bundle: %w", len(entries), width, err)
		}
		entries = append(entries, entry)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the %d entries of the bundle", len(rest), width)
	}
	return entries, nil
}

// BundleEntrySize is how many bytes the first entry of a bundle takes in it.
func BundleEntrySize(data []byte) (int, error) {
	entry, _, err := cutEntry(data)
	return 2 + len(entry), err
}

func cutEntry(data []byte) (entry, rest []byte, err error) {
	if len(data) < 2 {
		return nil, nil, fmt.Errorf("%d bytes are left, and a length takes 2", len(data))
	}
	n := 2 + int(binary.BigEndian.Uint16(data))
	if len(data) < n {
		return nil, nil, fmt.Errorf("its length is %d, and %d bytes are left", n-2, len(data)-2)
	}
	return data[2:n:n], data[n:], nil
}
