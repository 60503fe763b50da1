package entry

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// MaxSignatures is how many signatures an envelope is logged with, and how many
// verifiers. It bounds the work on one, as Rekor v2 does.
const MaxSignatures = 10

// DSSE is an envelope, as a client asks for it to be logged.
type DSSE struct {
	Envelope  []byte     // JSON
	Verifiers []Verifier // every signature needs one of these, and each of these a signature
}

// NewDSSE admits an envelope.
func NewDSSE(d DSSE) (Entry, error) {
	e, err := parseEnvelope(d.Envelope)
	if err != nil {
		return Entry{}, invalid(fmt.Errorf("envelope: %w", err))
	}
	signers, err := envelopeSigners(d.Verifiers)
	if err != nil {
		return Entry{}, invalid(err)
	}
	by, err := matchSignatures(e, signers)
	if err != nil {
		return Entry{}, invalid(err)
	}
	var signed []signatureJSON
	for i, s := range by {
		signed = append(signed, signatureJSON{Content: e.signatures[i], Verifier: s.json()})
	}
	// Rekor v2 orders them by the bytes of the signature.
	slices.SortFunc(signed, bySignature)
	sum := sha256.Sum256(e.payload)
	return newEntry(KindDSSE, version002, canonicalDSSE(dsseV002{
		PayloadHash: hashJSON{Algorithm: "SHA2_256", Digest: sum[:]}, Signatures: signed,
	}))
}

func bySignature(a, b signatureJSON) int { return bytes.Compare(a.Content, b.Content) }

// PAE is DSSE's pre-authentication encoding: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	pae := make([]byte, 0, 64+len(payloadType)+len(payload))
	pae = fmt.Appendf(pae, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload))
	return append(pae, payload...)
}

// matchSignatures finds who made each signature.
func matchSignatures(e envelope, signers []Signer) ([]Signer, error) {
	message := PAE(e.payloadType, e.payload)
	used := make([]bool, len(signers))
	var by []Signer
	for i, sig := range e.signatures {
		at := slices.IndexFunc(signers, func(s Signer) bool { return s.verifyMessage(message, sig) == nil })
		if at < 0 {
			return nil, fmt.Errorf("%w: signature %d of the envelope, with any of the %d verifiers%s", ErrSignature, i, len(signers), signers[0].explainMessage(message, sig))
		}
		used[at] = true
		by = append(by, signers[at])
	}
	// Rekor v2 drops such a verifier; a client should not believe it logged.
	if i := slices.Index(used, false); i >= 0 {
		return nil, fmt.Errorf("verifier %d verifies none of the envelope's signatures; leave it out", i)
	}
	return by, nil
}

func envelopeSigners(verifiers []Verifier) ([]Signer, error) {
	if n := len(verifiers); n == 0 || n > MaxSignatures {
		return nil, fmt.Errorf("there are %d verifiers; give 1 to %d", n, MaxSignatures)
	}
	var signers []Signer
	for i, v := range verifiers {
		s, err := v.signer(KindDSSE)
		if err != nil {
			return nil, fmt.Errorf("verifier %d: %w", i, err)
		}
		signers = append(signers, s)
	}
	return signers, distinct(signers)
}

func distinct(signers []Signer) error {
	for i, s := range signers {
		same := func(o Signer) bool { return bytes.Equal(o.SPKI, s.SPKI) }
		if at := slices.IndexFunc(signers[:i], same); at >= 0 {
			return fmt.Errorf("verifiers %d and %d are the same key; give it once, as a key or in a certificate", at, i)
		}
	}
	return nil
}

// DSSEBody is what the canonical bytes of a dsse entry say.
type DSSEBody struct {
	PayloadAlgorithm string // SHA2_256
	PayloadDigest    []byte
	EnvelopeDigest   []byte // SHA-256 of the envelope as it was sent, to the byte; nil in version 0.0.2
	Signatures       []DSSESignature
}

func (b *DSSEBody) signers() (all []Signer) {
	for _, s := range b.Signatures {
		all = append(all, s.Signer)
	}
	return all
}

// DSSESignature is one signature of an envelope.
type DSSESignature struct {
	Signature []byte
	Signer    Signer
}

// Verify checks the signature over an envelope's PAE.
func (s DSSESignature) Verify(pae []byte) error {
	return s.Signer.verifyMessage(pae, s.Signature)
}

// VerifyEnvelope checks that the entry is of this envelope, by its payload, and
// that every logged signature verifies over it and is in it. The envelope may be
// written in another way than the one that was sent.
func (b *DSSEBody) VerifyEnvelope(data []byte) error {
	e, err := parseEnvelope(data)
	if err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	if err := matchDigest(bytes.NewReader(e.payload), b.PayloadAlgorithm, b.PayloadDigest); err != nil {
		return fmt.Errorf("the envelope's payload is another: %w", err)
	}
	if len(e.signatures) != len(b.Signatures) {
		return fmt.Errorf("the envelope has %d signatures, and the entry %d", len(e.signatures), len(b.Signatures))
	}
	if len(b.Signatures) == 0 {
		return errors.New("the entry has no signatures")
	}
	pae := PAE(e.payloadType, e.payload)
	for i, s := range b.Signatures {
		if !slices.ContainsFunc(e.signatures, func(sig []byte) bool { return bytes.Equal(sig, s.Signature) }) {
			return fmt.Errorf("signature %d of the entry is not in the envelope", i)
		}
		if err := s.Verify(pae); err != nil {
			return fmt.Errorf("signature %d of the entry: %w", i, err)
		}
	}
	return nil
}
