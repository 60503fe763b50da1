// Package faulty is a storage engine for tests: another one, whose operations
// fail when told, before they did anything or after they did it all.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/storage"
)

// ErrInjected is what a fault returns.
var ErrInjected = errors.New("injected fault")

// Fault is what happens to an operation.
type Fault int

// The faults.
const (
	None    Fault = iota
	Fail          // it does nothing, and fails
	Persist       // it does what it should, and fails all the same
	Refuse        // it does nothing, and fails with storage.ErrRefused
)

// Op names an operation.
type Op string

// The operations, those of an Appender with tx. before them.
const (
	Head, LockedHead, Entries, LeafHashes, FindLeaves    Op = "Head", "LockedHead", "Entries", "LeafHashes", "FindLeaves"
	Tile, Edge, Published, Publish, Lease, Unlease       Op = "Tile", "Edge", "Published", "Publish", "Lease", "Unlease"
	BeginAppend, TxLeafHashes, TxFindLeaves              Op = "BeginAppend", "tx.LeafHashes", "tx.FindLeaves"
	TxTile, TxEdge, TxWrite, TxCommit, FindLog, PoisonOp Op = "tx.Tile", "tx.Edge", "tx.Write", "tx.Commit", "FindLog", "Poison"
	EntriesAt, SetOnce, IndexState                       Op = "EntriesAt", "SetOnce", "IndexState"
	EntryByLeaf, DurableHead, TxTouch                    Op = "EntryByLeaf", "DurableHead", "tx.Touch"
	IndexReset, IndexAppend, IndexFind, IndexSweep       Op = "IndexReset", "IndexAppend", "IndexFind", "IndexSweep"
	Ping, Facts                                          Op = "Ping", "Facts"
)

// Ops are all operations that can fail.
func Ops() []Op {
	return []Op{
		Head, LockedHead, Entries, LeafHashes, FindLeaves, Tile, Edge, Published, Publish, Lease, Unlease,
		BeginAppend, TxLeafHashes, TxFindLeaves, TxTile, TxEdge, TxWrite, TxCommit, FindLog, PoisonOp,
		EntryByLeaf, DurableHead, TxTouch, EntriesAt, SetOnce, IndexState, IndexReset, IndexAppend, IndexFind, IndexSweep, Ping, Facts,
	}
}

// Store is a Store with faults.
type Store struct {
	storage.Store
	plan func(Op) Fault
}

// Wrap makes one. plan is asked before each operation, from many goroutines.
func Wrap(s storage.Store, plan func(Op) Fault) *Store { return &Store{s, plan} }

// before is the error of an operation that does nothing; nil if it does its work.
func (f Fault) before() error {
	switch f {
	case Fail:
		return ErrInjected
	case Refuse:
		return fmt.Errorf("%w: %w", storage.ErrRefused, ErrInjected)
	}
	return nil
}

// do runs an operation with the fault that is planned for it.
func do[T any](plan func(Op) Fault, op Op, f func() (T, error)) (T, error) {
	fault := plan(op)
	var zero T
	if err := fault.before(); err != nil {
		return zero, err
	}
	v, err := f()
	if fault == Persist && err == nil {
		return zero, ErrInjected
	}
	return v, err
}

func (s *Store) FindLog(ctx context.Context, origin string) (storage.Log, error) {
	return do(s.plan, FindLog, func() (storage.Log, error) { return s.Store.FindLog(ctx, origin) })
}

func (s *Store) Poison(ctx context.Context, logID int64, reason string) error {
	_, err := do(s.plan, PoisonOp, func() (struct{}, error) { return struct{}{}, s.Store.Poison(ctx, logID, reason) })
	return err
}

func (s *Store) Ping(ctx context.Context) error {
	_, err := do(s.plan, Ping, func() (struct{}, error) { return struct{}{}, s.Store.Ping(ctx) })
	return err
}

func (s *Store) Head(ctx context.Context, logID int64) (storage.Head, error) {
	return do(s.plan, Head, func() (storage.Head, error) { return s.Store.Head(ctx, logID) })
}

func (s *Store) LockedHead(ctx context.Context, logID int64) (storage.Head, error) {
	return do(s.plan, LockedHead, func() (storage.Head, error) { return s.Store.LockedHead(ctx, logID) })
}

func (s *Store) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	return do(s.plan, Entries, func() ([]storage.Entry, error) { return s.Store.Entries(ctx, logID, start, end) })
}

func (s *Store) LeafHashes(ctx context.Context, logID, start, end int64) ([]storage.Hash, error) {
	return do(s.plan, LeafHashes, func() ([]storage.Hash, error) { return s.Store.LeafHashes(ctx, logID, start, end) })
}

func (s *Store) FindLeaves(ctx context.Context, logID int64, hashes []storage.Hash) ([]storage.Leaf, error) {
	return do(s.plan, FindLeaves, func() ([]storage.Leaf, error) { return s.Store.FindLeaves(ctx, logID, hashes) })
}

func (s *Store) DurableHead(ctx context.Context, logID int64) (storage.Head, error) {
	return do(s.plan, DurableHead, func() (storage.Head, error) { return s.Store.DurableHead(ctx, logID) })
}

func (s *Store) EntryByLeaf(ctx context.Context, logID int64, hash storage.Hash) (storage.Entry, error) {
	return do(s.plan, EntryByLeaf, func() (storage.Entry, error) { return s.Store.EntryByLeaf(ctx, logID, hash) })
}

func (s *Store) Tile(ctx context.Context, logID int64, level int, index int64) ([]byte, error) {
	return do(s.plan, Tile, func() ([]byte, error) { return s.Store.Tile(ctx, logID, level, index) })
}

func (s *Store) Edge(ctx context.Context, logID int64, level int) (storage.Edge, error) {
	return do(s.plan, Edge, func() (storage.Edge, error) { return s.Store.Edge(ctx, logID, level) })
}

func (s *Store) Published(ctx context.Context, logID int64) (storage.Published, error) {
	return do(s.plan, Published, func() (storage.Published, error) { return s.Store.Published(ctx, logID) })
}

func (s *Store) Publish(ctx context.Context, logID int64, p storage.Published) (int64, error) {
	return do(s.plan, Publish, func() (int64, error) { return s.Store.Publish(ctx, logID, p) })
}

func (s *Store) Lease(ctx context.Context, logID int64, name, holder string, ttl time.Duration) (storage.Lease, error) {
	return do(s.plan, Lease, func() (storage.Lease, error) { return s.Store.Lease(ctx, logID, name, holder, ttl) })
}

func (s *Store) Unlease(ctx context.Context, logID int64, name, holder string) error {
	_, err := do(s.plan, Unlease, func() (struct{}, error) { return struct{}{}, s.Store.Unlease(ctx, logID, name, holder) })
	return err
}

func (s *Store) EntriesAt(ctx context.Context, logID int64, indexes []int64) ([]storage.Entry, error) {
	return do(s.plan, EntriesAt, func() ([]storage.Entry, error) { return s.Store.EntriesAt(ctx, logID, indexes) })
}

func (s *Store) SetOnce(ctx context.Context, logID int64, name, value string) (string, error) {
	return do(s.plan, SetOnce, func() (string, error) { return s.Store.SetOnce(ctx, logID, name, value) })
}

func (s *Store) Facts(ctx context.Context, logID int64, prefix string) (map[string]string, error) {
	return do(s.plan, Facts, func() (map[string]string, error) { return s.Store.Facts(ctx, logID, prefix) })
}

func (s *Store) IndexState(ctx context.Context, logID int64) (storage.IndexState, error) {
	return do(s.plan, IndexState, func() (storage.IndexState, error) { return s.Store.IndexState(ctx, logID) })
}

func (s *Store) IndexReset(ctx context.Context, logID int64, was storage.IndexState, format int) (storage.IndexState, error) {
	return do(s.plan, IndexReset, func() (storage.IndexState, error) { return s.Store.IndexReset(ctx, logID, was, format) })
}

func (s *Store) IndexAppend(ctx context.Context, logID int64, was storage.IndexState, to int64, rows []storage.IndexRow) error {
	_, err := do(s.plan, IndexAppend, func() (struct{}, error) { return struct{}{}, s.Store.IndexAppend(ctx, logID, was, to, rows) })
	return err
}

func (s *Store) IndexFind(ctx context.Context, logID, key, after int64, limit int) (storage.IndexState, []int64, error) {
	type found struct {
		state   storage.IndexState
		entries []int64
	}
	f, err := do(s.plan, IndexFind, func() (found, error) {
		state, entries, err := s.Store.IndexFind(ctx, logID, key, after, limit)
		return found{state, entries}, err
	})
	return f.state, f.entries, err
}

func (s *Store) IndexSweep(ctx context.Context, limit int) (bool, error) {
	return do(s.plan, IndexSweep, func() (bool, error) { return s.Store.IndexSweep(ctx, limit) })
}

// BeginAppend implements storage.Store. A Persist fault here takes the lock and
// gives it back, as when the connection is lost.
func (s *Store) BeginAppend(ctx context.Context, logID int64) (storage.Appender, error) {
	fault := s.plan(BeginAppend)
	if err := fault.before(); err != nil {
		return nil, err
	}
	tx, err := s.Store.BeginAppend(ctx, logID)
	if err == nil && fault == Persist {
		return nil, errors.Join(ErrInjected, tx.Rollback())
	}
	return &appender{tx, s.plan}, err
}

type appender struct {
	storage.Appender
	plan func(Op) Fault
}

func (a *appender) LeafHashes(ctx context.Context, start, end int64) ([]storage.Hash, error) {
	return do(a.plan, TxLeafHashes, func() ([]storage.Hash, error) { return a.Appender.LeafHashes(ctx, start, end) })
}

func (a *appender) FindLeaves(ctx context.Context, hashes []storage.Hash) ([]storage.Leaf, error) {
	return do(a.plan, TxFindLeaves, func() ([]storage.Leaf, error) { return a.Appender.FindLeaves(ctx, hashes) })
}

func (a *appender) Tile(ctx context.Context, level int, index int64) ([]byte, error) {
	return do(a.plan, TxTile, func() ([]byte, error) { return a.Appender.Tile(ctx, level, index) })
}

func (a *appender) Edge(ctx context.Context, level int) (storage.Edge, error) {
	return do(a.plan, TxEdge, func() (storage.Edge, error) { return a.Appender.Edge(ctx, level) })
}

func (a *appender) Touch(ctx context.Context) error {
	_, err := do(a.plan, TxTouch, func() (struct{}, error) { return struct{}{}, a.Appender.Touch(ctx) })
	return err
}

func (a *appender) Write(ctx context.Context, w storage.Append) error {
	_, err := do(a.plan, TxWrite, func() (struct{}, error) { return struct{}{}, a.Appender.Write(ctx, w) })
	return err
}

// Commit with a Persist fault commits, and reports an error: the outcome that
// the log cannot know.
func (a *appender) Commit(ctx context.Context) error {
	_, err := do(a.plan, TxCommit, func() (struct{}, error) { return struct{}{}, a.Appender.Commit(ctx) })
	return err
}
