package entry

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func admitDSSEV1(spec json.RawMessage) ([]byte, error) {
	r := &specReader{kind: KindDSSE}
	var proposed, verifiers json.RawMessage
	var text *string
	r.object("spec", spec, member{"proposedContent", &proposed})
	r.object("spec.proposedContent", proposed, member{"envelope", &text}, member{"verifiers", &verifiers})
	data := []byte(r.text("spec.proposedContent.envelope", text))
	var signers []Signer
	r.list("spec.proposedContent.verifiers", verifiers, func(path string, value json.RawMessage) {
		var one *string
		if err := jsonError(json.Unmarshal(value, &one)); err != nil {
			r.fail(path, "is wrong: %w", err)
		}
		signer, _ := r.signer(path, one)
		signers = append(signers, signer)
	})
	if r.err != nil {
		return nil, r.err
	}
	e, err := parseEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("spec.proposedContent.envelope is wrong: %w", err)
	}
	return dsseV1Of(data, e, signers)
}

// dsseV1Of checks an envelope as Rekor v1 does, to which one key has one
// signature.
func dsseV1Of(text []byte, e envelope, signers []Signer) ([]byte, error) {
	if err := e.standardBase64(); err != nil {
		return nil, fmt.Errorf("spec.proposedContent.envelope is wrong: %w", err)
	}
	if err := distinct(signers); err != nil {
		return nil, fmt.Errorf("spec.proposedContent.verifiers is wrong: %w", err)
	}
	by, err := matchSignatures(e, signers)
	if err != nil {
		return nil, err
	}
	if len(by) > len(signers) {
		return nil, fmt.Errorf("the envelope has %d signatures by %d keys; Rekor v1 takes one by each key", len(by), len(signers))
	}
	envelope, payload := sha256.Sum256(text), sha256.Sum256(e.payload)
	j := dsseV1{EnvelopeHash: newHashV1(crypto.SHA256, envelope[:]), PayloadHash: newHashV1(crypto.SHA256, payload[:])}
	for i, s := range by {
		j.Signatures = append(j.Signatures, dsseSignatureV1{e.encoded[i], s.pem()})
	}
	slices.SortFunc(j.Signatures, bySignatureV1)
	return canonicalDSSEV1(j), nil
}

// Rekor v1 orders them by the base64.
func bySignatureV1(a, b dsseSignatureV1) int { return strings.Compare(a.Signature, b.Signature) }

// standardBase64 refuses signatures in the other alphabet: Rekor v1 keeps them
// as they are written, so that one would make two entries, and its readers want
// the standard alphabet.
func (e envelope) standardBase64() error {
	for i, s := range e.encoded {
		if strings.ContainsAny(s, "-_") {
			return fmt.Errorf("its signature %d is in URL-safe base64; write it in standard base64", i)
		}
	}
	return nil
}
