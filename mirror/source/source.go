// Package source reads any transparency log from its first entry to its last,
// and returns only what the log signed.
//
// Logs of the field differ in their URLs, in how they frame entries, and in
// what they prove. A [Log] makes them one thing: a head that the log signed,
// and blocks of 256 entries below it. Each implementation verifies what it
// returns, and names exactly what does not hold:
//
//   - Head verifies the signatures of the log;
//   - Consistent proves that a newer head extends an older one, and is called
//     before a block of the newer head is read;
//   - Block computes the leaf hashes from the entries, and proves that they are
//     below the head. A hash tile that the log serves is compared with the head
//     and is never trusted.
//
// A caller that keeps the newest [Head] and calls Consistent first can read
// blocks in any order, also at the same time.
//
// # Errors
//
// [ErrFalse]: the log, or whoever answers in its place, served something that
// contradicts what it signed; a [Fault] says what. Everything else: there was no
// answer. What may pass was tried again, as package client does it.
package source

import (
	"context"
	"errors"
	"time"

	"indelible/merkle"
)

// BlockSize is how many entries a full block has: those of one entry bundle.
const BlockSize = 1 << merkle.TileHeight

// Format says how a log frames its entries.
type Format string

const (
	// Tiles is C2SP tlog-tiles: bundles of entries with a length of two bytes.
	Tiles Format = "tlog-tiles"
	// SumDB is the Go checksum database: records of text.
	SumDB Format = "sumdb"
	// StaticCT is C2SP static-ct-api: data tiles of TileLeaf, and issuers by hash.
	StaticCT Format = "static-ct"
	// RekorV1 is the API of Rekor v1, which has no tiles.
	RekorV1 Format = "rekor-v1"
)

// Head is a tree head that a log signed.
type Head struct {
	Size int64
	Root merkle.Hash
	Note []byte    // the signed text, as the log served it
	Time time.Time // the newest time that a signature states; zero if none does
}

// Block is up to 256 consecutive entries that are proven to be below a head. Its
// slices must not be changed.
type Block struct {
	Start  int64         // a multiple of 256
	Leaves []merkle.Hash // of the entries, computed from them
	// Data is the block as the log frames it, uncompressed: an entry bundle, a
	// data tile. A log of Rekor v1 has no frame: Data is a bundle if the
	// entries fit one, and nil otherwise.
	Data []byte
	// Entries are what the leaf hashes cover: for StaticCT the MerkleTreeLeaf.
	Entries [][]byte
}

// Log is a log that can be read. Its methods may be called at the same time.
type Log interface {
	// Origin is the log's name: the first line of its checkpoints.
	Origin() string
	// Format says what Block.Data holds.
	Format() Format
	// Head fetches the newest head, and verifies the log's signatures. It may be
	// smaller than one that was fetched before: the caller decides what that means.
	Head(ctx context.Context) (Head, error)
	// Consistent proves that the tree of the older head is a prefix of that of
	// the newer, and returns the proof as RFC 6962 (section 2.1.2) orders it.
	Consistent(ctx context.Context, older, newer Head) ([]merkle.Hash, error)
	// Block fetches the entries [256n, min(256(n+1), head.Size)).
	Block(ctx context.Context, head Head, n int64) (Block, error)
}

// ErrFalse is what every [Fault] is.
var ErrFalse = errors.New("the log contradicts what it signed")

// Fault is something that a log served and that does not hold.
type Fault struct {
	What string // checkpoint, consistency, tile, bundle, entry…
	URL  string // without secrets; empty if it does not matter
	// Index is the first entry that it is about; -1: no entry.
	Index int64
	Why   error
	// Served is what the log served, bounded, for a file of evidence.
	Served []byte
}

// Error names what does not hold, where, and why.
func (f *Fault) Error() string {
	text := f.What
	if f.URL != "" {
		text += " " + f.URL
	}
	return text + ": " + f.Why.Error()
}

// Is makes errors.Is(err, ErrFalse) true.
func (f *Fault) Is(target error) bool { return target == ErrFalse }

// Unwrap returns the reason.
func (f *Fault) Unwrap() error { return f.Why }
