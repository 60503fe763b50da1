package rekorv2

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"strings"
	"testing"

	"indelible/checkpoint"
)

// TestKeyID compares with what stands in a checkpoint's signature line.
func TestKeyID(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()
	for _, origin := range []string{"log.example.com", "log.example.com/2026"} {
		id, err := KeyID(origin, key)
		v, vErr := checkpoint.NewVerifier(origin, key)
		if err != nil || vErr != nil || binary.BigEndian.Uint32(id[:]) != v.KeyHash() {
			t.Errorf("%s: %x, %v; the note has %08x, %v", origin, id, err, v.KeyHash(), vErr)
		}
	}
}

// TestKeyIDECDSA: Sigstore's is the hash of the key alone.
func TestKeyIDECDSA(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := KeyID("log.example.com", key.Public()); err != nil || id != sha256.Sum256(spki) {
		t.Errorf("%x, %v", id, err)
	}
}

func TestKeyIDOfOtherKeys(t *testing.T) {
	for _, key := range []crypto.PublicKey{nil, &rsa.PublicKey{N: big.NewInt(1), E: 3}} {
		if id, err := KeyID("log.example.com", key); err == nil || !strings.Contains(err.Error(), "Ed25519 or ECDSA") {
			t.Errorf("%T: %x, %v", key, id, err)
		}
	}
}
