// Package fsck audits a whole log: from the bytes of its entries it recomputes
// every leaf hash, every full and partial tile, and the root, and compares them
// with what the log has.
//
// It reads a log through a Source, be that a database or a server far away:
//
//	0…255       tile/entries/000  ─► leaf hashes ─► tile/0/000 ─┐
//	256…511     tile/entries/001  ─► leaf hashes ─► tile/0/001 ─┼─► tile/1/000.p/2 ─► root
//	512…519     …/002.p/8         ─► leaf hashes ─► tile/0/002.p/8 ────────────────────┘
//
// A few bundles are fetched ahead, several at once, and audited in order: what
// is found first is the first thing that is wrong. Memory is needed for these
// few bundles only, whatever the log's size.
//
// The root is compared at the end, so a tree head that was never the log's
// costs a whole reading to find out; a wrong entry or tile is found on the way.
package fsck

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"indelible/merkle"
)

// Source is where a log is read from. Several goroutines call it at once.
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

// ahead is how many bundles are being fetched, or wait to be audited, at most.
const ahead = 8

// Check audits the tree of a size, which must have the root. A *Problem says
// what is wrong with the log; any other error, that it could not be read.
func Check(ctx context.Context, src Source, size int64, root merkle.Hash, progress Progress) (Report, error) {
	a := audit{src: src, size: size, progress: progress}
	if err := a.allParts(ctx); err != nil {
		return a.report, err
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

// part is a bundle's entries and, if they fill it, the tile of their hashes.
type part struct {
	entries [][]byte
	tile    []byte
}

// fetched is a part, or why there is none.
type fetched struct {
	part
	err error
}

// allParts audits the parts in order.
func (a *audit) allParts(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer cancel()
	for slot := range a.fetch(ctx, &fetching) {
		f := <-slot
		if f.err != nil {
			return f.err
		}
		if err := a.add(ctx, f.part); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// fetch fetches the parts, several at once. It returns, in order, the slots
// that they come into. With the one that the reader has taken out there are
// never more than ahead of them.
func (a *audit) fetch(ctx context.Context, fetching *sync.WaitGroup) <-chan chan fetched {
	slots := make(chan chan fetched, ahead-1)
	fetching.Go(func() {
		defer close(slots)
		for index := int64(0); index*merkle.TileWidth < a.size; index++ {
			slot := make(chan fetched, 1)
			select {
			case slots <- slot:
			case <-ctx.Done():
				return
			}
			fetching.Go(func() {
				p, err := a.part(ctx, index)
				slot <- fetched{p, err}
			})
		}
	})
	return slots
}

// part reads one part.
func (a *audit) part(ctx context.Context, index int64) (p part, err error) {
	start := index * merkle.TileWidth
	end := min(start+merkle.TileWidth, a.size)
	if p.entries, err = a.src.Entries(ctx, start, end); err != nil {
		return p, fmt.Errorf("entries %d to %d: %w", start, end-1, err)
	}
	if got := int64(len(p.entries)); got != end-start {
		return p, &Problem{fmt.Sprintf("entries %d to %d", start, end-1), fmt.Sprintf("there are %d", got)}
	}
	if end-start == merkle.TileWidth {
		p.tile, err = a.tile(ctx, merkle.Tile{Index: index, Width: merkle.TileWidth})
	}
	return p, err
}

func (a *audit) tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	data, err := a.src.Tile(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Path(), err)
	}
	return data, nil
}

// add hashes a bundle's entries, and compares the tiles that they complete.
func (a *audit) add(ctx context.Context, p part) error {
	leaves := make([]merkle.Hash, len(p.entries))
	for i, e := range p.entries {
		leaves[i] = merkle.LeafHash(e)
		a.report.Bytes += int64(len(e))
	}
	next, full := a.edge.Append(leaves)
	for _, t := range full {
		name := merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth}
		got := p.tile
		if t.Level > 0 {
			var err error
			if got, err = a.tile(ctx, name); err != nil {
				return err
			}
		}
		if err := a.compare(name, got, t.Hashes); err != nil {
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
		got, err := a.tile(ctx, t)
		if err != nil {
			return err
		}
		if err := a.compare(t, got, hashes); err != nil {
			return err
		}
	}
	return nil
}

// compare holds a tile against the hashes that the entries give.
func (a *audit) compare(t merkle.Tile, got []byte, want []merkle.Hash) error {
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
	at /= merkle.HashSize
	if t.Level == 0 {
		return &Problem{t.Path(), fmt.Sprintf("its hash %d is not that of entry %d", at, t.Index*merkle.TileWidth+int64(at))}
	}
	return &Problem{t.Path(), fmt.Sprintf("its hash %d is not that of the entries", at)}
}
