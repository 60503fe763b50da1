package log

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/merkle"
	"indelible/storage"
)

// Record is a logged entry.
type Record struct {
	Index        int64
	LeafHash     merkle.Hash
	IntegratedAt time.Time
	Canonical    []byte // must not be modified
}

// Proof is an inclusion proof: the leaf's sibling first.
type Proof struct {
	Index, Size int64
	Root        merkle.Hash
	Hashes      []merkle.Hash
}

// ConsistencyProof proves that the tree of size From is a prefix of the tree of
// size To.
type ConsistencyProof struct {
	From, To         int64
	FromRoot, ToRoot merkle.Hash
	Hashes           []merkle.Hash
}

const (
	// MaxList is the most entries that one call of Entries returns.
	MaxList = 1000
	// MaxListBytes is the maximum number of bytes of them, if there is more than
	// one.
	MaxListBytes = 1 << 20
	// firstChunk is how many entries are read from the database before their size
	// is known, and listChunk is the maximum number afterwards.
	firstChunk = 16
	listChunk  = 256
)

// Entry returns the entry at an index.
func (l *Log) Entry(ctx context.Context, index int64) (Record, error) {
	v, err := l.reaching(ctx, index+1)
	if err != nil {
		return Record{}, err
	}
	return l.entry(ctx, v, index)
}

func (l *Log) entry(ctx context.Context, v *view, index int64) (Record, error) {
	if index < 0 || index >= v.Size {
		return Record{}, fmt.Errorf("%w: there is no entry %d; the log's size is %d", ErrNotFound, index, v.Size)
	}
	rows, err := l.read(ctx, index, index+1)
	if err != nil {
		return Record{}, err
	}
	if _, err := l.sound(ctx, v, rows); err != nil {
		return Record{}, err
	}
	return record(rows[0]), nil
}

// EntryWithProof returns an entry with its proof in the published tree.
func (l *Log) EntryWithProof(ctx context.Context, index int64) (Record, Proof, Published, error) {
	v, err := l.reaching(ctx, index+1)
	if err != nil {
		return Record{}, Proof{}, Published{}, err
	}
	return l.withProof(ctx, v, index)
}

func (l *Log) withProof(ctx context.Context, v *view, index int64) (Record, Proof, Published, error) {
	r, err := l.entry(ctx, v, index)
	if err != nil {
		return Record{}, Proof{}, Published{}, err
	}
	p, err := l.prove(ctx, v, index, v.Size)
	return r, p, v.Published, err
}

// read reads the entries [start, end) from the database. They are not checked.
func (l *Log) read(ctx context.Context, start, end int64) ([]storage.Entry, error) {
	rows, err := l.cfg.Store.Entries(ctx, l.cfg.Record.ID, start, end)
	if errors.Is(err, storage.ErrCorrupt) {
		return nil, l.corrupt(ctx, start, end, err)
	}
	if err != nil {
		return nil, l.readError(ctx, err)
	}
	return rows, nil
}

// Entries returns up to limit entries from start on, and the checkpoint whose
// size they stop at. There may be fewer, MaxListBytes at most: large ones come in
// several calls. A damaged entry ends the list; where it is the first, it is
// ErrDamaged.
func (l *Log) Entries(ctx context.Context, start, limit int64) ([]Record, Published, error) {
	v, err := l.current()
	if err != nil {
		return nil, Published{}, err
	}
	if start < 0 || start > v.Size {
		return nil, Published{}, fmt.Errorf("%w: start is %d; the log's size is %d", ErrOutOfRange, start, v.Size)
	}
	if limit < 1 || limit > MaxList {
		return nil, Published{}, fmt.Errorf("%w: limit is %d; it must be 1 to %d", ErrOutOfRange, limit, MaxList)
	}
	records, err := l.list(ctx, v, start, min(v.Size, start+limit))
	if err != nil && len(records) == 0 {
		return nil, Published{}, err
	}
	return records, v.Published, nil
}

// list reads entries until they have MaxListBytes, and returns those before the
// first that it cannot return.
func (l *Log) list(ctx context.Context, v *view, start, end int64) ([]Record, error) {
	var records []Record
	chunk, room := int64(firstChunk), MaxListBytes
	for start < end {
		rows, err := l.read(ctx, start, min(end, start+chunk))
		if err != nil {
			return records, err
		}
		sound, err := l.sound(ctx, v, rows)
		for _, row := range rows[:sound] {
			if room -= len(row.Body); room < 0 && len(records) > 0 {
				return records, nil
			}
			records = append(records, record(row))
		}
		if err != nil {
			return records, err
		}
		start += int64(len(rows))
		each := (MaxListBytes-room)/len(records) + 1
		chunk = min(listChunk, int64(max(0, room)/each)+1)
	}
	return records, nil
}

// Lookup returns the entry that has a leaf hash.
func (l *Log) Lookup(ctx context.Context, leaf merkle.Hash) (Record, error) {
	r, _, err := l.find(ctx, leaf)
	return r, err
}

// LookupWithProof is Lookup with the entry's proof in the published tree.
func (l *Log) LookupWithProof(ctx context.Context, leaf merkle.Hash) (Record, Proof, Published, error) {
	r, v, err := l.find(ctx, leaf)
	if err != nil {
		return Record{}, Proof{}, Published{}, err
	}
	p, err := l.prove(ctx, v, r.Index, v.Size)
	return r, p, v.Published, err
}

// find returns the published entry of a leaf hash, and a view that it is in.
func (l *Log) find(ctx context.Context, leaf merkle.Hash) (Record, *view, error) {
	v, err := l.current()
	if err != nil {
		return Record{}, nil, err
	}
	e, err := l.cfg.Store.EntryByLeaf(ctx, l.cfg.Record.ID, leaf)
	if err == nil {
		v, err = l.reaching(ctx, e.Index+1)
	}
	if errors.Is(err, storage.ErrNotFound) || err == nil && e.Index >= v.Size {
		return Record{}, nil, fmt.Errorf("%w: no entry of the first %d has leaf hash %x", ErrNotFound, v.Size, leaf)
	}
	if err != nil {
		return Record{}, nil, l.readError(ctx, err)
	}
	if _, err := l.sound(ctx, v, []storage.Entry{e}); err != nil {
		return Record{}, nil, err
	}
	return record(e), v, nil
}

// InclusionProof proves that the entry at index is in the tree of a size;
// size 0 means the published one.
func (l *Log) InclusionProof(ctx context.Context, index, size int64) (Proof, error) {
	v, err := l.reaching(ctx, max(size, index+1))
	if err != nil {
		return Proof{}, err
	}
	if size == 0 {
		size = v.Size
	}
	if size < 0 || size > v.Size {
		return Proof{}, fmt.Errorf("%w: tree size %d; the published one is %d", ErrOutOfRange, size, v.Size)
	}
	if index < 0 || index >= size {
		return Proof{}, fmt.Errorf("%w: index %d is not in a tree of size %d", ErrOutOfRange, index, size)
	}
	return l.prove(ctx, v, index, size)
}

// ConsistencyProof proves that the tree of size from is a prefix of that of
// size to; to 0 means the published one.
func (l *Log) ConsistencyProof(ctx context.Context, from, to int64) (ConsistencyProof, error) {
	v, err := l.reaching(ctx, max(from, to))
	if err != nil {
		return ConsistencyProof{}, err
	}
	if to == 0 {
		to = v.Size
	}
	if from < 0 || from > to || to > v.Size {
		return ConsistencyProof{}, fmt.Errorf("%w: from %d to %d; it must be 0 ≤ from ≤ to ≤ %d, the published size", ErrOutOfRange, from, to, v.Size)
	}
	c := ConsistencyProof{From: from, To: to}
	plan, err := merkle.PlanConsistency(from, to)
	if err != nil {
		return c, err
	}
	if c.Hashes, err = l.compute(ctx, v, plan); err != nil {
		return c, err
	}
	if c.FromRoot, err = l.rootAt(ctx, v, from); err != nil {
		return c, err
	}
	c.ToRoot, err = l.rootAt(ctx, v, to)
	return c, err
}

func (l *Log) prove(ctx context.Context, v *view, index, size int64) (Proof, error) {
	plan, err := merkle.PlanInclusion(index, size)
	if err != nil {
		return Proof{}, err
	}
	hashes, err := l.compute(ctx, v, plan)
	if err != nil {
		return Proof{}, err
	}
	root, err := l.rootAt(ctx, v, size)
	return Proof{Index: index, Size: size, Root: root, Hashes: hashes}, err
}

func (l *Log) rootAt(ctx context.Context, v *view, size int64) (merkle.Hash, error) {
	if size == v.Size {
		return v.Root, nil
	}
	plan, err := merkle.PlanRange(size)
	if err != nil {
		return merkle.Hash{}, err
	}
	rng, err := l.compute(ctx, v, plan)
	if err != nil {
		return merkle.Hash{}, err
	}
	return merkle.RangeRoot(size, rng)
}

func (l *Log) compute(ctx context.Context, v *view, plan merkle.Plan) ([]merkle.Hash, error) {
	return plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) { return l.nodes(ctx, v, t) })
}

// tileKey names a full tile in the cache.
type tileKey struct {
	level int
	index int64
}

// nodes returns a tile of the view's tree, or a wider one: the view's own
// partial tile, or the full one from memory or the database.
func (l *Log) nodes(ctx context.Context, v *view, t merkle.Tile) (*merkle.Nodes, error) {
	if n, ok, err := v.partial(t); ok {
		return n, err
	}
	return l.cache.Get(ctx, tileKey{t.Level, t.Index}, func(ctx context.Context) (*merkle.Nodes, error) {
		return l.load(ctx, v, t.Level, t.Index)
	})
}

// remember keeps tiles that were just completed: the next proofs need them.
func (l *Log) remember(full []merkle.FullTile) {
	for _, t := range full {
		if n, err := merkle.Expand(t.Hashes); err == nil {
			l.cache.Add(tileKey{t.Level, t.Index}, n)
		}
	}
}

// Tile returns the bytes of a full or partial tile of the published tree.
func (l *Log) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	v, err := l.current()
	if err != nil {
		return nil, err
	}
	there := min(merkle.TileWidth, width(t.Level, t.Index, v.Size))
	if t.Width < 1 || int64(t.Width) > there {
		return nil, fmt.Errorf("%w: %s; the log's size is %d", ErrNotFound, t.Path(), v.Size)
	}
	n, err := l.nodes(ctx, v, t)
	if err != nil {
		return nil, err
	}
	return n.Encode(t.Width), nil
}

// width is how many hashes of the tile (level, index) a tree of a size has.
func width(level int, index, size int64) int64 {
	return max(0, merkle.HashesAt(level, size)-index*merkle.TileWidth)
}

// Bundle returns the bytes of a full or partial entry bundle.
func (l *Log) Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error) {
	v, err := l.current()
	if err != nil {
		return nil, err
	}
	if b.Width < 1 || int64(b.Width) > min(merkle.TileWidth, width(0, b.Index, v.Size)) {
		return nil, fmt.Errorf("%w: %s; the log's size is %d", ErrNotFound, b.Path(), v.Size)
	}
	kept, wrong, err := l.bundleFromFile(ctx, v, b)
	if kept != nil || err != nil {
		return kept, err
	}
	start := b.Index * merkle.TileWidth
	rows, err := l.read(ctx, start, start+int64(b.Width))
	if err != nil {
		return nil, err
	}
	if _, err := l.sound(ctx, v, rows); err != nil {
		return nil, err
	}
	data, err := bundle(rows)
	if wrong && err == nil {
		l.mend(b.Path(), data)
	}
	return data, err
}

// bundle joins entries.
func bundle(rows []storage.Entry) ([]byte, error) {
	size := 0
	for i := range rows {
		size += 2 + len(rows[i].Body)
	}
	data, err := make([]byte, 0, size), error(nil)
	for i := range rows {
		if data, err = merkle.AppendBundleEntry(data, rows[i].Body); err != nil {
			return nil, fmt.Errorf("entry %d: %w", rows[i].Index, err)
		}
	}
	return data, nil
}

// readError says that the database failed a reader: what is published must be
// there, so a row that is not is no ErrNotFound.
func (l *Log) readError(ctx context.Context, err error) error {
	if ctx.Err() != nil { // engines say it each in their own words
		return ctx.Err()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrUnavailable, err)
}

func record(e storage.Entry) Record {
	return Record{Index: e.Index, LeafHash: e.LeafHash, IntegratedAt: time.UnixMilli(e.IntegratedAt).UTC(), Canonical: e.Body}
}
