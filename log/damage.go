package log

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"indelible/merkle"
	"indelible/storage"
)

// ErrDamaged: the database does not return what was logged. It is never served.
var ErrDamaged = errors.New("the database holds damaged data")

// maxFindings is how many damaged parts a log remembers. A database with more
// than that is damaged as a whole.
const maxFindings = 256

// entryLevel is the level of a part that is an entry.
const entryLevel = -1

// part is what can be damaged: an entry, or a hash tile.
type part struct {
	level int // of a tile; entryLevel: it is an entry
	index int64
}

func (p part) String() string {
	switch p.level {
	case entryLevel:
		return fmt.Sprintf("entry %d", p.index)
	case edgeLevel:
		return "the tree's right edge"
	}
	return merkle.Tile{Level: p.level, Index: p.index, Width: merkle.TileWidth}.Path()
}

// damagedf makes an error of a damaged part, and remembers it.
func (l *Log) damagedf(p part, format string, args ...any) error {
	err := fmt.Errorf("%w: %s is not served: %s; restore it from a backup or a mirror",
		ErrDamaged, p, fmt.Sprintf(format, args...))
	if parts, added := l.note(p, err); added {
		l.cfg.Events.damaged(parts, err)
	}
	return err
}

// note remembers a damaged part, and reports how many there are and whether it is
// a new one.
func (l *Log) note(p part, err error) (parts int, added bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.findings[p]; known || len(l.findings) >= maxFindings {
		return len(l.findings), false
	}
	if l.findings == nil {
		l.findings = make(map[part]error)
	}
	l.findings[p] = err
	return len(l.findings), true
}

// healed forgets a part that was damaged, and is sound now.
func (l *Log) healed(p part) {
	l.mu.Lock()
	_, known := l.findings[p]
	delete(l.findings, p)
	parts := len(l.findings)
	l.mu.Unlock()
	if known {
		l.cfg.Events.damaged(parts, nil)
	}
}

// found are the damaged parts, in order.
func (l *Log) found() []part {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []part
	for p := range l.findings {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b part) int {
		if a.level != b.level {
			return a.level - b.level
		}
		return int(min(1, max(-1, a.index-b.index)))
	})
	return all
}

// Damaged says which parts of the log the database does not return as they were
// logged, each in a sentence; nil if none was found. The log serves all others,
// and takes entries.
func (l *Log) Damaged() []string {
	var all []string
	for _, p := range l.found() {
		l.mu.Lock()
		err := l.findings[p]
		l.mu.Unlock()
		if err != nil {
			all = append(all, err.Error())
		}
	}
	return all
}

// Check returns ErrDamaged if a published entry, as it was read from the
// database, is not the one that was logged: its bytes must hash to its leaf
// hash, and that must be the one in the published tree.
func (l *Log) Check(ctx context.Context, entries []storage.Entry) error {
	v, err := l.current()
	if err != nil {
		return err
	}
	_, err = l.sound(ctx, v, entries)
	return err
}

// sound checks entries of a view, and returns how many of them are sound: those
// before the first that is not.
func (l *Log) sound(ctx context.Context, v *view, entries []storage.Entry) (int, error) {
	tile, at := (*merkle.Nodes)(nil), int64(-1)
	for i := range entries {
		e := &entries[i]
		within := int(e.Index % merkle.TileWidth)
		if tile == nil || at != e.Index/merkle.TileWidth || within >= tile.Width() {
			var err error
			at = e.Index / merkle.TileWidth
			if tile, err = l.leaves(ctx, v, at, within+1); err != nil {
				return i, err
			}
		}
		want, _ := tile.At(0, within)
		if err := l.match(e, want); err != nil {
			return i, err
		}
	}
	return len(entries), nil
}

// match compares an entry with its leaf hash, and that with the tree's.
func (l *Log) match(e *storage.Entry, want merkle.Hash) error {
	at := part{entryLevel, e.Index}
	if leaf := merkle.LeafHash(e.Body); leaf != e.LeafHash {
		return l.damagedf(at, "its bytes hash to %x, and its leaf hash is %x", leaf, e.LeafHash)
	}
	if e.LeafHash != want {
		return l.damagedf(at, "it has leaf hash %x, and the tree has %x there", e.LeafHash, want)
	}
	return nil
}

// leaves is the tile of level 0 of a view's tree that has the leaf hashes of some
// entries, or more.
func (l *Log) leaves(ctx context.Context, v *view, index int64, width int) (*merkle.Nodes, error) {
	t := merkle.Tile{Index: index, Width: width}
	n, err := l.nodes(ctx, v, t)
	if err == nil && n.Width() < width {
		err = fmt.Errorf("%s has %d hashes, and not %d", t.Path(), n.Width(), width)
	}
	return n, err
}

// leaf is the leaf hash of an entry in a view's tree.
func (l *Log) leaf(ctx context.Context, v *view, index int64) (merkle.Hash, error) {
	within := int(index % merkle.TileWidth)
	n, err := l.leaves(ctx, v, index/merkle.TileWidth, within+1)
	if err != nil {
		return merkle.Hash{}, err
	}
	h, _ := n.At(0, within)
	return h, nil
}

// load reads a full tile of a view's tree: from a file if there is one, else from the
// database.
func (l *Log) load(ctx context.Context, v *view, level int, index int64) (*merkle.Nodes, error) {
	n, wrong, err := l.tileFromFile(ctx, v, level, index)
	if n != nil || err != nil {
		return n, err
	}
	n, err = l.loadRow(ctx, v, level, index)
	if wrong && err == nil {
		l.mend(merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}.Path(), n.Encode(merkle.TileWidth))
	}
	return n, err
}

// loadRow reads a full tile of a view's tree from the database, and checks it
// against the hash that its parent has of it. The parents are checked in the same
// way, up to the view's edge, whose root is signed.
func (l *Log) loadRow(ctx context.Context, v *view, level int, index int64) (*merkle.Nodes, error) {
	at, full := part{level, index}, merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}
	n, err := loadNodes(ctx, l.rows(), full)
	if errors.Is(err, storage.ErrCorrupt) {
		return nil, l.damagedf(at, "%v", err)
	}
	if err != nil {
		return nil, l.readError(ctx, err)
	}
	got, _ := n.At(merkle.TileHeight, 0)
	want, err := l.root(ctx, v, level, index)
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, l.damagedf(at, "its hashes lead to %x, and its parent has %x", got, want)
	}
	return n, nil
}

// root is the root of a full tile, as its parent in a view's tree has it.
func (l *Log) root(ctx context.Context, v *view, level int, index int64) (merkle.Hash, error) {
	within := int(index % merkle.TileWidth)
	t := merkle.Tile{Level: level + 1, Index: index / merkle.TileWidth, Width: within + 1}
	parent, err := l.nodes(ctx, v, t)
	if err != nil {
		return merkle.Hash{}, err
	}
	want, ok := parent.At(0, within)
	if !ok {
		return want, fmt.Errorf("%s has %d hashes, and not %d", t.Path(), parent.Width(), t.Width)
	}
	return want, nil
}

// corrupt says which of the entries [start, end) is damaged, after reading them
// together found that one is missing or invalid.
func (l *Log) corrupt(ctx context.Context, start, end int64, err error) error {
	for i := start; i < end; i++ {
		_, one := l.cfg.Store.Entries(ctx, l.cfg.Record.ID, i, i+1)
		switch {
		case errors.Is(one, storage.ErrCorrupt) || errors.Is(one, storage.ErrNotFound):
			return l.damagedf(part{entryLevel, i}, "%v", one)
		case one != nil:
			return l.readError(ctx, one)
		}
	}
	return l.readError(ctx, err)
}
