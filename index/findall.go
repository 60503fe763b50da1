package index

import (
	"context"
	"fmt"
	"slices"
	"time"

	"indelible/entry"
	"indelible/internal/wait"
	"indelible/merkle"
	"indelible/storage"
)

const (
	// MaxAll is the most entries that FindAll finds.
	MaxAll = 10_000
	// MaxAllBytes is the most bytes of entries that it reads.
	MaxAllBytes = 64 << 20
	// pageRows is how many rows it reads at once.
	pageRows = 1024
	// fewRows is how many entries are read without looking first which of them
	// other clauses leave out.
	fewRows = 256
)

// ErrTooMany: more entries answer than FindAll finds.
var ErrTooMany = fmt.Errorf("more than %d entries answer, or they have more than %d MiB", MaxAll, MaxAllBytes>>20)

// Query asks for entries by several things at once.
type Query struct {
	Clauses []Clause
	All     bool // an entry must answer to all clauses, and not to any
}

// Clause asks for entries that have one of its keys.
type Clause []entry.IndexKey

// Leaf is an entry that FindAll found.
type Leaf struct {
	Index int64
	Hash  merkle.Hash
}

// Leaves are all entries that answer to a query.
type Leaves struct {
	Leaves []Leaf // by index
	Size   int64  // every entry below it was searched; -1: nothing was asked for
}

// FindAll returns all entries that answer to a query, or ErrTooMany. It counts
// rows before it reads an entry, reads no entry twice, and rests longer than it
// works. Few such searches are under way at the same time: ErrBusy.
func (x *Index) FindAll(ctx context.Context, q Query) (Leaves, error) {
	published, err := x.cfg.Log.Published()
	if err != nil {
		return Leaves{}, err
	}
	leave, err := x.wide.take(ctx)
	if err != nil {
		return Leaves{}, err
	}
	defer leave()
	s := &sifting{x: x, query: q, published: published.Size, size: -1}
	candidates, err := s.candidates(ctx)
	if err != nil {
		return Leaves{}, err
	}
	leaves, err := s.sift(ctx, candidates)
	return Leaves{leaves, s.size}, err
}

// sifting is a FindAll at work.
type sifting struct {
	x         *Index
	query     Query
	published int64
	size      int64         // every page read was complete up to here; -1: none was read
	rest      time.Duration // before the next step
}

// step reads something in its turn, after a rest.
func (s *sifting) step(ctx context.Context, read func() error) error {
	wait.For(ctx, s.rest)
	leave, err := s.x.steps.take(ctx)
	if err != nil {
		return err
	}
	defer leave()
	begin := time.Now()
	err = read()
	s.rest = min(restFactor*time.Since(begin), longestRest)
	if err != nil {
		return readError(ctx, err)
	}
	return nil
}

// candidates are the entries that answer to the query if the hashes of the rows
// are those of its keys.
func (s *sifting) candidates(ctx context.Context) ([]int64, error) {
	walks := make([]*walk, len(s.query.Clauses))
	for i, c := range s.query.Clauses {
		walks[i] = &walk{keys: c, after: -1}
	}
	if s.query.All {
		return s.inAll(ctx, walks)
	}
	return s.inAny(ctx, walks)
}

// walk is the way through the rows of a clause.
type walk struct {
	keys  Clause // that are left; the first is under way
	after int64
	rows  []int64
}

func (w *walk) done() bool    { return len(w.keys) == 0 }
func (w *walk) tooMany() bool { return len(w.rows) > MaxAll }

// has reports whether there is a row of an entry, once the rows are sorted.
func (w *walk) has(index int64) bool {
	_, ok := slices.BinarySearch(w.rows, index)
	return ok
}

// next reads the next rows of a clause.
func (s *sifting) next(ctx context.Context, w *walk) error {
	return s.step(ctx, func() error {
		p, err := s.x.page(ctx, w.keys[0], w.after, pageRows, s.published)
		if err != nil {
			return err
		}
		if s.size < 0 || p.size < s.size {
			s.size = p.size
		}
		w.rows = append(w.rows, p.indexes...)
		if w.after = p.last; !p.more {
			w.keys, w.after = w.keys[1:], -1
		}
		return nil
	})
}

// finish reads the rows of a clause until there are too many. It leaves them
// sorted.
func (s *sifting) finish(ctx context.Context, w *walk) error {
	for !w.done() && !w.tooMany() {
		if err := s.next(ctx, w); err != nil {
			return err
		}
	}
	slices.Sort(w.rows)
	w.rows = slices.Compact(w.rows)
	return nil
}

func (s *sifting) inAny(ctx context.Context, walks []*walk) ([]int64, error) {
	var union walk
	for _, w := range walks {
		if err := s.finish(ctx, w); err != nil {
			return nil, err
		}
		union.rows = append(union.rows, w.rows...)
		slices.Sort(union.rows)
		union.rows = slices.Compact(union.rows)
		if w.tooMany() || union.tooMany() {
			return nil, ErrTooMany
		}
	}
	return union.rows, nil
}

// inAll goes through all clauses side by side, up to the end of the rarest.
func (s *sifting) inAll(ctx context.Context, walks []*walk) ([]int64, error) {
	for open := len(walks) > 0; open; {
		open = false
		for _, w := range walks {
			if !w.done() && !w.tooMany() {
				if err := s.next(ctx, w); err != nil {
					return nil, err
				}
			}
			if w.done() && !w.tooMany() {
				return s.narrow(ctx, w, walks)
			}
			open = open || !w.tooMany()
		}
	}
	if len(walks) == 0 {
		return nil, nil
	}
	return nil, ErrTooMany
}

// narrow leaves the rows of a clause out that other clauses do not have, as far
// as it is cheaper to see that in the index than in the entries.
func (s *sifting) narrow(ctx context.Context, rarest *walk, walks []*walk) ([]int64, error) {
	if err := s.finish(ctx, rarest); err != nil {
		return nil, err
	}
	rows := rarest.rows
	for _, w := range walks {
		if w == rarest || len(rows) <= fewRows {
			continue
		}
		if err := s.finish(ctx, w); err != nil {
			return nil, err
		}
		if !w.tooMany() {
			rows = slices.DeleteFunc(rows, func(index int64) bool { return !w.has(index) })
		}
	}
	return rows, nil
}

// sift reads the candidates, and keeps those that answer.
func (s *sifting) sift(ctx context.Context, candidates []int64) ([]Leaf, error) {
	var leaves []Leaf
	room := MaxAllBytes
	for some := range slices.Chunk(candidates, readHits) {
		err := s.step(ctx, func() error {
			return s.x.entries(ctx, some, func(e *storage.Entry) bool {
				if room -= len(e.Body); room >= 0 && s.query.answeredBy(e.Body) {
					leaves = append(leaves, Leaf{e.Index, e.LeafHash})
				}
				return room >= 0
			})
		})
		if err != nil {
			return nil, err
		}
		if room < 0 {
			return nil, ErrTooMany
		}
	}
	return leaves, nil
}

// answeredBy reports whether an entry answers.
func (q Query) answeredBy(canonical []byte) bool {
	keys, err := entry.IndexKeys(canonical)
	if err != nil {
		return false
	}
	lacks := func(c Clause) bool {
		return !slices.ContainsFunc(c, func(k entry.IndexKey) bool { return slices.Contains(keys, k) })
	}
	if q.All {
		return !slices.ContainsFunc(q.Clauses, lacks)
	}
	return slices.ContainsFunc(q.Clauses, func(c Clause) bool { return !lacks(c) })
}
