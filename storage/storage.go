// Package storage is the contract between the log and the database that keeps
// it. An engine knows rows and transactions and nothing else: no Merkle tree,
// no batching, no timers, no keys.
//
// # What is kept
//
//	logs         one row a log: its identity. Written once, except for Keys, which grow, Poisoned,
//	             and Register, when a lost one was replaced on an operator's word.
//	tree_heads   one row a log: the durable tree head. Its row lock orders every append,
//	             and every append UPDATEs it.
//	entries      one row an entry, appended in the order of its index, never changed.
//	tiles        FULL hash tiles of every level, each written once, never changed.
//	edges        the last, not yet full tile of every level from 1 up; rewritten only when it
//	             grows. (Level 0's is made from the leaf hashes of entries.)
//	checkpoints  the published checkpoint, guarded by a row version, and a thinned history of
//	             those before.
//	leases       who publishes at present: for liveness only, never for safety.
//	facts        what was found out or decided once for a log, such as which key an API signs by,
//	             and the hashes of writers' tokens.
//	search       the index of a log: which entries say what. It is derived, with a cursor that
//	             tells up to which size, and can be made again.
//
// # What is promised
//
// BeginAppend is the only way to change the tree. Its first statement locks
// the tree-head row, so two appends to one log, from whatever process, never
// overlap. Commit returns nil only when everything the transaction wrote is as
// durable as the database makes it. When Commit returns an error the outcome is
// UNKNOWN: the caller begins again, and looks the leaf hashes up.
//
// Reads outside of a transaction see committed rows only, but may be stale (a
// replica, a Galera node): LockedHead is the read that is not.
//
// What is seen may be lost all the same: InnoDB shows a commit to others a
// moment before it is durable, and a crash in that moment takes it back. What a
// transaction has seen is durable once it wrote something, were it by Touch, and
// its Commit returned nil; and so is the head that DurableHead returns.
//
// # Errors
//
// ErrNotFound, ErrExists, ErrConflict, ErrCorrupt and ErrRefused are matched with
// errors.Is. Every other error is the database's, may be temporary, and leaves
// the transaction it came from unusable. No error text holds a DSN or a
// password.
//
// ErrRefused is the one error of the database that waiting does not cure: the
// same rows are refused again. The caller gives it other rows, or fewer at a
// time, and never the same again.
package storage

import (
	"context"
	"errors"
	"time"
)

// Errors that callers act upon.
var (
	// ErrNotFound: there is no such log, entry, tile, edge or checkpoint.
	ErrNotFound = errors.New("not found")
	// ErrExists: a log of this origin exists already.
	ErrExists = errors.New("exists already")
	// ErrConflict: the row is no longer at the version that the caller expected.
	ErrConflict = errors.New("changed meanwhile")
	// ErrCorrupt: rows contradict the contract (a gap in the indexes, a hash
	// that is not 32 bytes, a tile that is not full). Never retried.
	ErrCorrupt = errors.New("corrupt data")
	// ErrRefused: the database does not take these rows, however often it gets
	// them: they are larger than a statement or a transaction may be, or a value
	// does not fit its column. Nothing of the transaction was written. The text
	// holds what the database said about the rows, and no host and no user.
	ErrRefused = errors.New("the database refuses these rows")
)

// Hash is an RFC 6962 SHA-256 hash.
type Hash = [32]byte

// Log is the identity of one log. Origin and Instance never change.
type Log struct {
	ID        int64     // set by CreateLog
	Instance  string    // 32 hex digits, random, made at creation: tells two logs of one name apart
	Origin    string    // first line of every checkpoint, unique in the database
	Keys      []string  // vkeys of every key that may sign for this log
	Register  string    // id of the log's register, see package guard
	CreatedAt time.Time // to the millisecond, UTC
	Poisoned  string    // why the log signs no more; empty for a healthy log
}

// Head is a durable tree head.
type Head struct {
	Size         int64
	Root         Hash
	Range        []Hash // compact range [0, Size): perfect subtree roots, largest first
	IntegratedAt int64  // of the last entry: Unix time in milliseconds, 0 for the empty log
	// Register is the id of the log's register, as reads tell it: of the same
	// moment as the head, or where the head was locked, maybe of one before. It is
	// not written.
	Register string
}

// Entry is one row of the log.
type Entry struct {
	Index        int64
	LeafHash     Hash
	IntegratedAt int64  // Unix time in milliseconds, never decreasing with the index
	Body         []byte // the canonical bytes, at most 65,535
}

// Leaf says where a leaf hash stands in the log. When a leaf hash occurs more
// than once (a raw log that was filled by other means), it is the lowest index.
type Leaf struct {
	Hash         Hash
	Index        int64
	IntegratedAt int64
}

// Tile is one full tile: Hashes holds 256 hashes, 8,192 bytes.
type Tile struct {
	Level  int
	Index  int64
	Hashes []byte
}

// Edge is the last tile of a level, not yet full: Hashes holds 1 to 255 hashes.
// A level without a partial tile has no Edge.
type Edge struct {
	Level  int // 1 and up
	Index  int64
	Hashes []byte
}

// Append is everything that one append writes. Entries are consecutive from
// the locked head's size on, and Head.Size is that size plus their number.
type Append struct {
	Entries []Entry
	Tiles   []Tile
	Edges   []Edge // those that changed; an Edge with no hashes removes that level's row
	Head    Head
}

// Published is a checkpoint that was made public.
type Published struct {
	Version int64 // row version; 0 means that nothing was published yet
	Size    int64
	Root    Hash
	Note    []byte // the signed checkpoint
	At      int64  // Unix time in milliseconds
	Keep    bool   // put it into the history as well
}

// Lease is the outcome of asking for a lease.
type Lease struct {
	Held   bool          // the asker holds it now
	Holder string        // who does
	Epoch  int64         // grows by one each time the holder changes
	Left   time.Duration // for how long, unless it is renewed or given up
}

// IndexState says how far the search index of a log is. Its zero value is that
// of a log without one.
type IndexState struct {
	ID     int64 // tells one making of the index from the next
	Format int   // of its keys: what the maker's program took from the entries
	Size   int64 // the index has the entries [0, Size)
}

// IndexRow says that an entry has a key. Keys are hashes: different things may
// have the same one.
type IndexRow struct {
	Key   int64
	Index int64
}

// Store is one database with any number of logs. Its methods may be called
// from many goroutines at once.
type Store interface {
	// CreateLog writes the log's row and an empty tree head, whose root the
	// caller gives, in one transaction. ErrExists if the origin is taken.
	CreateLog(ctx context.Context, l Log, empty Head) (Log, error)
	// FindLog returns the log of an origin, or ErrNotFound.
	FindLog(ctx context.Context, origin string) (Log, error)
	// Logs returns every log, by ID.
	Logs(ctx context.Context) ([]Log, error)
	// Poison records why a log signs no more. The first reason stays.
	Poison(ctx context.Context, logID int64, reason string) error
	// ClearPoison is the operator's way back, after a repair.
	ClearPoison(ctx context.Context, logID int64) error
	// AddKey adds a vkey to those that may sign for a log. One that is among
	// them is no change.
	AddKey(ctx context.Context, logID int64, vkey string) error
	// ReplaceRegister gives a log another register, if it still has the one with
	// the id was, and its tree head still is at; else ErrConflict. Whoever sees a
	// later head, by Head or DurableHead, sees the new register in it.
	ReplaceRegister(ctx context.Context, logID int64, was, id string, at Head) error

	// BeginAppend opens a transaction and locks the log's tree-head row. ErrConflict
	// if another append came first and ended this one.
	BeginAppend(ctx context.Context, logID int64) (Appender, error)

	// Head returns the committed tree head, which may be stale.
	Head(ctx context.Context, logID int64) (Head, error)
	// LockedHead returns it by a locking read on the writer: never stale.
	LockedHead(ctx context.Context, logID int64) (Head, error)
	// DurableHead returns it when it is durable, others' commits included.
	DurableHead(ctx context.Context, logID int64) (Head, error)

	// Entries returns the entries [start, end), all of them: a gap is
	// ErrCorrupt, an end beyond the rows is ErrNotFound.
	Entries(ctx context.Context, logID, start, end int64) ([]Entry, error)
	// LeafHashes is Entries without the bodies.
	LeafHashes(ctx context.Context, logID, start, end int64) ([]Hash, error)
	// FindLeaves returns those of the hashes that are in the log, in no order.
	FindLeaves(ctx context.Context, logID int64, hashes []Hash) ([]Leaf, error)
	// EntryByLeaf returns the entry with a leaf hash, or ErrNotFound; of several
	// the one with the lowest index.
	EntryByLeaf(ctx context.Context, logID int64, hash Hash) (Entry, error)
	// EntriesAt returns the entries at up to 1,000 indexes, which ascend. One
	// that is not there is ErrNotFound.
	EntriesAt(ctx context.Context, logID int64, indexes []int64) ([]Entry, error)
	// Tile returns a full tile's 8,192 bytes, or ErrNotFound.
	Tile(ctx context.Context, logID int64, level int, index int64) ([]byte, error)
	// Edge returns a level's partial tile, or ErrNotFound.
	Edge(ctx context.Context, logID int64, level int) (Edge, error)

	// Published returns the published checkpoint; Version 0 if there is none.
	Published(ctx context.Context, logID int64) (Published, error)
	// Publish replaces it if the row is still at version p.Version, and returns
	// the new version. ErrConflict if it is not. It never lowers the size,
	// nor puts another root at the same one: that is ErrConflict too.
	Publish(ctx context.Context, logID int64, p Published) (version int64, err error)
	// PublishedHistory returns up to limit checkpoints that were kept, with a
	// size of at least from, by size: for each size the newest.
	PublishedHistory(ctx context.Context, logID, from int64, limit int) ([]Published, error)

	// Lease takes or renews the lease of a name for ttl, by the database's
	// clock, unless somebody else holds it.
	Lease(ctx context.Context, logID int64, name, holder string, ttl time.Duration) (Lease, error)
	// Unlease gives the lease up if holder holds it.
	Unlease(ctx context.Context, logID int64, name, holder string) error

	// SetOnce records a value under a name, unless there is one, and returns the
	// one that stands.
	SetOnce(ctx context.Context, logID int64, name, value string) (stands string, err error)
	// Facts returns all values that SetOnce recorded under names that begin with a
	// prefix, by name. Prefix and names are ASCII, and no name has a tilde after it.
	Facts(ctx context.Context, logID int64, prefix string) (map[string]string, error)

	// IndexState returns how far the search index is.
	IndexState(ctx context.Context, logID int64) (IndexState, error)
	// IndexReset starts the index again, in a format, if it is still the one of
	// was.ID. ErrConflict if it is not. What it had is left to IndexSweep.
	IndexReset(ctx context.Context, logID int64, was IndexState, format int) (IndexState, error)
	// IndexAppend writes the rows of the entries [was.Size, to) and moves the
	// index to that size, in one transaction, if the index is still the one of
	// was.ID and of size was.Size. ErrConflict if it is not. The rows ascend by
	// key and, of one key, by index.
	IndexAppend(ctx context.Context, logID int64, was IndexState, to int64, rows []IndexRow) error
	// IndexFind returns, by index, up to limit entries above after that have a
	// key, and the state of the index that they are from: both of one moment.
	IndexFind(ctx context.Context, logID, key, after int64, limit int) (IndexState, []int64, error)
	// IndexSweep deletes up to about limit rows of indexes that were started again,
	// of any log, and reports whether there may be more.
	IndexSweep(ctx context.Context, limit int) (more bool, err error)

	// Warnings says, one sentence each, where the database's settings weaken
	// what the log promises (durability above all).
	Warnings(ctx context.Context) ([]string, error)
	// Ping reports whether the database answers, and does not refuse all writes.
	Ping(ctx context.Context) error
	Close() error
}

// Appender is one append transaction, used by one goroutine. It ends with
// Commit or Rollback; Rollback after Commit does nothing.
type Appender interface {
	// Head is the tree head as locked.
	Head() Head
	LeafHashes(ctx context.Context, start, end int64) ([]Hash, error)
	FindLeaves(ctx context.Context, hashes []Hash) ([]Leaf, error)
	Tile(ctx context.Context, level int, index int64) ([]byte, error)
	Edge(ctx context.Context, level int) (Edge, error)
	// Write writes everything of one append; called at most once.
	Write(ctx context.Context, a Append) error
	// Touch writes something that changes nothing, for a transaction that has
	// nothing to write, and yet must know that what it saw is durable.
	Touch(ctx context.Context) error
	// Commit makes it durable. After an error the outcome is unknown.
	Commit(ctx context.Context) error
	Rollback() error
}
