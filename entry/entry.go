// Package entry knows what may be logged: it parses what a client asks for,
// verifies its signature, and makes the canonical bytes that become the leaf.
// Pure functions, no I/O.
//
// # Kinds
//
// hashedrekord 0.0.1 and 0.0.2: the digest of an artifact, a signature over it,
// and the public key or certificate it verifies with. A bare digest cannot carry
// pure Ed25519, which signs the message itself; Ed25519ph can.
//
// dsse 0.0.1 and 0.0.2: a DSSE envelope. Every signature in it is verified over
// the envelope's pre-authentication encoding. The payload is not stored, only its
// digest.
//
// intoto 0.0.2: a DSSE envelope too, as Rekor v1 logged it before it had dsse.
//
// rekord 0.0.1: the digest of an artifact, and a signature over the artifact
// itself, which the client sends along; it is not stored.
//
// raw: opaque bytes, which must not look like one of the others.
//
// Version 0.0.2 of hashedrekord and dsse are Rekor v2's, and what this product's
// own API adds; all else but raw is Rekor v1's, and NewRekorV1 takes it.
//
// # Canonical bytes
//
// Those of hashedrekord and dsse 0.0.2 are Rekor v2's, to the byte: the RFC 8785
// form of the JSON of its Entry message. So a hashedrekord is
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
//
// Those of the others are Rekor v1's, to the byte:
//
//	{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{
//	  "data":{"hash":{"algorithm":"sha256","value":"<hex>"}},
//	  "signature":{"content":"…","publicKey":{"content":"<base64 of PEM>"}}}}
//
//	{"apiVersion":"0.0.1","kind":"rekord","spec":{
//	  "data":{"hash":{"algorithm":"sha256","value":"<hex>"}},
//	  "signature":{"content":"…","format":"x509","publicKey":{"content":"<base64 of PEM>"}}}}
//
//	{"apiVersion":"0.0.1","kind":"dsse","spec":{
//	  "envelopeHash":{"algorithm":"sha256","value":"<hex, of the envelope as sent>"},
//	  "payloadHash":{"algorithm":"sha256","value":"<hex>"},
//	  "signatures":[{"signature":"…","verifier":"<base64 of PEM>"}]}}
//
//	{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{
//	  "envelope":{"payloadType":"…","signatures":[{"keyid":"…","publicKey":"<base64 of PEM>","sig":"<base64 of base64>"}]},
//	  "hash":{"algorithm":"sha256","value":"<hex, the client's word>"},
//	  "payloadHash":{"algorithm":"sha256","value":"<hex>"}}}}
//
// The PEM is written again: a key, a certificate, or a chain of them, the signer's
// first; in an intoto it stands as the client wrote it. A dsse has its signatures
// in the order of their base64, and an intoto in that of the envelope; its keyid
// is left out where it is empty.
//
// # What Rekor v1 takes
//
// NewRekorV1 takes what Rekor v1's server does, as it is set up if it is not told
// otherwise: a hashedrekord by ECDSA on P-256, P-384 and P-521 with SHA-256,
// SHA-384 and SHA-512, by RSA of 2048, 3072 and 4096 bits in PKCS#1 v1.5 with
// SHA-256, and by Ed25519ph. RSA-PSS it does not take, nor does Rekor. The other
// kinds sign with SHA-256 whatever the key, or with pure Ed25519; an envelope by
// P-384 with SHA-384 is for version 0.0.2. Certificates are not validated, but
// the chain of a hashedrekord or rekord must be one.
//
// Some things that Rekor v1 takes are refused here, so that one signature is one
// entry, and so that all readers read the same:
//
//   - ECDSA signatures in IEEE P1363 form: ASN.1 DER is the one form.
//   - Digests in upper-case hex, which Rekor logs as they are written.
//   - Signatures of envelopes in URL-safe base64, in lines, or with stray bits:
//     Rekor logs them as they are written, and its readers refuse some of these.
//   - An envelope's signature that is there twice, a verifier that is, as a key or
//     in certificates, and one that verifies nothing.
//   - A publicKey of an intoto that is not its signature's but that of another.
//   - The hash of an intoto, if it is not 64 digits of hex. Nobody can check it.
//   - More than 10 signatures or verifiers, and more than 65,535 canonical bytes.
//   - Members that are there twice, or in other capitals, or with a value of
//     another type than they have; text that is not UTF-8; more after the JSON.
//   - Envelopes without a payload or a payloadType, or with an empty payloadType;
//     a payload in lines.
//   - Text around PEM blocks, and PEM blocks that are damaged.
//   - apiVersions that mean one that is served and are written otherwise, such
//     as 0.0.1+x, and the intoto of version 0.0.1.
//   - Keys of other sizes and on other curves, which Rekor refuses only in a
//     hashedrekord; those of a chain's certificates too.
//   - A rekord in another format than x509: pgp, minisign and ssh.
//   - An envelope with more verifiers than signatures, and signatures by expensive
//     keys (P-384, P-521) in another order than the verifiers: see below.
//   - A chain with two certificates of one subject above the signer's.
//   - A rekord with a url: a log that fetched it would be told by anybody what
//     to ask whom. Rekor passes it over, or has no content then.
//
// What is taken here, Rekor takes, and makes the same bytes of it.
//
// # How much work an entry is
//
// What admitting an entry costs is bounded by its size. A message is hashed once
// by each hash that signs it (pure Ed25519 hashes it for each signature). A key
// is tried with a signature only if the signature has the form of those by the
// key: first the key that the keyid beside the signature names, by the hex
// SHA-256 of its SubjectPublicKeyInfo; then the one in the signature's place;
// then those that have not verified another. All attempts together take at most
// twice what verifying each signature once does, and what verifying 64 signatures
// on P-256 takes; beyond that the entry is refused. So cheap keys may come in any
// order. The work is counted before it is done, and goes through a [Work].
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

// invalid makes an error match ErrInvalid, unless it is one of a Work, which it
// returns as it is. What this package exports does so, once; what it does not,
// returns bare errors.
func invalid(err error) error {
	if why, ok := errors.AsType[stopped](err); ok {
		return why.error
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}
