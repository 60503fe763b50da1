package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/merkle"
)

// Bounds of what a Certificate Transparency log serves, in bytes.
const (
	maxDataTile = 2 * maxBundle // an entry can be a certificate and the one that it came from
	maxIssuer   = 256 << 10
)

// Issuers is a [Log] whose entries name certificates by their hashes, which it
// serves beside the entries.
type Issuers interface {
	Log
	// Issuers are the SHA-256 hashes of the certificates that a block names, each
	// once.
	Issuers(Block) ([][sha256.Size]byte, error)
	// Issuer fetches a certificate, and checks its hash.
	Issuer(ctx context.Context, hash [sha256.Size]byte) ([]byte, error)
}

// NewStaticCT reads a Certificate Transparency log that serves C2SP static-ct-api.
// Its keys are those of [checkpoint.NewLogVerifier].
func NewStaticCT(cfg Config) (Log, error) {
	l, err := newTiles(cfg, layout{
		format: StaticCT, checkpoint: "checkpoint", tile: merkle.Tile.Path,
		framing: framing{
			path:  func(b merkle.Bundle) string { return "tile/data" + strings.TrimPrefix(b.Path(), "tile/entries") },
			limit: maxDataTile,
			parse: parseDataTile,
		},
	})
	if err != nil {
		return nil, err
	}
	return &staticCT{l}, nil
}

type staticCT struct{ *tiles }

// Block is that of the tiles, in which each entry says at which index it is.
func (l *staticCT) Block(ctx context.Context, head Head, n int64) (Block, error) {
	b, err := l.tiles.Block(ctx, head, n)
	if err != nil {
		return b, err
	}
	for i, e := range b.Entries {
		index := b.Start + int64(i)
		if err := checkLeafIndex(e, index); err != nil {
			path := l.framing.path(merkle.Bundle{Index: n, Width: len(b.Entries)})
			return Block{}, l.from.fault("entry", path, index, fmt.Errorf("entry %d: %w", index, err), e)
		}
	}
	return b, nil
}

func (l *staticCT) Issuers(b Block) ([][sha256.Size]byte, error) {
	leaves, err := parseTileLeaves(b.Data, len(b.Entries))
	if err != nil {
		return nil, err
	}
	seen := map[[sha256.Size]byte]bool{}
	var list [][sha256.Size]byte
	for _, l := range leaves {
		for chain := l.chain; len(chain) > 0; chain = chain[sha256.Size:] {
			if h := [sha256.Size]byte(chain); !seen[h] {
				seen[h] = true
				list = append(list, h)
			}
		}
	}
	return list, nil
}

func (l *staticCT) Issuer(ctx context.Context, hash [sha256.Size]byte) ([]byte, error) {
	return l.from.fetch(ctx, "issuer", fmt.Sprintf("issuer/%x", hash), maxIssuer, -1, func(data []byte) error {
		if got := sha256.Sum256(data); got != hash {
			return fmt.Errorf("its SHA-256 is %x", got)
		}
		return nil
	})
}

// tileLeaf is an entry of a data tile.
type tileLeaf struct {
	merkleTreeLeaf []byte // what the leaf hash covers
	chain          []byte // the hashes of the issuers, one after the other
	size           int    // of all of it
}

// The types of an entry. SPEC: RFC 6962 section 3.1.
const (
	x509Entry    = 0
	precertEntry = 1
)

func parseDataTile(data []byte, has, want int) (Block, error) {
	leaves, err := parseTileLeaves(data, has)
	if err != nil {
		return Block{}, err
	}
	var b Block
	size := 0
	for _, l := range leaves[:want] {
		b.Entries = append(b.Entries, l.merkleTreeLeaf)
		size += l.size
	}
	b.Data = data[:size:size]
	return b, nil
}

// parseTileLeaves takes a data tile with so many entries apart. SPEC: static-ct-api,
// Log Entries.
func parseTileLeaves(data []byte, width int) ([]tileLeaf, error) {
	var leaves []tileLeaf
	for i := range width {
		l, err := parseTileLeaf(data)
		if err != nil {
			return nil, fmt.Errorf("entry %d of %d: %w", i, width, err)
		}
		leaves, data = append(leaves, l), data[l.size:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%d bytes after %d entries", len(data), width)
	}
	return leaves, nil
}

func parseTileLeaf(data []byte) (l tileLeaf, err error) {
	r := &tlsReader{rest: data}
	r.bytes(8) // the time
	kind := r.number(2)
	if kind == precertEntry {
		r.bytes(sha256.Size) // the hash of the issuer's key
	}
	r.vector(3) // the certificate, or the one that is to be signed
	r.vector(2) // extensions
	signed := data[:len(data)-len(r.rest)]
	if kind == precertEntry {
		r.vector(3) // the precertificate
	}
	l.chain = r.vector(2)
	switch {
	case r.short:
		return l, errors.New("it ends too early")
	case kind != x509Entry && kind != precertEntry:
		return l, fmt.Errorf("its type is %d; it is 0 for a certificate, or 1 for a precertificate", kind)
	case len(l.chain)%sha256.Size != 0:
		return l, fmt.Errorf("its issuers have %d bytes, which are no whole number of hashes", len(l.chain))
	}
	// SPEC: RFC 6962 section 3.4: version v1, type timestamped_entry.
	l.merkleTreeLeaf = slices.Concat([]byte{0, 0}, signed)
	l.size = len(data) - len(r.rest)
	return l, nil
}

// checkLeafIndex demands that an entry says at which index it is. SPEC:
// static-ct-api: exactly one extension leaf_index; others are ignored.
func checkLeafIndex(entry []byte, index int64) error {
	r := &tlsReader{rest: entry[2:]}
	r.bytes(8)
	if r.number(2) == precertEntry {
		r.bytes(sha256.Size)
	}
	r.vector(3)
	found := int64(-1)
	for e := (&tlsReader{rest: r.vector(2)}); len(e.rest) > 0; {
		kind, value := e.number(1), e.vector(2)
		switch {
		case e.short:
			return errors.New("its extensions end too early")
		case kind == 0 && (found >= 0 || len(value) != 5):
			return errors.New("it has an extension leaf_index that is not of 5 bytes, or two of them")
		case kind == 0:
			found = int64(binary.BigEndian.Uint64(append(make([]byte, 3), value...)))
		}
	}
	if found != index {
		return fmt.Errorf("its extension leaf_index says %d (-1: there is none), and it is at %d", found, index)
	}
	return nil
}

// tlsReader reads the encoding of TLS. What is not there reads as nothing, and makes
// it short.
type tlsReader struct {
	rest  []byte
	short bool
}

func (r *tlsReader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads a number of up to 3 bytes.
func (r *tlsReader) number(width int) int {
	n := 0
	for _, b := range r.bytes(width) {
		n = n<<8 | int(b)
	}
	return n
}

// vector reads bytes whose length is in a number before them.
func (r *tlsReader) vector(width int) []byte { return r.bytes(r.number(width)) }
