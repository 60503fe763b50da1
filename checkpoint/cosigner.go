package checkpoint

import (
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"indelible/merkle"
)

// Cosigner makes cosignatures with one private key.
//
// A cosignature with a time says that the checkpoint is the largest consistent
// one that the cosigner saw of its origin until then. That this is true is the
// caller's to know; a Cosigner only signs.
type Cosigner struct {
	key      crypto.Signer
	verifier Verifier
}

// NewCosigner returns a cosigner called name: Ed25519 (type 0x04) or ML-DSA-44
// (0x06). An Ed25519 key must cosign under one name only.
//
// SPEC: tlog-cosignature: an Ed25519 cosignature does not bind the name.
func NewCosigner(name string, key crypto.Signer) (*Cosigner, error) {
	v, err := newCosignerVerifier(name, key.Public())
	if err != nil {
		return nil, err
	}
	// SPEC: tlog-cosignature: the length of cosigner_name is one byte.
	if len(name) > math.MaxUint8 {
		return nil, malformed("key name %q: %d bytes; a cosigner's has at most %d", abbreviate(name), len(name), math.MaxUint8)
	}
	return &Cosigner{key: key, verifier: v}, nil
}

func newCosignerVerifier(name string, pub crypto.PublicKey) (Verifier, error) {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return newVerifier(name, CosignatureV1Ed25519, pub)
	case *mldsa.PublicKey:
		return newVerifier(name, CosignatureV1MLDSA44, pub.Bytes())
	default:
		return Verifier{}, fmt.Errorf("a key of type %T cannot cosign; use Ed25519 or ML-DSA-44", pub)
	}
}

// Verifier returns the public half.
func (s *Cosigner) Verifier() Verifier { return s.verifier }

// Cosign signs a checkpoint as seen at a time, in POSIX seconds.
func (s *Cosigner) Cosign(c Checkpoint, seconds int64) (Signature, error) {
	return s.CosignExtended(c, nil, seconds)
}

// CosignExtended is Cosign for a checkpoint with extension lines, which an
// ML-DSA-44 cosignature says nothing about.
func (s *Cosigner) CosignExtended(c Checkpoint, extension []byte, seconds int64) (Signature, error) {
	// SPEC: tlog-witness: the timestamp is not zero.
	if seconds <= 0 {
		return Signature{}, fmt.Errorf("cosign as %s: the time %d is not after 1970; set the clock right", s.verifier.name, seconds)
	}
	if s.verifier.alg == CosignatureV1Ed25519 {
		return s.sign(cosignedText(seconds, append(c.Text(), extension...)), seconds)
	}
	if err := checkCosigned(c.Origin); err != nil {
		return Signature{}, err
	}
	return s.sign(cosignedSubtree(s.verifier.name, seconds, c.Origin, Subtree{End: c.Size, Root: c.Root}), seconds)
}

// Signer returns a [Signer] for a log whose key is a cosigner's, as an ML-DSA-44
// key is: it signs note texts as seen at the time that now tells, in POSIX
// seconds.
func (s *Cosigner) Signer(now func() int64) *CosigningSigner { return &CosigningSigner{s, now} }

// CosigningSigner is a [Cosigner] in the part of a [Signer].
type CosigningSigner struct {
	cosigner *Cosigner
	now      func() int64
}

// Name returns the signer's name; for a log, its origin.
func (s *CosigningSigner) Name() string { return s.cosigner.verifier.name }

// KeyHash returns the key id.
func (s *CosigningSigner) KeyHash() uint32 { return s.cosigner.verifier.id }

// Verifier returns the public half.
func (s *CosigningSigner) Verifier() Verifier { return s.cosigner.verifier }

// Sign signs the text of a checkpoint.
func (s *CosigningSigner) Sign(text []byte) ([]byte, error) {
	c, err := ParseText(text)
	if err != nil {
		return nil, err
	}
	sig, err := s.cosigner.Cosign(c, s.now())
	return sig.Blob, err
}

// CosignSubtree signs a subtree that is consistent with a checkpoint which the
// cosigner signed before. Ed25519 keys cannot.
func (s *Cosigner) CosignSubtree(origin string, t Subtree) (Signature, error) {
	if s.verifier.alg != CosignatureV1MLDSA44 {
		return Signature{}, fmt.Errorf("cosign a subtree as %s: only ML-DSA-44 keys can", s.verifier.name)
	}
	if err := checkCosigned(origin); err != nil {
		return Signature{}, err
	}
	// SPEC: tlog-cosignature: a subtree's timestamp is zero.
	return s.sign(cosignedSubtree(s.verifier.name, 0, origin, t), 0)
}

// checkCosigned checks that an origin fits in a cosigned message.
func checkCosigned(origin string) error {
	if origin == "" || len(origin) > math.MaxUint8 {
		return malformed("origin %q: %d bytes; 1 to %d can be cosigned", abbreviate(origin), len(origin), math.MaxUint8)
	}
	return nil
}

// sign signs a message and verifies what it made, as [KeySigner.Sign] does and
// for the same reason.
func (s *Cosigner) sign(message []byte, seconds int64) (Signature, error) {
	sig, err := s.key.Sign(rand.Reader, message, crypto.Hash(0))
	if err != nil {
		return Signature{}, fmt.Errorf("cosign as %s: %w", s.verifier.name, err)
	}
	if !s.verifier.verifyMessage(message, sig) {
		return Signature{}, fmt.Errorf("cosign as %s: the signature just made does not verify", s.verifier.name)
	}
	blob := binary.BigEndian.AppendUint64(make([]byte, 0, timestampSize+len(sig)), uint64(seconds))
	return Signature{Name: s.verifier.name, KeyID: s.verifier.id, Blob: append(blob, sig...)}, nil
}

// Subtree is a part of a log's tree: the entries [Start, End) under Root.
type Subtree struct {
	Start, End int64
	Root       merkle.Hash
}

// VerifySubtree reports whether blob, a [Signature]'s, is this key's signature
// of a subtree of a log.
func (v Verifier) VerifySubtree(origin string, t Subtree, blob []byte) bool {
	seconds, ok := cosignatureTime(blob)
	if !ok || seconds != 0 || v.alg != CosignatureV1MLDSA44 || checkCosigned(origin) != nil {
		return false
	}
	return v.verifyMessage(cosignedSubtree(v.name, 0, origin, t), blob[timestampSize:])
}

// ParseSignatures parses signature lines alone, which is what a witness answers.
func ParseSignatures(lines []byte) ([]Signature, error) {
	if len(lines) > MaxNoteSize {
		return nil, malformed("signatures: %d bytes; at most %d are accepted", len(lines), MaxNoteSize)
	}
	if at := badCharacter(lines); at >= 0 {
		return nil, malformed("signatures: byte %d is a control character or not valid UTF-8", at)
	}
	return parseSignatures(string(lines))
}

// MarshalSignatures prints signature lines alone.
func MarshalSignatures(signatures []Signature) []byte {
	return Note{Signatures: signatures}.Marshal()[1:]
}

// AddCosignatures returns a checkpoint's note with those of the signatures that
// one of the cosigners made of it, and who these are. Of two by one cosigner the
// later stays. The note must be one that was opened or signed here; of the
// signatures nothing is believed.
func AddCosignatures(note []byte, cosigners []Verifier, signatures ...Signature) ([]byte, []Verifier, error) {
	n, err := ParseNote(note)
	if err != nil {
		return nil, nil, err
	}
	known, err := newKeyring(cosigners)
	if err != nil {
		return nil, nil, err
	}
	var added []Verifier
	for _, s := range signatures {
		v, ok := known[keyName{s.Name, s.KeyID}]
		if !ok || !v.IsCosigner() || !v.Verify(n.Text, s.Blob) || !n.put(s) {
			continue
		}
		added = append(added, v)
	}
	out := n.Marshal()
	if _, err := ParseNote(out); err != nil {
		return nil, nil, fmt.Errorf("a checkpoint with %d signatures: %w", len(n.Signatures), err)
	}
	return out, added, nil
}

// put adds a cosignature, in the place of an earlier one by the same key. It
// reports false where the one that is there is as late.
func (n *Note) put(s Signature) bool {
	at := slices.IndexFunc(n.Signatures, func(have Signature) bool { return have.Name == s.Name && have.KeyID == s.KeyID })
	if at < 0 {
		n.Signatures = append(n.Signatures, s)
		return true
	}
	was, _ := cosignatureTime(n.Signatures[at].Blob)
	is, _ := cosignatureTime(s.Blob)
	if is <= was {
		return false
	}
	n.Signatures[at] = s
	return true
}
