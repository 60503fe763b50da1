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
	Version      string // 0.0.1 of Rekor v1's kinds except for intoto, 0.0.2 of Rekor v2's; a raw entry has none
	HashedRekord *HashedRekordBody
	DSSE         *DSSEBody
	Intoto       *IntotoBody
	Rekord       *RekordBody
	Raw          []byte
}

// KindOf tells the kind and the version of the canonical bytes of an entry that
// was admitted, by how they begin. Of other bytes it says what they would be.
func KindOf(canonical []byte) (kind Kind, version string) {
	for _, k := range []struct {
		prefix, version string
		kind            Kind
	}{
		{hashedRekordPrefix, version002, KindHashedRekord},
		{hashedRekordV1Prefix, version001, KindHashedRekord},
		{dssePrefix, version002, KindDSSE},
		{dsseV1Prefix, version001, KindDSSE},
		{intotoPrefix, version002, KindIntoto},
		{rekordPrefix, version001, KindRekord},
	} {
		if len(canonical) > len(k.prefix) && string(canonical[:len(k.prefix)]) == k.prefix {
			return k.kind, k.version
		}
	}
	return KindRaw, ""
}

// Parse reads canonical bytes. It takes exactly what this package writes: bytes
// that are of no other kind are a raw entry, unless they could pass for one.
// Signatures are not verified here.
func Parse(canonical []byte) (Parsed, error) {
	p, err := parse(canonical)
	if err != nil {
		return Parsed{}, invalid(err)
	}
	return p, nil
}

func parse(canonical []byte) (p Parsed, err error) {
	if len(canonical) > MaxCanonical {
		return p, tooLarge(len(canonical))
	}
	p.Kind, p.Version = KindOf(canonical)
	switch {
	case p.Kind == KindRaw:
		p.Raw = canonical
		return p, checkRaw(canonical)
	case p.Kind == KindHashedRekord && p.Version == version001:
		p.HashedRekord, err = parseHashedRekordV1(canonical)
	case p.Kind == KindHashedRekord:
		p.HashedRekord, err = parseHashedRekord(canonical)
	case p.Kind == KindDSSE && p.Version == version001:
		p.DSSE, err = parseDSSEV1(canonical)
	case p.Kind == KindDSSE:
		p.DSSE, err = parseDSSE(canonical)
	case p.Kind == KindIntoto:
		p.Intoto, err = parseIntoto(canonical)
	case p.Kind == KindRekord:
		p.Rekord, err = parseRekord(canonical)
	}
	if err != nil {
		return p, fmt.Errorf("%s %s: %w", p.Kind, p.Version, err)
	}
	return p, nil
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
	if n := len(v.Signatures); n < 1 || n > MaxSignatures {
		return nil, fmt.Errorf("%d signatures; an entry has 1 to %d", n, MaxSignatures)
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
	case p.Rekord != nil:
		return []Signer{p.Rekord.Signer}
	case p.DSSE != nil:
		return p.DSSE.signers()
	case p.Intoto != nil:
		return p.Intoto.signers()
	}
	return nil
}
