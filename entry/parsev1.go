package entry

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// readV1 reads canonical bytes, and checks that they are what is written of what
// they say.
func readV1[S any](canonical []byte, write func(S) []byte) (S, error) {
	var j entryV1[S]
	if err := json.Unmarshal(canonical, &j); err != nil {
		return j.Spec, err
	}
	if !bytes.Equal(write(j.Spec), canonical) {
		return j.Spec, errNotCanonical
	}
	return j.Spec, nil
}

func parseHashedRekordV1(canonical []byte) (*HashedRekordBody, error) {
	j, err := readV1(canonical, func(j rekordV1) []byte { return canonicalRekordV1(hashedRekordV1Prefix, j) })
	if err != nil {
		return nil, err
	}
	if j.Signature.Format != "" {
		return nil, fmt.Errorf("its signature has a format, %q; a hashedrekord has none", j.Signature.Format)
	}
	h, digest, s, err := j.parse(KindHashedRekord)
	if err != nil {
		return nil, err
	}
	// sigstore-python before 2.0 signed the SHA-256 by keys of any size. No such
	// entry is added here.
	if s.KeyDetails == ECDSAP384SHA384 && h == crypto.SHA256 {
		s.KeyDetails = ECDSAP384SHA256
	}
	if h != s.KeyDetails.hash() {
		return nil, fmt.Errorf("a digest by %q does not go with %s", j.Data.Hash.Algorithm, s.KeyDetails)
	}
	return &HashedRekordBody{Algorithm: hashName(h), Digest: digest, Signature: j.Signature.Content, Signer: s}, nil
}

func parseRekord(canonical []byte) (*RekordBody, error) {
	j, err := readV1(canonical, func(j rekordV1) []byte { return canonicalRekordV1(rekordPrefix, j) })
	if err != nil {
		return nil, err
	}
	if j.Signature.Format != formatX509 {
		return nil, fmt.Errorf("the format of its signature is %q; it is %q", j.Signature.Format, formatX509)
	}
	h, digest, s, err := j.parse(KindRekord)
	if err != nil {
		return nil, err
	}
	if h != crypto.SHA256 {
		return nil, fmt.Errorf("its digest is by %q; it is by sha256", j.Data.Hash.Algorithm)
	}
	return &RekordBody{Algorithm: hashName(h), Digest: digest, Signature: j.Signature.Content, Signer: s}, nil
}

func (j rekordV1) parse(kind Kind) (h crypto.Hash, digest []byte, s Signer, err error) {
	if h, digest, err = j.Data.Hash.parse(); err != nil {
		return h, digest, s, fmt.Errorf("its digest is wrong: %w", err)
	}
	if len(j.Signature.Content) == 0 {
		return h, digest, s, errors.New("it has no signature")
	}
	s, err = canonicalSigner(j.Signature.PublicKey.Content, kind)
	return h, digest, s, err
}

// canonicalSigner takes a PEM text as this package writes it.
func canonicalSigner(text []byte, kind Kind) (Signer, error) {
	s, err := signerOfPEM(text, kind)
	if err == nil && !bytes.Equal(s.pem(), text) {
		err = errNotCanonical
	}
	return s, err
}

func (h hashV1) parseSHA256(what string) ([]byte, error) {
	hash, digest, err := h.parse()
	if err == nil && hash != crypto.SHA256 {
		err = fmt.Errorf("its algorithm is %q; it is sha256", h.Algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("the digest of its %s is wrong: %w", what, err)
	}
	return digest, nil
}

func newDSSEBody(payload, envelope hashV1, signatures int) (b DSSEBody, err error) {
	if signatures < 1 || signatures > MaxSignatures {
		return b, fmt.Errorf("%d signatures; an entry has 1 to %d", signatures, MaxSignatures)
	}
	b.PayloadAlgorithm = hashName(crypto.SHA256)
	if b.PayloadDigest, err = payload.parseSHA256("payload"); err != nil {
		return b, err
	}
	b.EnvelopeDigest, err = envelope.parseSHA256("envelope")
	return b, err
}

func parseDSSEV1(canonical []byte) (*DSSEBody, error) {
	j, err := readV1(canonical, canonicalDSSEV1)
	if err != nil {
		return nil, err
	}
	b, err := newDSSEBody(j.PayloadHash, j.EnvelopeHash, len(j.Signatures))
	if err != nil {
		return nil, err
	}
	for i, s := range j.Signatures {
		if i > 0 && bySignatureV1(j.Signatures[i-1], s) >= 0 {
			return nil, fmt.Errorf("signatures %d and %d are not in order", i-1, i)
		}
		signer, err := canonicalSigner(s.Verifier, KindDSSE)
		if err != nil {
			return nil, fmt.Errorf("verifier %d: %w", i, err)
		}
		if err := b.add([]byte(s.Signature), signer); err != nil {
			return nil, err
		}
	}
	return &b, nil
}

func parseIntoto(canonical []byte) (*IntotoBody, error) {
	j, err := readV1(canonical, canonicalIntoto)
	if err != nil {
		return nil, err
	}
	env := j.Content.Envelope
	if env.PayloadType == "" {
		return nil, errors.New("it has no payloadType")
	}
	b, err := newDSSEBody(j.Content.PayloadHash, j.Content.Hash, len(env.Signatures))
	if err != nil {
		return nil, err
	}
	if err := matchPayload(env.Payload, b.PayloadDigest); err != nil {
		return nil, err
	}
	for i, s := range env.Signatures {
		signer, err := signerOfPEM(s.PublicKey, KindIntoto)
		if err != nil {
			return nil, fmt.Errorf("publicKey %d: %w", i, err)
		}
		if err := b.add(s.Sig, signer); err != nil {
			return nil, err
		}
	}
	return &IntotoBody{DSSEBody: b, PayloadType: env.PayloadType}, nil
}

// matchPayload checks the payload that some logs write into an intoto, where Rekor
// leaves it out. This log writes none.
func matchPayload(encoded, digest []byte) error {
	if len(encoded) == 0 {
		return nil
	}
	payload, err := decodeBase64(string(encoded))
	if err != nil {
		return fmt.Errorf("its payload is not base64 of base64: %w", err)
	}
	if sum := sha256.Sum256(payload); !bytes.Equal(sum[:], digest) {
		return fmt.Errorf("its payload has the sha256 %x, and its payloadHash is %x", sum, digest)
	}
	return nil
}

// add appends a signature, which is written in base64, by another key than those
// before it.
func (b *DSSEBody) add(encoded []byte, s Signer) error {
	sig, err := decodeBase64(string(encoded))
	n := len(b.Signatures)
	switch {
	case err != nil:
		return fmt.Errorf("signature %d is not base64: %w", n, err)
	case len(sig) == 0 || !bytes.Equal(appendBase64(nil, sig), encoded):
		return fmt.Errorf("signature %d is not in standard base64", n)
	}
	b.Signatures = append(b.Signatures, DSSESignature{Signature: sig, Signer: s})
	return distinct(b.signers())
}
