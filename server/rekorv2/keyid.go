package rekorv2

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
)

// KeyID is what Rekor v2 calls a log by: all of the key id whose first four
// bytes are in its checkpoints' signatures.
//
// SPEC: signed-note: the key id is of the name, a line feed, the signature type
// and the key. Sigstore has one of its own for ECDSA, of the key alone.
func KeyID(origin string, pub crypto.PublicKey) ([32]byte, error) {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return sha256.Sum256(slices.Concat([]byte(origin), []byte{'\n', 0x01}, pub)), nil
	case *ecdsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(pub)
		return sha256.Sum256(spki), err
	}
	return [32]byte{}, fmt.Errorf("a key of type %T has no Rekor v2 log id; use Ed25519 or ECDSA", pub)
}
