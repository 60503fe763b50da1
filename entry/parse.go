package entry

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Parsed is what the canonical bytes of an entry say. One of the pointers is
// set, by Kind; for a raw entry Raw is.
type Parsed struct {
	Kind         Kind
	HashedRekord *HashedRekordBody
	DSSE         *DSSEBody
	Raw          []byte
}

// Parse reads canonical bytes. It takes exactly what this package writes; any
// other bytes are a raw entry. Signatures are not verified here.
func Parse(canonical []byte) (Parsed, error) {
	var typed struct {
		Kind Kind `json:"kind"`
	}
	// An error means that it is no JSON object, and so a raw entry.
	if json.Unmarshal(canonical, &typed) != nil {
		typed.Kind = KindRaw
	}
	switch typed.Kind {
	case KindHashedRekord:
		b, err := parseHashedRekord(canonical)
		return Parsed{Kind: KindHashedRekord, HashedRekord: b}, err
	case KindDSSE:
		b, err := parseDSSE(canonical)
		return Parsed{Kind: KindDSSE, DSSE: b}, err
	}
	if _, err := NewRaw(canonical); err != nil {
		return Parsed{}, err
	}
	return Parsed{Kind: KindRaw, Raw: canonical}, nil
}

func parseHashedRekord(canonical []byte) (*HashedRekordBody, error) {
	var j hashedRekordJSON
	if err := decodeStrict(canonical, &j); err != nil {
		return nil, invalidf("hashedrekord: %w", err)
	}
	v := j.Spec.V002
	if v.Signature.Verifier.PublicKey == nil && v.Signature.Verifier.Certificate == nil {
		return nil, invalidf("hashedrekord: it has neither a public key nor a certificate")
	}
	if !bytes.Equal(canonicalHashedRekord(v), canonical) {
		return nil, notCanonical(KindHashedRekord)
	}
	s, err := v.Signature.Verifier.signer(KindHashedRekord)
	if err != nil {
		return nil, err
	}
	if hash := s.KeyDetails.hash(); v.Data.Algorithm != hashName(hash) || len(v.Data.Digest) != hash.Size() {
		return nil, invalidf("hashedrekord: a digest of %d bytes by %q does not go with %s", len(v.Data.Digest), v.Data.Algorithm, s.KeyDetails)
	}
	return &HashedRekordBody{Algorithm: v.Data.Algorithm, Digest: v.Data.Digest, Signature: v.Signature.Content, Signer: s}, nil
}

func parseDSSE(canonical []byte) (*DSSEBody, error) {
	var j dsseJSON
	if err := decodeStrict(canonical, &j); err != nil {
		return nil, invalidf("dsse: %w", err)
	}
	v := j.Spec.V002
	again, err := canonicalDSSE(v)
	if err != nil || !bytes.Equal(again, canonical) || j.APIVersion != apiVersion {
		return nil, notCanonical(KindDSSE)
	}
	sorted := slices.IsSortedFunc(v.Signatures, func(a, b signatureJSON) int { return bytes.Compare(a.Content, b.Content) })
	if n := len(v.Signatures); n < 1 || n > maxDSSESignatures || !sorted {
		return nil, notCanonical(KindDSSE)
	}
	if v.PayloadHash.Algorithm != "SHA2_256" || len(v.PayloadHash.Digest) != 32 {
		return nil, invalidf("dsse: a payload digest of %d bytes by %q", len(v.PayloadHash.Digest), v.PayloadHash.Algorithm)
	}
	b := &DSSEBody{PayloadAlgorithm: v.PayloadHash.Algorithm, PayloadDigest: v.PayloadHash.Digest}
	for _, sig := range v.Signatures {
		s, err := sig.Verifier.signer(KindDSSE)
		if err != nil {
			return nil, err
		}
		b.Signatures = append(b.Signatures, DSSESignature{Signature: sig.Content, Signer: s})
	}
	return b, nil
}

func notCanonical(k Kind) error {
	return invalidf("%s: these are not its canonical bytes", k)
}

// signer reads a verifier that was logged, which must be what this package
// would have written.
func (v verifierJSON) signer(kind Kind) (Signer, error) {
	given := Verifier{KeyDetails: v.KeyDetails}
	if v.PublicKey != nil {
		given.PublicKey = v.PublicKey.RawBytes
	}
	if v.Certificate != nil {
		given.Certificate = v.Certificate.RawBytes
	}
	s, err := given.signer(kind)
	if err != nil {
		return s, err
	}
	if v.KeyDetails == "" || s.Certificate == nil && !bytes.Equal(s.SPKI, v.PublicKey.RawBytes) ||
		s.Certificate != nil && !bytes.Equal(s.Certificate.Raw, v.Certificate.RawBytes) {
		return s, notCanonical(kind)
	}
	return s, nil
}

// Signers are who signed an entry.
func (p Parsed) Signers() []Signer {
	switch {
	case p.HashedRekord != nil:
		return []Signer{p.HashedRekord.Signer}
	case p.DSSE != nil:
		var all []Signer
		for _, s := range p.DSSE.Signatures {
			all = append(all, s.Signer)
		}
		return all
	}
	return nil
}
