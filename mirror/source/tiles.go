package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/merkle"
)

// Config is what a log is read with.
type Config struct {
	// URLs are where the log is: one or several prefixes that serve the same.
	URLs []string
	// Origin is the log's name; that of the first of Client.Keys if it is empty.
	Origin string
	// Client says whom to trust and how to ask: Keys or Policy are required. Its URL
	// and Origin are not used.
	Client client.Config
}

// origin is the log's name.
func (cfg *Config) origin() string {
	if cfg.Origin == "" && len(cfg.Client.Keys) > 0 {
		return cfg.Client.Keys[0].Name()
	}
	return cfg.Origin
}

// NewTiles reads a log that serves C2SP tlog-tiles.
//
// No tile of level 0 is fetched for a full block: the entries give it, and the tile
// above, which is authenticated against the head, has its root.
func NewTiles(cfg Config) (Log, error) {
	return newTiles(cfg, layout{
		format: Tiles, checkpoint: "checkpoint", tile: merkle.Tile.Path,
		framing: framing{path: merkle.Bundle.Path, limit: maxBundle, parse: parseBundle},
	})
}

// layout is where a log has what, and how.
type layout struct {
	format     Format
	checkpoint string
	tile       func(merkle.Tile) string
	framing    framing
}

type tiles struct {
	layout
	origin string
	from   *prefixes
	tree   *tree
}

func newTiles(cfg Config, where layout) (*tiles, error) {
	cfg.Origin = cfg.origin()
	if cfg.Origin == "" {
		return nil, errors.New("the log's keys are required, or its origin and a policy")
	}
	cfg.Client.Origin, cfg.Client.Extended = cfg.Origin, true
	from, err := newPrefixes(cfg)
	if err != nil {
		return nil, err
	}
	return &tiles{layout: where, origin: cfg.Origin, from: from, tree: newTree(from, where)}, nil
}

func (l *tiles) Origin() string { return l.origin }

func (l *tiles) Format() Format { return l.format }

// Head fetches the checkpoints of all prefixes, of which one may be behind, and
// returns the largest.
func (l *tiles) Head(ctx context.Context) (newest Head, err error) {
	found := false
	for range l.from.clients {
		var head Head
		_, failed := l.from.fetch(ctx, "checkpoint", l.checkpoint, checkpoint.MaxNoteSize, -1, func(note []byte) (err error) {
			head, err = l.from.open(note, l.origin)
			return err
		})
		switch {
		case failed != nil:
			err = failed
		case !found || head.Size > newest.Size:
			newest, found = head, true
		}
	}
	if found {
		return newest, nil
	}
	return Head{}, err
}

// open verifies a checkpoint.
func (p *prefixes) open(note []byte, origin string) (Head, error) {
	o, err := p.clients[0].Open(note)
	if err != nil {
		return Head{}, err
	}
	if o.Origin != origin {
		return Head{}, fmt.Errorf("it is of the log %q, and not of %q", o.Origin, origin)
	}
	return Head{Size: o.Size, Root: o.Root, Note: note, Time: newestTime(o)}, nil
}

// newestTime is the newest time that a verified signature states.
func newestTime(o checkpoint.Opened) time.Time {
	var newest int64
	for _, v := range o.Verified {
		if at, ok := o.Timestamp(v); ok {
			newest = max(newest, at)
		}
	}
	if newest == 0 {
		return time.Time{}
	}
	return time.Unix(newest, 0).UTC()
}

func (l *tiles) Consistent(ctx context.Context, older, newer Head) ([]merkle.Hash, error) {
	return l.tree.consistent(ctx, older, newer)
}

func (l *tiles) Block(ctx context.Context, head Head, n int64) (Block, error) {
	return readBlock(ctx, l.tree, head, n, l.framing)
}

func parseBundle(data []byte, has, want int) (Block, error) {
	entries, err := merkle.ParseBundle(data, has)
	if err != nil {
		return Block{}, err
	}
	size := 0
	for _, e := range entries[:want] {
		size += 2 + len(e)
	}
	return Block{Data: data[:size:size], Entries: entries[:want]}, nil
}

// framing is how a log frames the entries of a block.
type framing struct {
	path  func(merkle.Bundle) string
	limit int64
	// parse makes Data and Entries from data, which must have exactly so many
	// entries, of which the first are wanted.
	parse func(data []byte, has, want int) (Block, error)
}

// readBlock fetches block n below a head.
func readBlock(ctx context.Context, t *tree, head Head, n int64, f framing) (Block, error) {
	start := n * BlockSize
	if n < 0 || start >= head.Size {
		return Block{}, fmt.Errorf("block %d is not in a tree of size %d", n, head.Size)
	}
	want := int(min(BlockSize, head.Size-start))
	get := func(width int) (block Block, err error) {
		b := merkle.Bundle{Index: n, Width: width}
		_, err = t.from.fetch(ctx, "bundle", f.path(b), f.limit, start, func(data []byte) error {
			var err error
			if block, err = f.parse(data, width, want); err != nil {
				return err
			}
			block.Start = start
			return t.checkBlock(ctx, head, n, &block)
		})
		return block, err
	}
	block, err := get(want)
	if want == BlockSize || !errors.Is(err, client.ErrNotFound) {
		return block, err
	}
	full, again := get(BlockSize) // a log may delete what is partial once it is full
	if errors.Is(again, client.ErrNotFound) {
		return full, err
	}
	return full, again
}

// checkBlock computes a block's leaf hashes, and holds them against the head.
func (t *tree) checkBlock(ctx context.Context, head Head, n int64, b *Block) error {
	b.Leaves = make([]merkle.Hash, len(b.Entries))
	for i, e := range b.Entries {
		b.Leaves[i] = merkle.LeafHash(e)
	}
	err := t.check(ctx, head, n, b.Leaves)
	if err == nil || errors.As(err, new(*wrongEntryError)) {
		return err
	}
	return &unchecked{err}
}
