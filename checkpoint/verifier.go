package checkpoint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// The signature types that are read, as in the first byte of a vkey's key.
const (
	Ed25519              byte = 0x01
	ECDSA                byte = 0x02
	CosignatureV1Ed25519 byte = 0x04
	RFC6962              byte = 0x05
	CosignatureV1MLDSA44 byte = 0x06
)

// Verifier is a parsed verifier key (vkey). The zero Verifier verifies nothing.
// It implements note.Verifier of golang.org/x/mod/sumdb/note.
type Verifier struct {
	name  string
	alg   byte
	id    uint32
	key   []byte           // as in the vkey, after the type
	ecdsa *ecdsa.PublicKey // types 0x02 and 0x05 only
	mldsa *mldsa.PublicKey // type 0x06 only
}

// ParseVerifier parses a vkey. It recomputes the key id, so that a vkey copied
// with a wrong name or a damaged key is found here and not as a log that
// "does not verify".
func ParseVerifier(vkey string) (Verifier, error) {
	// SPEC: signed-note: neither name nor id holds a plus; the base64 may.
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return Verifier{}, malformed("vkey %q: it is not name+id+base64(key)", abbreviate(vkey))
	}
	key, ok := decodeBase64(parts[2])
	if !ok || len(key) < 2 {
		return Verifier{}, malformed("vkey %q: the part after the second + is not base64 of a type and a key", abbreviate(vkey))
	}
	v, err := newVerifier(parts[0], key[0], key[1:])
	if err != nil {
		return Verifier{}, err
	}
	// SPEC: signed-note: the key id names the key; check it for every type.
	if want := fmt.Sprintf("%08x", v.id); parts[1] != want {
		return Verifier{}, malformed("vkey %q: the key id is %q; for this name and key it is %s", abbreviate(vkey), abbreviate(parts[1]), want)
	}
	return v, nil
}

// NewVerifier names a public key: Ed25519 (type 0x01), ECDSA on P-256, P-384 or
// P-521 (0x02), or ML-DSA-44 (0x06).
func NewVerifier(name string, pub crypto.PublicKey) (Verifier, error) {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return newVerifier(name, Ed25519, pub)
	case *mldsa.PublicKey:
		return newVerifier(name, CosignatureV1MLDSA44, pub.Bytes())
	case *ecdsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return Verifier{}, fmt.Errorf("encode the public key of %q: %w", name, err)
		}
		return newVerifier(name, ECDSA, spki)
	default:
		return Verifier{}, fmt.Errorf("a key of type %T cannot sign notes; use Ed25519 or ECDSA", pub)
	}
}

func newVerifier(name string, alg byte, key []byte) (Verifier, error) {
	if !validName(name) || strings.Contains(name, "\n") {
		return Verifier{}, malformed("key name %q: it must be non-empty UTF-8 without spaces, control characters and +", abbreviate(name))
	}
	v := Verifier{name: name, alg: alg, id: keyID(name, alg, key), key: bytes.Clone(key)}
	var err error
	switch alg {
	case Ed25519, CosignatureV1Ed25519:
		if len(key) != ed25519.PublicKeySize {
			err = malformed("key of %q: %d bytes; an Ed25519 key has %d", name, len(key), ed25519.PublicKeySize)
		}
	case ECDSA, RFC6962:
		v.ecdsa, err = parseECDSA(name, key)
	case CosignatureV1MLDSA44:
		v.mldsa, err = parseMLDSA(name, key)
	default:
		err = malformed("key of %q: signature type 0x%02x is unknown; 0x01, 0x02, 0x04, 0x05 and 0x06 are known", name, alg)
	}
	if err != nil {
		return Verifier{}, err
	}
	return v, nil
}

func parseECDSA(name string, spki []byte) (*ecdsa.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, malformed("key of %q: not an ECDSA public key in SPKI form: %v", name, err)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, malformed("key of %q: types 0x02 and 0x05 hold a %T; it must be ECDSA", name, pub)
	}
	// SPEC: signed-note: P-256, P-384 or P-521.
	switch key.Curve {
	case elliptic.P256(), elliptic.P384(), elliptic.P521():
	default:
		return nil, malformed("key of %q: curve %s; it must be P-256, P-384 or P-521", name, key.Params().Name)
	}
	// One key, one spelling: the id is the hash of these bytes.
	canonical, err := x509.MarshalPKIXPublicKey(key)
	if err != nil || !bytes.Equal(canonical, spki) {
		return nil, malformed("key of %q: not the canonical DER of its public key", name)
	}
	return key, nil
}

func parseMLDSA(name string, key []byte) (*mldsa.PublicKey, error) {
	pub, err := mldsa.NewPublicKey(mldsa.MLDSA44(), key)
	if err != nil {
		return nil, malformed("key of %q: %d bytes that are not an ML-DSA-44 public key (%d bytes): %v",
			name, len(key), mldsa.MLDSA44PublicKeySize, err)
	}
	return pub, nil
}

// keyID identifies a key together with its name.
//
// SPEC: signed-note: SHA-256(name, newline, type, key)[:4]; for ECDSA SHA-256(SPKI)[:4].
// SPEC: static-ct-api: for RFC 6962 the key is the log's id, SHA-256(SPKI).
func keyID(name string, alg byte, key []byte) uint32 {
	message := append([]byte(name+"\n"), alg)
	switch alg {
	case ECDSA:
		message = key
	case RFC6962:
		id := sha256.Sum256(key)
		message = append(message, id[:]...)
	default:
		message = append(message, key...)
	}
	sum := sha256.Sum256(message)
	return binary.BigEndian.Uint32(sum[:])
}

// String returns the vkey.
func (v Verifier) String() string {
	key := append([]byte{v.alg}, v.key...)
	return fmt.Sprintf("%s+%08x+%s", v.name, v.id, base64.StdEncoding.EncodeToString(key))
}

// Name returns the key's name; for a log's key, the log's origin.
func (v Verifier) Name() string { return v.name }

// KeyHash returns the key id.
func (v Verifier) KeyHash() uint32 { return v.id }

// Algorithm returns the signature type.
func (v Verifier) Algorithm() byte { return v.alg }

// IsCosigner reports whether the key makes timestamped cosignatures.
func (v Verifier) IsCosigner() bool {
	return v.alg == CosignatureV1Ed25519 || v.alg == CosignatureV1MLDSA44
}

// PublicKey returns an ed25519.PublicKey, an *ecdsa.PublicKey or an *mldsa.PublicKey;
// nil for the zero Verifier.
func (v Verifier) PublicKey() crypto.PublicKey {
	switch v.alg {
	case Ed25519, CosignatureV1Ed25519:
		return ed25519.PublicKey(bytes.Clone(v.key))
	case ECDSA, RFC6962:
		return v.ecdsa
	case CosignatureV1MLDSA44:
		return v.mldsa
	default:
		return nil
	}
}

// Equal reports whether both have the same name, type and key.
func (v Verifier) Equal(w Verifier) bool {
	return v.name == w.name && v.alg == w.alg && bytes.Equal(v.key, w.key)
}

// Verify reports whether sig, a [Signature]'s Blob, is this key's signature of text.
func (v Verifier) Verify(text, sig []byte) bool {
	switch v.alg {
	case Ed25519:
		return ed25519.Verify(v.key, text, sig)
	case ECDSA:
		digest := sha256.Sum256(text)
		return ecdsa.VerifyASN1(v.ecdsa, digest[:], sig)
	case CosignatureV1Ed25519, CosignatureV1MLDSA44:
		return v.verifyCosignature(text, sig)
	case RFC6962:
		return v.verifyTreeHead(text, sig)
	default:
		return false
	}
}

// abbreviate keeps a message readable when someone gives a file for a vkey.
func abbreviate(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
