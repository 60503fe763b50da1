package source

import (
	"bytes"
	"fmt"
	"strings"

	"indelible/merkle"
)

// SumDBOrigin is the name of every Go checksum database. Their keys have names of
// their own.
const SumDBOrigin = "go.sum database tree"

// NewSumDB reads a Go checksum database: a server of golang.org/x/mod/sumdb.
// Config.Client.Keys are required; its origin is [SumDBOrigin].
//
// SPEC: golang.org/design/25530-sumdb: tiles of height 8 are below tile/8, and those
// of records have the level "data".
func NewSumDB(cfg Config) (Log, error) {
	cfg.Origin = SumDBOrigin
	return newTiles(cfg, layout{
		format: SumDB, checkpoint: "latest",
		tile: func(t merkle.Tile) string { return "tile/8" + strings.TrimPrefix(t.Path(), "tile") },
		framing: framing{
			path:  func(b merkle.Bundle) string { return "tile/8/data" + strings.TrimPrefix(b.Path(), "tile/entries") },
			limit: maxBundle,
			parse: parseRecords,
		},
	})
}

// parseRecords takes records apart. Each is followed by an empty line, and has none
// itself.
func parseRecords(data []byte, has, want int) (Block, error) {
	var b Block
	rest := data
	for i := range has {
		end := bytes.Index(rest, []byte("\n\n"))
		if end < 1 {
			return Block{}, fmt.Errorf("record %d of %d is empty, or does not end in an empty line", i, has)
		}
		if i < want {
			b.Entries = append(b.Entries, rest[:end+1:end+1])
			b.Data = data[:len(data)-len(rest)+end+2]
		}
		rest = rest[end+2:]
	}
	if len(rest) > 0 {
		return Block{}, fmt.Errorf("%d bytes after %d records", len(rest), has)
	}
	return b, nil
}
