package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
	Work      Work       // does the verifications; nil: at once
}

// NewDSSE admits an envelope.
func NewDSSE(d DSSE) (Entry, error) {
	canonical, err := d.admit()
	if err != nil {
		return Entry{}, invalid(err)
	}
	return newEntry(KindDSSE, version002, canonical)
}

func (d DSSE) admit() ([]byte, error) {
	var e envelope
	var signers []Signer
	var sum [32]byte
	if err := d.Work.read(len(d.Envelope), func() (err error) {
		if e, err = parseEnvelope(d.Envelope); err != nil {
			return fmt.Errorf("envelope: %w", err)
		}
		sum = sha256.Sum256(e.payload)
		signers, err = envelopeSigners(d.Verifiers)
		return err
	}); err != nil {
		return nil, err
	}
	by, err := matchSignatures(d.Work, e, signers)
	if err != nil {
		return nil, err
	}
	var signed []signatureJSON
	for i, s := range by {
		signed = append(signed, signatureJSON{Content: e.signatures[i], Verifier: s.json()})
	}
	// Rekor v2 orders them by the bytes of the signature.
	slices.SortFunc(signed, bySignature)
	return canonicalDSSE(dsseV002{PayloadHash: hashJSON{Algorithm: "SHA2_256", Digest: sum[:]}, Signatures: signed}), nil
}

func bySignature(a, b signatureJSON) int { return bytes.Compare(a.Content, b.Content) }

// PAE is DSSE's pre-authentication encoding: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	pae := make([]byte, 0, 64+len(payloadType)+len(payload))
	pae = fmt.Appendf(pae, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload))
	return append(pae, payload...)
}

// matchSignatures finds the signer of each signature. Each signer must have made
// one.
func matchSignatures(w Work, e envelope, signers []Signer) ([]Signer, error) {
	if len(signers) > len(e.signatures) {
		return nil, fmt.Errorf("there are %d verifiers for %d signatures of the envelope: a verifier verifies none of them; leave it out", len(signers), len(e.signatures))
	}
	c := newChecker(w, newMessage(PAE(e.payloadType, e.payload)), e.signatures, signers)
	used := make([]bool, len(signers))
	var by []Signer
	for i, sig := range e.signatures {
		at, err := c.find(signers, likelyOrder(signers, used, i, e.keyIDs[i]), sig)
		switch {
		case errors.Is(err, errTooMuchWork):
			return nil, fmt.Errorf("verifying signature %d of the envelope, and those before it, takes too much work; give the verifiers in the order of the signatures, or log fewer signatures", i)
		case errors.Is(err, ErrSignature):
			return nil, c.failed(fmt.Errorf("%w: signature %d of the envelope, with any of the %d verifiers", err, i, len(signers)), signers[0], sig)
		case err != nil:
			return nil, err
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

// find tries signers in an order until one verifies a signature.
func (c *checker) find(signers []Signer, order []int, sig []byte) (int, error) {
	for _, at := range order {
		if err := c.verify(signers[at], sig); !errors.Is(err, ErrSignature) {
			return at, err
		}
	}
	return -1, ErrSignature
}

// likelyOrder is the order in which to try signers for a signature: first the
// one that its keyid names, then the one in its place, then the others; those
// that made another come last.
func likelyOrder(signers []Signer, used []bool, place int, keyID string) []int {
	order, rank := make([]int, len(signers)), make([]int, len(signers))
	for i, s := range signers {
		switch order[i] = i; {
		case s.isNamed(keyID):
		case used[i]:
			rank[i] = 3
		case i == place:
			rank[i] = 1
		default:
			rank[i] = 2
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank[a] - rank[b] })
	return order
}

// isNamed reports whether a keyid names the signer. It is only a hint: nobody
// signed it.
func (s Signer) isNamed(keyID string) bool {
	if len(keyID) != hex.EncodedLen(sha256.Size) {
		return false
	}
	sum := sha256.Sum256(s.SPKI)
	return hex.EncodeToString(sum[:]) == keyID
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
	return s.Signer.verifyMessage(newMessage(pae), s.Signature)
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
	pae := newMessage(PAE(e.payloadType, e.payload))
	for i, s := range b.Signatures {
		if !slices.ContainsFunc(e.signatures, func(sig []byte) bool { return bytes.Equal(sig, s.Signature) }) {
			return fmt.Errorf("signature %d of the entry is not in the envelope", i)
		}
		if err := s.Signer.verifyMessage(pae, s.Signature); err != nil {
			return fmt.Errorf("signature %d of the entry: %w", i, err)
		}
	}
	return nil
}
