// Package entry knows what may be logged: it parses what a client asks for,
// verifies its signature, and makes the canonical bytes that become the leaf.
// Pure functions, no I/O.
//
// # Kinds
//
// hashedrekord 0.0.2: the digest of an artifact, a signature over it, and the
// public key or certificate it verifies with. A bare digest cannot carry pure
// Ed25519, which signs the message itself; Ed25519ph can.
//
// dsse 0.0.2: a DSSE envelope. Every signature in it is verified over the
// envelope's pre-authentication encoding. The payload is not stored, only its
// digest.
//
// raw: opaque bytes, which must not look like one of the others.
//
// # Canonical bytes
//
// Those of hashedrekord and dsse are Rekor v2's, to the byte: the RFC 8785 form
// of the JSON of its Entry message. So a hashedrekord is
//
//	{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{
//	  "data":{"algorithm":"SHA2_256","digest":"…"},
//	  "signature":{"content":"…","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"…"}}}}}}
//
// and a dsse
//
//	{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{
//	  "payloadHash":{"algorithm":"SHA2_256","digest":"…"},
//	  "signatures":[{"content":"…","verifier":{"keyDetails":"PKIX_ED25519","x509Certificate":{"rawBytes":"…"}}}]}}}
//
// without any white space, the signatures in the order of their bytes. Keys are
// SubjectPublicKeyInfo and certificates X.509, both DER. Parse reads them back,
// and takes nothing else.
package entry

import (
	"errors"
	"fmt"

	"indelible/merkle"
)

// Kind names a kind of entry.
type Kind string

// The kinds.
const (
	KindHashedRekord Kind = "hashedrekord"
	KindDSSE         Kind = "dsse"
	KindIntoto       Kind = "intoto"
	KindRekord       Kind = "rekord"
	KindRaw          Kind = "raw"
)

// MaxCanonical is the most bytes an entry may have.
// SPEC: tlog-tiles: an entry bundle writes the length in 16 bits.
const MaxCanonical = merkle.MaxBundleEntry

// Why an entry is refused. Every error of a constructor and of Parse matches
// ErrInvalid, and one of the others where it says more.
var (
	ErrInvalid   = errors.New("invalid entry")
	ErrTooLarge  = errors.New("the entry is too large")
	ErrSignature = errors.New("the signature does not verify")
	ErrAlgorithm = errors.New("the algorithm is not allowed")
)

// Entry is an admitted entry: verified, and canonical. The constructors of this
// package make it, and nothing else does.
type Entry struct {
	kind      Kind
	version   string
	canonical []byte
	leaf      merkle.Hash
}

// Kind is what the entry is.
func (e Entry) Kind() Kind { return e.kind }

// Version is the kind's version, such as 0.0.2; a raw entry has none.
func (e Entry) Version() string { return e.version }

// Canonical is the bytes to be logged. They must not be modified.
func (e Entry) Canonical() []byte { return e.canonical }

// LeafHash is the hash of the leaf that they make.
func (e Entry) LeafHash() merkle.Hash { return e.leaf }

func newEntry(kind Kind, version string, canonical []byte) (Entry, error) {
	if len(canonical) > MaxCanonical {
		return Entry{}, invalid(tooLarge(len(canonical)))
	}
	return Entry{kind: kind, version: version, canonical: canonical, leaf: merkle.LeafHash(canonical)}, nil
}

func tooLarge(size int) error {
	return fmt.Errorf("%w: its canonical form has %d bytes, and at most %d fit", ErrTooLarge, size, MaxCanonical)
}

// invalid makes an error match ErrInvalid. What this package exports does so,
// once; what it does not, returns bare errors.
func invalid(err error) error {
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}
