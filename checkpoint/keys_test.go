package checkpoint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

const testOrigin = "log.example/2026"

func seed(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// logSigner returns an Ed25519 signer that is the same for the same n.
func logSigner(t testing.TB, name string, n byte) *KeySigner {
	t.Helper()
	s, err := NewSigner(name, ed25519.NewKeyFromSeed(seed(n)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ecdsaSigner(t testing.TB, name string, curve elliptic.Curve) *KeySigner {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(name, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// witness makes cosignatures of both types, which the product only reads.
type witness struct {
	key     crypto.Signer
	v       Verifier
	seconds int64
}

func newWitness(t testing.TB, name string, alg, n byte) witness {
	t.Helper()
	var key crypto.Signer = ed25519.NewKeyFromSeed(seed(n))
	public := []byte(key.Public().(ed25519.PublicKey))
	if alg == CosignatureV1MLDSA44 {
		k, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed(n))
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, k.PublicKey().Bytes()
	}
	v, err := newVerifier(name, alg, public)
	if err != nil {
		t.Fatal(err)
	}
	return witness{key: key, v: v, seconds: 1700000000 + int64(n)}
}

func (w witness) Name() string    { return w.v.name }
func (w witness) KeyHash() uint32 { return w.v.id }

func (w witness) Sign(text []byte) ([]byte, error) {
	blob := binary.BigEndian.AppendUint64(nil, uint64(w.seconds))
	if key, ok := w.key.(*mldsa.PrivateKey); ok {
		c, err := ParseText(text)
		if err != nil {
			return nil, err
		}
		sig, err := key.SignDeterministic(cosignedSubtree(w.v.name, w.seconds, c.Origin, Subtree{End: c.Size, Root: c.Root}), nil)
		return append(blob, sig...), err
	}
	sig, err := w.key.Sign(nil, cosignedText(w.seconds, text), crypto.Hash(0))
	return append(blob, sig...), err
}

// sample is a checkpoint of testOrigin.
func sample(size int64) Checkpoint {
	if size == 0 {
		return Checkpoint{Origin: testOrigin, Root: sha256.Sum256(nil)}
	}
	return Checkpoint{Origin: testOrigin, Size: size, Root: sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(size)))}
}

func mustSign(t testing.TB, c Checkpoint, signers ...Signer) []byte {
	t.Helper()
	note, err := Sign(c, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return note
}
