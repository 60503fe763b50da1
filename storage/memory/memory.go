// Package memory is a storage engine for tests: the contract of package
// storage, kept to the letter, in memory.
//
// What an append writes is checked against the contract before it is taken:
// consecutive indexes, full tiles, times that do not go back. A violation is
// ErrCorrupt and names what it is, and a transaction that failed in any way does
// not commit.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"indelible/storage"
)

// Store is a database in memory.
type Store struct {
	mu      sync.Mutex
	logs    []*log
	indexes int64 // ids given to search indexes
	most    int   // bytes of the bodies of one append; 0: any number
}

var _ storage.Store = (*Store)(nil)

// log is one log's rows. lock is the row lock of its tree head.
type log struct {
	record    storage.Log
	lock      chan struct{} // holds one token while the row is free
	head      storage.Head
	entries   []storage.Entry
	leaves    map[storage.Hash]int64
	tiles     map[tileKey][]byte
	edges     map[int]storage.Edge
	published storage.Published
	history   []storage.Published
	leases    map[string]lease
	facts     map[string]string
	index     storage.IndexState
	found     map[int64][]int64 // by key: the entries that have it, ascending
}

type tileKey struct {
	level int
	index int64
}

type lease struct {
	holder string
	epoch  int64
	until  time.Time
}

// New makes an empty database.
func New() *Store { return &Store{} }

// Limit has the database refuse every append whose bodies have more bytes
// together, with storage.ErrRefused; 0: none.
func (s *Store) Limit(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = bytes
}

// Remember keeps a log's entries, tiles and head, and returns a function that
// brings them back: as when a database crashes before commits that others had
// seen were durable.
func (s *Store) Remember(logID int64) (crash func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[logID-1]
	was := *l
	was.head = copyHead(l.head)
	was.leaves, was.tiles, was.edges = maps.Clone(l.leaves), maps.Clone(l.tiles), maps.Clone(l.edges)
	was.entries = slices.Clone(l.entries)
	return func() {
		<-l.lock // no append is at work
		defer func() { l.lock <- struct{}{} }()
		s.mu.Lock()
		defer s.mu.Unlock()
		l.head, l.entries, l.leaves, l.tiles, l.edges = was.head, was.entries, was.leaves, was.tiles, was.edges
	}
}

func (s *Store) CreateLog(_ context.Context, l storage.Log, empty storage.Head) (storage.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.logs {
		if have.record.Origin == l.Origin {
			return storage.Log{}, fmt.Errorf("log %q: %w", l.Origin, storage.ErrExists)
		}
	}
	l.ID = int64(len(s.logs)) + 1
	l.Keys = slices.Clone(l.Keys)
	n := &log{
		record: l, head: empty, lock: make(chan struct{}, 1),
		leaves: map[storage.Hash]int64{}, tiles: map[tileKey][]byte{}, edges: map[int]storage.Edge{}, leases: map[string]lease{},
		facts: map[string]string{},
	}
	n.lock <- struct{}{}
	s.logs = append(s.logs, n)
	return copyLog(l), nil
}

func copyLog(l storage.Log) storage.Log {
	l.Keys = slices.Clone(l.Keys)
	return l
}

func (s *Store) FindLog(_ context.Context, origin string) (storage.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logs {
		if l.record.Origin == origin {
			return copyLog(l.record), nil
		}
	}
	return storage.Log{}, fmt.Errorf("log %q: %w", origin, storage.ErrNotFound)
}

func (s *Store) Logs(context.Context) ([]storage.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []storage.Log
	for _, l := range s.logs {
		all = append(all, copyLog(l.record))
	}
	return all, nil
}

// with runs f on one log's rows, with the database locked.
func (s *Store) with(ctx context.Context, logID int64, f func(*log) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if logID < 1 || logID > int64(len(s.logs)) {
		return fmt.Errorf("log %d: %w", logID, storage.ErrNotFound)
	}
	return f(s.logs[logID-1])
}

func (s *Store) Poison(ctx context.Context, logID int64, reason string) error {
	return s.with(ctx, logID, func(l *log) error {
		if l.record.Poisoned == "" {
			l.record.Poisoned = reason
		}
		return nil
	})
}

func (s *Store) ClearPoison(ctx context.Context, logID int64) error {
	return s.with(ctx, logID, func(l *log) error {
		l.record.Poisoned = ""
		return nil
	})
}

func (s *Store) AddKey(ctx context.Context, logID int64, vkey string) error {
	return s.with(ctx, logID, func(l *log) error {
		if !slices.Contains(l.record.Keys, vkey) {
			l.record.Keys = append(l.record.Keys, vkey)
		}
		return nil
	})
}

func (s *Store) ReplaceRegister(ctx context.Context, logID int64, was, id string, at storage.Head) error {
	tx, err := s.BeginAppend(ctx, logID)
	if err != nil {
		return err
	}
	defer tx.Rollback() // the head's lock
	return s.with(ctx, logID, func(l *log) error {
		if l.head.Size != at.Size || l.head.Root != at.Root {
			return fmt.Errorf("log %d went on from size %d to %d: %w", logID, at.Size, l.head.Size, storage.ErrConflict)
		}
		if l.record.Register != was {
			return fmt.Errorf("log %d no longer has register %s: %w", logID, was, storage.ErrConflict)
		}
		l.record.Register = id
		return nil
	})
}

func (s *Store) Head(ctx context.Context, logID int64) (h storage.Head, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		h = l.readHead()
		return nil
	})
	return h, err
}

func (l *log) readHead() storage.Head {
	h := copyHead(l.head)
	h.Register = l.record.Register
	return h
}

func copyHead(h storage.Head) storage.Head {
	h.Range = slices.Clone(h.Range)
	return h
}

func (s *Store) LockedHead(ctx context.Context, logID int64) (storage.Head, error) {
	tx, err := s.BeginAppend(ctx, logID)
	if err != nil {
		return storage.Head{}, err
	}
	return tx.Head(), tx.Rollback()
}

func (s *Store) DurableHead(ctx context.Context, logID int64) (storage.Head, error) {
	return s.Head(ctx, logID)
}

func (s *Store) Entries(ctx context.Context, logID, start, end int64) (out []storage.Entry, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		out, err = l.rows(start, end)
		return err
	})
	return out, err
}

func (l *log) rows(start, end int64) ([]storage.Entry, error) {
	if start < 0 || start > end {
		return nil, fmt.Errorf("entries [%d, %d): not a range", start, end)
	}
	if end > int64(len(l.entries)) {
		return nil, fmt.Errorf("entries [%d, %d) of %d: %w", start, end, len(l.entries), storage.ErrNotFound)
	}
	out := slices.Clone(l.entries[start:end])
	for i := range out {
		out[i].Body = bytes.Clone(out[i].Body)
	}
	return out, nil
}

func (s *Store) EntriesAt(ctx context.Context, logID int64, indexes []int64) (out []storage.Entry, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		for _, index := range indexes {
			row, err := l.rows(index, index+1)
			if err != nil {
				return err
			}
			out = append(out, row...)
		}
		return nil
	})
	return out, err
}

func (s *Store) LeafHashes(ctx context.Context, logID, start, end int64) (out []storage.Hash, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		out, err = l.leafHashes(start, end)
		return err
	})
	return out, err
}

func (l *log) leafHashes(start, end int64) ([]storage.Hash, error) {
	rows, err := l.rows(start, end)
	if err != nil {
		return nil, err
	}
	hashes := make([]storage.Hash, len(rows))
	for i, r := range rows {
		hashes[i] = r.LeafHash
	}
	return hashes, nil
}

func (s *Store) FindLeaves(ctx context.Context, logID int64, hashes []storage.Hash) (out []storage.Leaf, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		out = l.findLeaves(hashes)
		return nil
	})
	return out, err
}

func (s *Store) EntryByLeaf(ctx context.Context, logID int64, hash storage.Hash) (e storage.Entry, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		i, ok := l.leaves[hash]
		if !ok {
			return fmt.Errorf("leaf hash %x: %w", hash, storage.ErrNotFound)
		}
		e = l.entries[i]
		e.Body = bytes.Clone(e.Body)
		return nil
	})
	return e, err
}

func (l *log) findLeaves(hashes []storage.Hash) []storage.Leaf {
	var out []storage.Leaf
	seen := make(map[storage.Hash]bool, len(hashes))
	for _, h := range hashes {
		if i, ok := l.leaves[h]; ok && !seen[h] {
			seen[h] = true
			out = append(out, storage.Leaf{Hash: h, Index: i, IntegratedAt: l.entries[i].IntegratedAt})
		}
	}
	return out
}

func (s *Store) Tile(ctx context.Context, logID int64, level int, index int64) (out []byte, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		out, err = l.tile(level, index)
		return err
	})
	return out, err
}

func (l *log) tile(level int, index int64) ([]byte, error) {
	t, ok := l.tiles[tileKey{level, index}]
	if !ok {
		return nil, fmt.Errorf("tile %d of level %d: %w", index, level, storage.ErrNotFound)
	}
	return bytes.Clone(t), nil
}

func (s *Store) Edge(ctx context.Context, logID int64, level int) (out storage.Edge, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		out, err = l.edge(level)
		return err
	})
	return out, err
}

func (l *log) edge(level int) (storage.Edge, error) {
	e, ok := l.edges[level]
	if !ok {
		return storage.Edge{}, fmt.Errorf("edge of level %d: %w", level, storage.ErrNotFound)
	}
	e.Hashes = bytes.Clone(e.Hashes)
	return e, nil
}

func (s *Store) Published(ctx context.Context, logID int64) (out storage.Published, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		out = l.published
		out.Note = bytes.Clone(out.Note)
		return nil
	})
	return out, err
}

func (s *Store) Publish(ctx context.Context, logID int64, p storage.Published) (version int64, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		if p.Version != l.published.Version || p.Size < l.published.Size || p.Version > 0 && p.Size == l.published.Size && p.Root != l.published.Root {
			return fmt.Errorf("publish size %d over version %d; it is version %d of size %d: %w",
				p.Size, p.Version, l.published.Version, l.published.Size, storage.ErrConflict)
		}
		keep := p.Keep
		version = p.Version + 1
		p.Version, p.Note, p.Keep = version, bytes.Clone(p.Note), false
		l.published = p
		if !keep {
			return nil
		}
		p.Version = 0
		if n := len(l.history); n > 0 && l.history[n-1].Size == p.Size {
			l.history = l.history[:n-1]
		}
		l.history = append(l.history, p)
		return nil
	})
	return version, err
}

func (s *Store) PublishedHistory(ctx context.Context, logID, from int64, limit int) (out []storage.Published, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		for _, p := range l.history {
			if p.Size >= from && len(out) < limit {
				p.Note = bytes.Clone(p.Note)
				out = append(out, p)
			}
		}
		return nil
	})
	return out, err
}

func (s *Store) Lease(ctx context.Context, logID int64, name, holder string, ttl time.Duration) (out storage.Lease, err error) {
	err = s.with(ctx, logID, func(l *log) error {
		now := time.Now()
		have := l.leases[name]
		switch {
		case have.holder == holder:
			have.until = now.Add(ttl)
		case now.After(have.until) || have.holder == "":
			have = lease{holder: holder, epoch: have.epoch + 1, until: now.Add(ttl)}
		}
		l.leases[name] = have
		out = storage.Lease{Held: have.holder == holder, Holder: have.holder, Epoch: have.epoch, Left: have.until.Sub(now)}
		return nil
	})
	return out, err
}

func (s *Store) Unlease(ctx context.Context, logID int64, name, holder string) error {
	return s.with(ctx, logID, func(l *log) error {
		if have := l.leases[name]; have.holder == holder {
			have.holder = ""
			l.leases[name] = have
		}
		return nil
	})
}

func (s *Store) Warnings(context.Context) ([]string, error) {
	return []string{"nothing outlives the process: this database is in memory"}, nil
}

func (s *Store) Ping(context.Context) error { return nil }
func (s *Store) Close() error               { return nil }

// appender is an append transaction. It holds the row lock until it ends.
type appender struct {
	s      *Store
	l      *log
	head   storage.Head
	write  *storage.Append
	failed error // the first error; "not found" does not count
	ended  bool
}

func (s *Store) BeginAppend(ctx context.Context, logID int64) (storage.Appender, error) {
	var l *log
	if err := s.with(ctx, logID, func(found *log) error { l = found; return nil }); err != nil {
		return nil, err
	}
	select {
	case <-l.lock:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &appender{s: s, l: l, head: l.readHead()}, nil
}

func (a *appender) Head() storage.Head { return copyHead(a.head) }

// within runs f on the log's rows as the transaction sees them before its
// write.
func (a *appender) within(ctx context.Context, f func() error) error {
	if a.ended {
		return errors.New("the transaction has ended")
	}
	err := ctx.Err()
	if err == nil {
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		err = f()
	}
	if err != nil && a.failed == nil && !errors.Is(err, storage.ErrNotFound) {
		a.failed = err
	}
	return err
}

func (a *appender) LeafHashes(ctx context.Context, start, end int64) (out []storage.Hash, err error) {
	err = a.within(ctx, func() error {
		out, err = a.l.leafHashes(start, end)
		return err
	})
	return out, err
}

func (a *appender) FindLeaves(ctx context.Context, hashes []storage.Hash) (out []storage.Leaf, err error) {
	err = a.within(ctx, func() error {
		out = a.l.findLeaves(hashes)
		return nil
	})
	return out, err
}

func (a *appender) Tile(ctx context.Context, level int, index int64) (out []byte, err error) {
	err = a.within(ctx, func() error {
		out, err = a.l.tile(level, index)
		return err
	})
	return out, err
}

func (a *appender) Edge(ctx context.Context, level int) (out storage.Edge, err error) {
	err = a.within(ctx, func() error {
		out, err = a.l.edge(level)
		return err
	})
	return out, err
}

func (a *appender) Touch(ctx context.Context) error {
	return a.within(ctx, func() error { return nil })
}

func (a *appender) Write(ctx context.Context, w storage.Append) error {
	return a.within(ctx, func() error {
		if a.write != nil {
			return errors.New("a second Write in one transaction")
		}
		if err := a.check(w); err != nil {
			return fmt.Errorf("breach of the storage contract: %w: %w", storage.ErrCorrupt, err)
		}
		if n := bodies(w); a.s.most > 0 && n > a.s.most {
			return fmt.Errorf("%d bytes in one append, and at most %d fit: %w", n, a.s.most, storage.ErrRefused)
		}
		a.write = &w
		return nil
	})
}

func (a *appender) check(w storage.Append) error {
	if want := a.head.Size + int64(len(w.Entries)); w.Head.Size != want || len(w.Entries) == 0 {
		return fmt.Errorf("%d entries after size %d, and a head of size %d", len(w.Entries), a.head.Size, w.Head.Size)
	}
	last := a.head.IntegratedAt
	for i, e := range w.Entries {
		switch {
		case e.Index != a.head.Size+int64(i):
			return fmt.Errorf("entry %d where %d belongs", e.Index, a.head.Size+int64(i))
		case e.IntegratedAt < last:
			return fmt.Errorf("entry %d is older than the one before", e.Index)
		case len(e.Body) < 1 || len(e.Body) > 65535:
			return fmt.Errorf("entry %d has %d bytes", e.Index, len(e.Body))
		}
		last = e.IntegratedAt
	}
	if w.Head.IntegratedAt != last {
		return fmt.Errorf("the head has time %d, and its last entry %d", w.Head.IntegratedAt, last)
	}
	for _, t := range w.Tiles {
		if _, ok := a.l.tiles[tileKey{t.Level, t.Index}]; ok || len(t.Hashes) != 8192 {
			return fmt.Errorf("tile %d of level %d: %d bytes, there already: %v", t.Index, t.Level, len(t.Hashes), ok)
		}
	}
	for _, e := range w.Edges {
		if e.Level < 1 || len(e.Hashes) > 255*32 || len(e.Hashes)%32 != 0 {
			return fmt.Errorf("edge of level %d with %d bytes", e.Level, len(e.Hashes))
		}
	}
	return nil
}

// bodies is how many bytes the bodies of an append have.
func bodies(w storage.Append) (n int) {
	for _, e := range w.Entries {
		n += len(e.Body)
	}
	return n
}

func (a *appender) Commit(ctx context.Context) error {
	err := a.within(ctx, func() error {
		if a.failed != nil {
			return fmt.Errorf("not committed, since the transaction failed: %w", a.failed)
		}
		if a.write != nil {
			a.apply(*a.write)
		}
		return nil
	})
	a.end()
	return err
}

func (a *appender) apply(w storage.Append) {
	l := a.l
	for _, e := range w.Entries {
		e.Body = bytes.Clone(e.Body)
		l.entries = append(l.entries, e)
		if _, ok := l.leaves[e.LeafHash]; !ok {
			l.leaves[e.LeafHash] = e.Index
		}
	}
	for _, t := range w.Tiles {
		l.tiles[tileKey{t.Level, t.Index}] = bytes.Clone(t.Hashes)
	}
	for _, e := range w.Edges {
		if len(e.Hashes) == 0 {
			delete(l.edges, e.Level)
			continue
		}
		e.Hashes = bytes.Clone(e.Hashes)
		l.edges[e.Level] = e
	}
	l.head = copyHead(w.Head)
}

func (a *appender) Rollback() error {
	a.end()
	return nil
}

func (a *appender) end() {
	if !a.ended {
		a.ended = true
		a.l.lock <- struct{}{}
	}
}

// Unpublish brings an earlier published checkpoint back, as a crash can.
func (s *Store) Unpublish(logID int64, was storage.Published) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[logID-1].published = was
}
