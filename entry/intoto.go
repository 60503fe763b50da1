package entry

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// intotoReader gathers what a proposed intoto says.
type intotoReader struct {
	specReader
	entry   intotoV2
	env     envelope
	signers []Signer
}

func admitIntoto(w Work, spec json.RawMessage) ([]byte, error) {
	r := &intotoReader{specReader: specReader{kind: KindIntoto}}
	err := w.read(len(spec), func() error {
		r.read(spec)
		return r.err
	})
	if err != nil {
		return nil, err
	}
	r.verify(w)
	return canonicalIntoto(r.entry), r.err
}

func (r *intotoReader) read(spec json.RawMessage) {
	const at = "spec.content.envelope"
	var content, env, hash, signatures json.RawMessage
	var payloadType, payload *string
	r.object("spec", spec, member{"content", &content})
	r.object("spec.content", content, member{"envelope", &env}, member{"hash", &hash})
	r.object(at, env, member{"payloadType", &payloadType}, member{"payload", &payload}, member{"signatures", &signatures})
	h, digest := r.digest("spec.content.hash", hash)
	if r.err == nil && h != crypto.SHA256 {
		r.fail("spec.content.hash", "is by %s; give the sha256 of the envelope", hashNameV1(h))
	}
	r.env.payloadType = r.text(at+".payloadType", payloadType)
	r.env.payload = r.twice(at+".payload", r.bytes(at+".payload", payload))
	r.list(at+".signatures", signatures, r.signature)
	sum := sha256.Sum256(r.env.payload)
	c := &r.entry.Content
	c.Envelope.PayloadType, c.Hash, c.PayloadHash = r.env.payloadType, newHashV1(h, digest), newHashV1(crypto.SHA256, sum[:])
}

// twice decodes base64 for the second time: intoto 0.0.2 writes the members of
// an envelope, which are base64, in base64.
func (r *specReader) twice(path string, text []byte) []byte {
	b, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		r.fail(path, "must be base64 of base64, as intoto 0.0.2 has it; decoded once it is %.40q, which is not standard base64: %w", text, err)
	}
	return b
}

func (r *intotoReader) signature(path string, raw json.RawMessage) {
	var keyID, sig, key *string
	r.object(path, raw, member{"keyid", &keyID}, member{"sig", &sig}, member{"publicKey", &key})
	var j intotoSignatureV2
	if keyID != nil {
		j.KeyID = *keyID
	}
	var signer Signer
	j.Sig = r.bytes(path+".sig", sig)
	signer, j.PublicKey = r.signer(path+".publicKey", key)
	decoded := r.twice(path+".sig", j.Sig)
	if r.err == nil && !bytes.Equal(appendBase64(nil, decoded), j.Sig) {
		r.fail(path+".sig", "is base64 of %.20q…, which is not how base64 is written: write it without line breaks and stray bits", j.Sig)
	}
	r.entry.Content.Envelope.Signatures = append(r.entry.Content.Envelope.Signatures, j)
	r.env.signatures, r.signers = append(r.env.signatures, decoded), append(r.signers, signer)
}

// verify checks each signature with the key that stands beside it. Rekor would
// take any of the keys, and log it beside another's signature.
func (r *intotoReader) verify(w Work) {
	const at = "spec.content.envelope.signatures"
	if err := distinct(r.signers); err != nil {
		r.fail(at, "is wrong: %w", err)
		return
	}
	c := newChecker(w, newMessage(PAE(r.env.payloadType, r.env.payload)), r.env.signatures, r.signers)
	for i, s := range r.signers {
		sig := r.env.signatures[i]
		err := c.verify(s, sig)
		if errors.Is(err, ErrSignature) {
			err = c.failed(fmt.Errorf("%w: [%d].sig over the envelope, with the %s key in its publicKey", err, i, s.KeyDetails), s, sig)
		}
		if err != nil {
			r.fail(at, "is wrong: %w", err)
			return
		}
	}
}

// IntotoBody is what the canonical bytes of an intoto say. Its EnvelopeDigest is
// the client's word: the log was not sent the envelope as it was written.
type IntotoBody struct {
	DSSEBody
	PayloadType string
}

// VerifyEnvelope checks that the entry is of this envelope, as that of a
// DSSEBody does.
func (b *IntotoBody) VerifyEnvelope(data []byte) error {
	e, err := parseEnvelope(data)
	if err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	if e.payloadType != b.PayloadType {
		return fmt.Errorf("the envelope's payloadType is %q, and the entry's %q", e.payloadType, b.PayloadType)
	}
	return b.DSSEBody.VerifyEnvelope(data)
}
