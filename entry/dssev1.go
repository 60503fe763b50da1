package entry

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// proposedDSSE is what a proposed dsse says.
type proposedDSSE struct {
	envelope    envelope
	signers     []Signer
	hash        [32]byte // of the envelope's text
	payloadHash [32]byte
}

func admitDSSEV1(w Work, spec json.RawMessage) ([]byte, error) {
	var p proposedDSSE
	if err := w.read(len(spec), func() error { return p.read(spec) }); err != nil {
		return nil, err
	}
	return p.verify(w)
}

func (p *proposedDSSE) read(spec json.RawMessage) error {
	r := &specReader{kind: KindDSSE}
	var proposed, verifiers json.RawMessage
	var text *string
	r.object("spec", spec, member{"proposedContent", &proposed})
	r.object("spec.proposedContent", proposed, member{"envelope", &text}, member{"verifiers", &verifiers})
	data := []byte(r.text("spec.proposedContent.envelope", text))
	r.list("spec.proposedContent.verifiers", verifiers, func(path string, value json.RawMessage) {
		var one *string
		if err := jsonError(json.Unmarshal(value, &one)); err != nil {
			r.fail(path, "is wrong: %w", err)
		}
		signer, _ := r.signer(path, one)
		p.signers = append(p.signers, signer)
	})
	if r.err != nil {
		return r.err
	}
	var err error
	if p.envelope, err = parseEnvelope(data); err == nil {
		err = p.envelope.standardBase64()
	}
	if err != nil {
		return fmt.Errorf("spec.proposedContent.envelope is wrong: %w", err)
	}
	if err := distinct(p.signers); err != nil {
		return fmt.Errorf("spec.proposedContent.verifiers is wrong: %w", err)
	}
	p.hash, p.payloadHash = sha256.Sum256(data), sha256.Sum256(p.envelope.payload)
	return nil
}

// verify checks an envelope as Rekor v1 does, to which one key has one
// signature.
func (p *proposedDSSE) verify(w Work) ([]byte, error) {
	if n, keys := len(p.envelope.signatures), len(p.signers); n > keys {
		return nil, fmt.Errorf("the envelope has %d signatures by %d keys; Rekor v1 takes one by each key", n, keys)
	}
	by, err := matchSignatures(w, p.envelope, p.signers)
	if err != nil {
		return nil, err
	}
	j := dsseV1{EnvelopeHash: newHashV1(crypto.SHA256, p.hash[:]), PayloadHash: newHashV1(crypto.SHA256, p.payloadHash[:])}
	for i, s := range by {
		j.Signatures = append(j.Signatures, dsseSignatureV1{p.envelope.encoded[i], s.pem()})
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
