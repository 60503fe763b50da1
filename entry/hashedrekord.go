package entry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// HashedRekord is a signed digest, as a client asks for it to be logged.
type HashedRekord struct {
	Digest    []byte // 32, 48 or 64 bytes, by the key's hash
	Signature []byte // over the digest: ECDSA in ASN.1, RSA PKCS#1 v1.5, or Ed25519ph
	Verifier  Verifier
	Work      Work // does the verification; nil: at once
}

// NewHashedRekord admits a signed digest.
func NewHashedRekord(r HashedRekord) (Entry, error) {
	signer, err := r.verify()
	if err != nil {
		return Entry{}, invalid(err)
	}
	return newEntry(KindHashedRekord, version002, canonicalHashedRekord(hashedRekordV002{
		Data:      hashJSON{Algorithm: hashName(signer.KeyDetails.hash()), Digest: r.Digest},
		Signature: signatureJSON{Content: r.Signature, Verifier: signer.json()},
	}))
}

func (r HashedRekord) verify() (Signer, error) {
	switch {
	case len(r.Digest) == 0:
		return Signer{}, errors.New("it has no digest")
	case len(r.Signature) == 0:
		return Signer{}, errors.New("it has no signature")
	}
	s, err := r.Verifier.signer(KindHashedRekord)
	if err != nil {
		return s, err
	}
	if hash := s.KeyDetails.hash(); len(r.Digest) != hash.Size() {
		return s, fmt.Errorf("the digest has %d bytes; %s signs the %d bytes of %s%s", len(r.Digest), s.KeyDetails, hash.Size(), hash, s.explainEd25519())
	}
	return s, r.Work.do(s.cost(0), func() error {
		if err := s.verifyDigest(r.Digest, r.Signature); err != nil {
			return fmt.Errorf("%w over the digest %x with the %s key given%s", err, r.Digest, s.KeyDetails, s.explainEd25519())
		}
		return nil
	})
}

// HashedRekordBody is what the canonical bytes of a hashedrekord say.
type HashedRekordBody struct {
	Algorithm string // of the digest: SHA2_256, SHA2_384 or SHA2_512
	Digest    []byte
	Signature []byte
	Signer    Signer
}

// Verify checks the signature over the digest.
func (b *HashedRekordBody) Verify() error {
	return b.Signer.verifyDigest(b.Digest, b.Signature)
}

// MatchArtifact checks that the entry is of this artifact.
func (b *HashedRekordBody) MatchArtifact(artifact io.Reader) error {
	return matchDigest(artifact, b.Algorithm, b.Digest)
}

func matchDigest(r io.Reader, algorithm string, digest []byte) error {
	hash, ok := hashByName(algorithm)
	if !ok {
		return fmt.Errorf("the digest's algorithm %q is unknown", algorithm)
	}
	h := hash.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if got := h.Sum(nil); !bytes.Equal(got, digest) {
		return fmt.Errorf("its %s digest is %x, and the entry is of %x", hash, got, digest)
	}
	return nil
}
