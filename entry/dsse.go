package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxDSSESignatures bounds the work on one envelope, as Rekor v2 does.
const maxDSSESignatures = 10

// DSSE is an envelope, as a client asks for it to be logged.
type DSSE struct {
	Envelope  []byte     // JSON
	Verifiers []Verifier // every signature needs one of these, and each of these a signature
}

// envelope is a DSSE envelope (secure-systems-lab/dsse, envelope.md).
type envelope struct {
	PayloadType string              `json:"payloadType"`
	Payload     string              `json:"payload"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	Sig   string `json:"sig"`
	KeyID string `json:"keyid"`
}

// NewDSSE admits an envelope.
func NewDSSE(d DSSE) (Entry, error) {
	payloadType, payload, sigs, err := parseEnvelope(d.Envelope)
	if err != nil {
		return Entry{}, err
	}
	signed, err := matchSignatures(PAE(payloadType, payload), sigs, d.Verifiers)
	if err != nil {
		return Entry{}, err
	}
	// Rekor v2 orders them by the bytes of the signature.
	slices.SortFunc(signed, func(a, b signatureJSON) int { return bytes.Compare(a.Content, b.Content) })
	sum := sha256.Sum256(payload)
	canonical, err := canonicalDSSE(dsseV002{PayloadHash: hashJSON{Algorithm: "SHA2_256", Digest: sum[:]}, Signatures: signed})
	if err != nil {
		return Entry{}, invalidf("%w", err)
	}
	return newEntry(KindDSSE, canonical)
}

// PAE is DSSE's pre-authentication encoding: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload)), payload...)
}

func parseEnvelope(data []byte) (payloadType string, payload []byte, sigs [][]byte, err error) {
	var e envelope
	if err := noRepeatedNames(data); err != nil {
		return "", nil, nil, invalidf("envelope: %w", err)
	}
	if err := decodeStrict(data, &e); err != nil {
		return "", nil, nil, invalidf("envelope: it is not a DSSE envelope in JSON: %w", err)
	}
	switch n := len(e.Signatures); {
	case e.PayloadType == "":
		return "", nil, nil, invalidf("envelope: it has no payloadType")
	case e.Payload == "":
		return "", nil, nil, invalidf("envelope: it has no payload")
	case n == 0:
		return "", nil, nil, invalidf("envelope: it has no signature")
	case n > maxDSSESignatures:
		return "", nil, nil, invalidf("envelope: it has %d signatures; at most %d are logged", n, maxDSSESignatures)
	}
	if payload, err = decodeBase64(e.Payload); err != nil {
		return "", nil, nil, invalidf("envelope: its payload is not base64: %w", err)
	}
	for i, s := range e.Signatures {
		sig, err := decodeBase64(s.Sig)
		if err != nil || len(sig) == 0 {
			return "", nil, nil, invalidf("envelope: its signature %d is not base64", i)
		}
		if slices.ContainsFunc(sigs, func(have []byte) bool { return bytes.Equal(have, sig) }) {
			return "", nil, nil, invalidf("envelope: its signature %d is there twice", i)
		}
		sigs = append(sigs, sig)
	}
	return e.PayloadType, payload, sigs, nil
}

// decodeBase64 takes both alphabets. SPEC: DSSE protocol: "either standard or
// URL-safe".
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "-_") {
		return base64.URLEncoding.Strict().DecodeString(s)
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// matchSignatures finds for each signature the verifier that it is by.
func matchSignatures(message []byte, sigs [][]byte, verifiers []Verifier) ([]signatureJSON, error) {
	if n := len(verifiers); n == 0 || n > maxDSSESignatures {
		return nil, invalidf("%d verifiers; give 1 to %d", n, maxDSSESignatures)
	}
	signers := make([]Signer, len(verifiers))
	for i, v := range verifiers {
		s, err := v.signer(KindDSSE)
		if err != nil {
			return nil, fmt.Errorf("verifier %d: %w", i, err)
		}
		signers[i] = s
	}
	used := make([]bool, len(signers))
	var out []signatureJSON
	for i, sig := range sigs {
		at := slices.IndexFunc(signers, func(s Signer) bool { return s.verifyMessage(message, sig) == nil })
		if at < 0 {
			return nil, invalidf("%w: signature %d of the envelope, with any of the %d verifiers", ErrSignature, i, len(signers))
		}
		used[at] = true
		out = append(out, signatureJSON{Content: sig, Verifier: signers[at].json()})
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, invalidf("verifier %d verifies none of the envelope's signatures; leave it out", i)
	}
	return out, nil
}

// DSSEBody is what the canonical bytes of a dsse entry say.
type DSSEBody struct {
	PayloadAlgorithm string // SHA2_256
	PayloadDigest    []byte
	Signatures       []DSSESignature
}

// DSSESignature is one signature of an envelope.
type DSSESignature struct {
	Signature []byte
	Signer    Signer
}

// VerifyEnvelope checks that the entry is of this envelope, by its payload, and
// that every logged signature verifies over it and is in it.
func (b *DSSEBody) VerifyEnvelope(data []byte) error {
	payloadType, payload, sigs, err := parseEnvelope(data)
	if err != nil {
		return err
	}
	if err := matchDigest(bytes.NewReader(payload), b.PayloadAlgorithm, b.PayloadDigest); err != nil {
		return fmt.Errorf("the envelope's payload is another: %w", err)
	}
	if len(sigs) != len(b.Signatures) {
		return fmt.Errorf("the envelope has %d signatures, and the entry %d", len(sigs), len(b.Signatures))
	}
	message := PAE(payloadType, payload)
	for i, s := range b.Signatures {
		if !slices.ContainsFunc(sigs, func(sig []byte) bool { return bytes.Equal(sig, s.Signature) }) {
			return fmt.Errorf("signature %d of the entry is not in the envelope", i)
		}
		if err := s.Signer.verifyMessage(message, s.Signature); err != nil {
			return fmt.Errorf("signature %d of the entry: %w", i, err)
		}
	}
	return nil
}

// noRepeatedNames refuses an object with two members of one name, of which
// different readers would see different ones.
func noRepeatedNames(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var open []map[string]bool // one for each object and array that is open; nil: an array
	name := false              // the next token is a member's name
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return invalidf("it is not a DSSE envelope in JSON: %w", err)
		}
		if s, ok := t.(string); ok && name {
			seen := open[len(open)-1]
			if seen[strings.ToLower(s)] {
				return invalidf("the member %q is there twice", s)
			}
			seen[strings.ToLower(s)], name = true, false
			continue
		}
		switch t {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}
