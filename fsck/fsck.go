// Package fsck audits a whole log: from the bytes of its entries it recomputes
// every leaf hash, every full and partial tile, and the root, and compares them
// with what the log has.
//
// It reads a log through a Source, be that a database or a server far away, and
// needs memory for a few bundles only, whatever the log's size.
package fsck

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"indelible/merkle"
)

// Source is where a log is read from.
type Source interface {
	// Entries returns the entries [start, end), which lie within one bundle.
	Entries(ctx context.Context, start, end int64) ([][]byte, error)
	// Tile returns the bytes of a full or partial tile.
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
}

// Progress is told how many of the entries were audited.
type Progress func(done, total int64)

// Report says what was audited.
type Report struct {
	Entries int64 `json:"entries"`
	Tiles   int64 `json:"tiles"`
	Bytes   int64 `json:"bytes"` // of entries
}

// Problem is a place where a log is not what it must be.
type Problem struct {
	Where string // entry bundle, tile or root
	What  string
}

func (p *Problem) Error() string { return p.Where + ": " + p.What }

// ahead is how many bundles are fetched at once.
const ahead = 8

// Check audits the tree of a size, which must have the root. A *Problem says
// what is wrong with the log; any other error, that it could not be read.
func Check(ctx context.Context, src Source, size int64, root merkle.Hash, progress Progress) (Report, error) {
	a := audit{src: src, size: size, progress: progress}
	for a.edge.Size() < size {
		bundles, err := a.fetch(ctx)
		if err != nil {
			return a.report, err
		}
		for _, entries := range bundles {
			if err := a.add(ctx, entries); err != nil {
				return a.report, err
			}
		}
	}
	if err := a.partialTiles(ctx); err != nil {
		return a.report, err
	}
	if got := a.edge.Root(); got != root {
		return a.report, &Problem{"root", fmt.Sprintf("the %d entries give %x, and the tree head says %x", size, got, root)}
	}
	return a.report, nil
}

type audit struct {
	src      Source
	size     int64
	progress Progress
	edge     merkle.Edge
	report   Report
}

// fetch reads the next bundles, several at once.
func (a *audit) fetch(ctx context.Context) ([][][]byte, error) {
	bundles := make([][][]byte, ahead)
	g, ctx := errgroup.WithContext(ctx)
	for i := range bundles {
		start := a.edge.Size() + int64(i)*merkle.TileWidth
		end := min(start+merkle.TileWidth, a.size)
		if start >= end {
			bundles = bundles[:i]
			break
		}
		g.Go(func() error {
			entries, err := a.src.Entries(ctx, start, end)
			if err == nil && int64(len(entries)) != end-start {
				err = &Problem{fmt.Sprintf("entries %d to %d", start, end-1), fmt.Sprintf("there are %d", len(entries))}
			}
			bundles[i] = entries
			return err
		})
	}
	return bundles, g.Wait()
}

// add hashes a bundle's entries, and compares the tiles that they complete.
func (a *audit) add(ctx context.Context, entries [][]byte) error {
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = merkle.LeafHash(e)
		a.report.Bytes += int64(len(e))
	}
	next, full := a.edge.Append(leaves)
	for _, t := range full {
		if err := a.compare(ctx, merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth}, t.Hashes); err != nil {
			return err
		}
	}
	a.edge = next
	a.report.Entries = next.Size()
	if a.progress != nil {
		a.progress(next.Size(), a.size)
	}
	return nil
}

func (a *audit) partialTiles(ctx context.Context) error {
	for level := range a.edge.Levels() {
		hashes := a.edge.Partial(level)
		if len(hashes) == 0 {
			continue
		}
		t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, a.size), Width: len(hashes)}
		if err := a.compare(ctx, t, hashes); err != nil {
			return err
		}
	}
	return nil
}

// compare holds a tile against the hashes that the entries give.
func (a *audit) compare(ctx context.Context, t merkle.Tile, want []merkle.Hash) error {
	got, err := a.src.Tile(ctx, t)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Path(), err)
	}
	a.report.Tiles++
	expected := merkle.EncodeTile(want)
	if bytes.Equal(got, expected) {
		return nil
	}
	if len(got) != len(expected) {
		return &Problem{t.Path(), fmt.Sprintf("it has %d bytes; the entries give %d", len(got), len(expected))}
	}
	at := 0
	for got[at] == expected[at] {
		at++
	}
	return &Problem{t.Path(), fmt.Sprintf("its hash %d is not that of the entries", at/merkle.HashSize)}
}
