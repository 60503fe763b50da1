package rekorv1

import (
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math"

	"indelible/merkle"
)

// TreeID makes a log's tree id from its instance id, of whose hex digits it
// takes the first 16: a positive int64, as Trillian's are.
func TreeID(instance string) (int64, error) {
	if len(instance) < 16 {
		return 0, fmt.Errorf("the log's instance id %q has %d hex digits; a tree id takes 16", instance, len(instance))
	}
	b, err := hex.DecodeString(instance[:16])
	if err != nil {
		return 0, fmt.Errorf("the log's instance id %q is not hex: %w", instance, err)
	}
	return max(1, int64(binary.BigEndian.Uint64(b)&math.MaxInt64)), nil
}

// LogID is the SHA-256 of a key's SubjectPublicKeyInfo, by which clients find
// the key of a SET.
func LogID(pub crypto.PublicKey) ([32]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("the key of Rekor v1's API: %w", err)
	}
	return sha256.Sum256(spki), nil
}

// identity is by what names the log and its entries go.
type identity struct {
	origin string // first line of notes
	tree   string // 16 hex digits, before the 64 of an entry
	logID  string // hex
	pem    []byte // the key
}

func newIdentity(cfg Config) (identity, error) {
	key := cfg.Key.Public()
	if key.Curve != elliptic.P256() {
		return identity{}, fmt.Errorf("the key of Rekor v1's API is on %s; its clients need ECDSA P-256", key.Params().Name)
	}
	id, err := LogID(key)
	if err != nil {
		return identity{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return identity{}, err
	}
	return identity{
		origin: fmt.Sprintf("%s - %d", cfg.Host, cfg.TreeID),
		tree:   fmt.Sprintf("%016x", cfg.TreeID),
		logID:  hex.EncodeToString(id[:]),
		pem:    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
	}, nil
}

// entryID is the id that an entry has in answers.
func (d identity) entryID(leaf merkle.Hash) string {
	return string(d.appendEntryID(make([]byte, 0, entryIDLen), leaf))
}

func (d identity) appendEntryID(to []byte, leaf merkle.Hash) []byte {
	return hex.AppendEncode(append(to, d.tree...), leaf[:])
}

const (
	uuidLen    = 2 * merkle.HashSize
	entryIDLen = 16 + uuidLen
)

// parseID reads a UUID or an entry id. Of another tree there is nothing here,
// which ours says.
func (d identity) parseID(s string) (leaf merkle.Hash, ours, ok bool) {
	if len(s) != uuidLen && len(s) != entryIDLen {
		return leaf, false, false
	}
	var b [entryIDLen / 2]byte
	n, err := hex.Decode(b[:], []byte(s))
	if err != nil {
		return leaf, false, false
	}
	tree := b[:n-merkle.HashSize]
	copy(leaf[:], b[len(tree):n])
	return leaf, len(tree) == 0 || hex.EncodeToString(tree) == d.tree, true
}
