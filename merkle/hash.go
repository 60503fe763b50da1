package merkle

import (
	"crypto/sha256"
)

// HashSize is the length of a hash in bytes.
const HashSize = sha256.Size

// Hash is an RFC 6962 SHA-256 hash.
type Hash = [HashSize]byte

// RFC 6962 section 2.1: what is put before the hashed bytes, so that a leaf
// can never pass for a node.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// LeafHash is SHA-256(0x00 || entry).
func LeafHash(entry []byte) Hash {
	h := sha256.New()
	h.Write([]byte{leafPrefix})
	h.Write(entry)
	var out Hash
	h.Sum(out[:0])
	return out
}

// NodeHash is SHA-256(0x01 || left || right).
func NodeHash(left, right Hash) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sha256.Sum256(b[:])
}

// EmptyRoot is the root of the empty tree: SHA-256 of nothing.
func EmptyRoot() Hash { return sha256.Sum256(nil) }
