package entry

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// How the canonical bytes of Rekor v1's kinds begin.
const (
	hashedRekordV1Prefix = `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{`
	dsseV1Prefix         = `{"apiVersion":"0.0.1","kind":"dsse","spec":{`
	intotoPrefix         = `{"apiVersion":"0.0.2","kind":"intoto","spec":{`
	rekordPrefix         = `{"apiVersion":"0.0.1","kind":"rekord","spec":{`
)

// The JSON of Rekor v1's kinds, for reading it.
type (
	entryV1[S any] struct {
		Spec S `json:"spec"`
	}
	rekordV1 struct { // of a hashedrekord too, which has no format
		Data struct {
			Hash hashV1 `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content   []byte `json:"content"`
			Format    string `json:"format"`
			PublicKey struct {
				Content []byte `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
	}
	dsseV1 struct {
		EnvelopeHash hashV1            `json:"envelopeHash"`
		PayloadHash  hashV1            `json:"payloadHash"`
		Signatures   []dsseSignatureV1 `json:"signatures"`
	}
	dsseSignatureV1 struct {
		Signature string `json:"signature"` // base64, as in the envelope
		Verifier  []byte `json:"verifier"`
	}
	intotoV2 struct {
		Content struct {
			Envelope struct {
				Payload     []byte              `json:"payload"` // base64 once more; only other logs write it
				PayloadType string              `json:"payloadType"`
				Signatures  []intotoSignatureV2 `json:"signatures"`
			} `json:"envelope"`
			Hash        hashV1 `json:"hash"`
			PayloadHash hashV1 `json:"payloadHash"`
		} `json:"content"`
	}
	intotoSignatureV2 struct {
		KeyID     string `json:"keyid"`
		PublicKey []byte `json:"publicKey"` // as the client wrote it
		Sig       []byte `json:"sig"`       // base64, as in the envelope
	}
	hashV1 struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"` // hex
	}
)

// hashNameV1 is Rekor v1's name of a hash.
func hashNameV1(h crypto.Hash) string {
	switch h {
	case crypto.SHA384:
		return "sha384"
	case crypto.SHA512:
		return "sha512"
	}
	return "sha256"
}

func hashByNameV1(name string) (crypto.Hash, bool) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if hashNameV1(h) == name {
			return h, true
		}
	}
	return 0, false
}

func newHashV1(h crypto.Hash, digest []byte) hashV1 {
	return hashV1{hashNameV1(h), hex.EncodeToString(digest)}
}

// parse takes a digest as this package writes it. Upper case would make a second
// entry of the same signature.
func (h hashV1) parse() (crypto.Hash, []byte, error) {
	hash, ok := hashByNameV1(h.Algorithm)
	if !ok {
		return 0, nil, fmt.Errorf("its algorithm is %q; give sha256, sha384 or sha512", h.Algorithm)
	}
	if len(h.Value) != 2*hash.Size() {
		return 0, nil, fmt.Errorf("its value has %d characters; a %s digest has %d, in hex", len(h.Value), h.Algorithm, 2*hash.Size())
	}
	digest, err := hex.DecodeString(h.Value)
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("its value %q is not hex: %w", h.Value, err)
	case hex.EncodeToString(digest) != h.Value:
		return 0, nil, fmt.Errorf("its value %q has capitals; write %x", h.Value, digest)
	}
	return hash, digest, nil
}

func (h hashV1) append(b []byte) []byte {
	b = append(append(b, `{"algorithm":"`...), h.Algorithm...)
	return append(append(append(b, `","value":"`...), h.Value...), `"}`...)
}

func canonicalRekordV1(prefix string, j rekordV1) []byte {
	b := make([]byte, 0, len(prefix)+160+len(j.Data.Hash.Value)+encodedLen(j.Signature.Content)+encodedLen(j.Signature.PublicKey.Content))
	b = j.Data.Hash.append(append(append(b, prefix...), `"data":{"hash":`...))
	b = appendBase64(append(b, `},"signature":{"content":"`...), j.Signature.Content)
	if j.Signature.Format != "" {
		b = append(append(b, `","format":"`...), j.Signature.Format...)
	}
	b = appendBase64(append(b, `","publicKey":{"content":"`...), j.Signature.PublicKey.Content)
	return append(b, `"}}}}`...)
}

func canonicalDSSEV1(j dsseV1) []byte {
	size := 384
	for _, s := range j.Signatures {
		size += 64 + len(s.Signature) + encodedLen(s.Verifier)
	}
	b := append(make([]byte, 0, size), dsseV1Prefix+`"envelopeHash":`...)
	b = append(j.EnvelopeHash.append(b), `,"payloadHash":`...)
	b = append(j.PayloadHash.append(b), `,"signatures":[`...)
	for i, s := range j.Signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"signature":"`...), s.Signature...)
		b = append(appendBase64(append(b, `","verifier":"`...), s.Verifier), `"}`...)
	}
	return append(b, `]}}`...)
}

func canonicalIntoto(j intotoV2) []byte {
	c := j.Content
	size := 512 + len(c.Envelope.PayloadType) + encodedLen(c.Envelope.Payload)
	for _, s := range c.Envelope.Signatures {
		size += 64 + len(s.KeyID) + encodedLen(s.Sig) + encodedLen(s.PublicKey)
	}
	b := append(make([]byte, 0, size), intotoPrefix+`"content":{"envelope":{`...)
	if len(c.Envelope.Payload) > 0 {
		b = append(appendBase64(append(b, `"payload":"`...), c.Envelope.Payload), `",`...)
	}
	b = append(b, `"payloadType":`...)
	b = append(appendString(b, c.Envelope.PayloadType), `,"signatures":[`...)
	for i, s := range c.Envelope.Signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.append(b)
	}
	b = c.Hash.append(append(b, `]},"hash":`...))
	b = c.PayloadHash.append(append(b, `,"payloadHash":`...))
	return append(b, `}}}`...)
}

func (s intotoSignatureV2) append(b []byte) []byte {
	b = append(b, '{')
	if s.KeyID != "" {
		b = append(appendString(append(b, `"keyid":`...), s.KeyID), ',')
	}
	b = appendBase64(append(b, `"publicKey":"`...), s.PublicKey)
	return append(appendBase64(append(b, `","sig":"`...), s.Sig), `"}`...)
}

// appendString writes a string that a client chose, which is UTF-8.
// SPEC: RFC 8785, 3.2.2.2.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		short := strings.IndexRune("\b\t\n\f\r", r)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ':
			b = utf8.AppendRune(b, r)
		case short >= 0:
			b = append(b, '\\', "btnfr"[short])
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}
