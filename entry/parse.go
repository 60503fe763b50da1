package entry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Parsed is what the canonical bytes of an entry say. One of the pointers is
// set, by Kind; for a raw entry Raw is.
type Parsed struct {
	Kind         Kind
	HashedRekord *HashedRekordBody
	DSSE         *DSSEBody
	Raw          []byte
}

// Parse reads canonical bytes. It takes exactly what this package writes: bytes
// that are neither a hashedrekord's nor a dsse's are a raw entry, unless they
// could pass for one. Signatures are not verified here.
func Parse(canonical []byte) (Parsed, error) {
	p, err := parse(canonical)
	if err != nil {
		return Parsed{}, invalid(err)
	}
	return p, nil
}

func parse(canonical []byte) (Parsed, error) {
	switch {
	case len(canonical) > MaxCanonical:
		return Parsed{}, tooLarge(len(canonical))
	case bytes.HasPrefix(canonical, []byte(hashedRekordPrefix)):
		b, err := parseHashedRekord(canonical)
		if err != nil {
			err = fmt.Errorf("hashedrekord: %w", err)
		}
		return Parsed{Kind: KindHashedRekord, HashedRekord: b}, err
	case bytes.HasPrefix(canonical, []byte(dssePrefix)):
		b, err := parseDSSE(canonical)
		if err != nil {
			err = fmt.Errorf("dsse: %w", err)
		}
		return Parsed{Kind: KindDSSE, DSSE: b}, err
	}
	return Parsed{Kind: KindRaw, Raw: canonical}, checkRaw(canonical)
}

var errNotCanonical = errors.New("these are not its canonical bytes")

func parseHashedRekord(canonical []byte) (*HashedRekordBody, error) {
	var j hashedRekordJSON
	if err := json.Unmarshal(canonical, &j); err != nil {
		return nil, err
	}
	v := j.Spec.V002
	if !bytes.Equal(canonicalHashedRekord(v), canonical) {
		return nil, errNotCanonical
	}
	s, err := v.Signature.parse(KindHashedRekord)
	if err != nil {
		return nil, err
	}
	if hash := s.Signer.KeyDetails.hash(); v.Data.Algorithm != hashName(hash) || len(v.Data.Digest) != hash.Size() {
		return nil, fmt.Errorf("a digest of %d bytes by %q does not go with %s", len(v.Data.Digest), v.Data.Algorithm, s.Signer.KeyDetails)
	}
	return &HashedRekordBody{Algorithm: v.Data.Algorithm, Digest: v.Data.Digest, Signature: s.Signature, Signer: s.Signer}, nil
}

func parseDSSE(canonical []byte) (*DSSEBody, error) {
	var j dsseJSON
	if err := json.Unmarshal(canonical, &j); err != nil {
		return nil, err
	}
	v := j.Spec.V002
	if !bytes.Equal(canonicalDSSE(v), canonical) {
		return nil, errNotCanonical
	}
	if v.PayloadHash.Algorithm != "SHA2_256" || len(v.PayloadHash.Digest) != 32 {
		return nil, fmt.Errorf("a payload digest of %d bytes by %q; it has 32 by SHA2_256", len(v.PayloadHash.Digest), v.PayloadHash.Algorithm)
	}
	if n := len(v.Signatures); n < 1 || n > maxDSSESignatures {
		return nil, fmt.Errorf("%d signatures; an entry has 1 to %d", n, maxDSSESignatures)
	}
	b := &DSSEBody{PayloadAlgorithm: v.PayloadHash.Algorithm, PayloadDigest: v.PayloadHash.Digest}
	for i, sig := range v.Signatures {
		if i > 0 && bySignature(v.Signatures[i-1], sig) >= 0 {
			return nil, fmt.Errorf("signatures %d and %d are not in order", i-1, i)
		}
		s, err := sig.parse(KindDSSE)
		if err != nil {
			return nil, err
		}
		b.Signatures = append(b.Signatures, s)
	}
	return b, nil
}

// parse reads a signature that was logged, whose verifier must be what this
// package would have written.
func (s signatureJSON) parse(kind Kind) (DSSESignature, error) {
	if len(s.Content) == 0 {
		return DSSESignature{}, errors.New("it has no signature")
	}
	v := s.Verifier
	signer, err := Verifier{PublicKey: v.PublicKey.RawBytes, Certificate: v.Certificate.RawBytes, KeyDetails: v.KeyDetails}.signer(kind)
	if err != nil {
		return DSSESignature{}, err
	}
	again := signer.json()
	if v.KeyDetails != again.KeyDetails || !bytes.Equal(v.PublicKey.RawBytes, again.PublicKey.RawBytes) ||
		!bytes.Equal(v.Certificate.RawBytes, again.Certificate.RawBytes) {
		return DSSESignature{}, errNotCanonical
	}
	return DSSESignature{Signature: s.Content, Signer: signer}, nil
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
