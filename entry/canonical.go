package entry

import (
	"encoding/base64"
)

// How the canonical bytes begin, up to the version's members.
// SPEC: RFC 8785: members in the order of their names, no white space. All
// strings here are base64 or names of ours: ASCII, with nothing to escape.
const (
	hashedRekordPrefix = `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{`
	dssePrefix         = `{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{`
)

// The JSON of an entry, for reading it. Writing it is done by hand below: that
// is done for every entry that is added.
type (
	hashedRekordJSON struct {
		APIVersion string `json:"apiVersion"`
		Kind       Kind   `json:"kind"`
		Spec       struct {
			V002 hashedRekordV002 `json:"hashedRekordV002"`
		} `json:"spec"`
	}
	hashedRekordV002 struct {
		Data      hashJSON      `json:"data"`
		Signature signatureJSON `json:"signature"`
	}
	dsseJSON struct {
		APIVersion string `json:"apiVersion"`
		Kind       Kind   `json:"kind"`
		Spec       struct {
			V002 dsseV002 `json:"dsseV002"`
		} `json:"spec"`
	}
	dsseV002 struct {
		PayloadHash hashJSON        `json:"payloadHash"`
		Signatures  []signatureJSON `json:"signatures"`
	}
	hashJSON struct {
		Algorithm string `json:"algorithm"`
		Digest    []byte `json:"digest"`
	}
	signatureJSON struct {
		Content  []byte       `json:"content"`
		Verifier verifierJSON `json:"verifier"`
	}
	verifierJSON struct {
		KeyDetails  KeyDetails `json:"keyDetails"`
		PublicKey   rawBytes   `json:"publicKey,omitzero"`
		Certificate rawBytes   `json:"x509Certificate,omitzero"`
	}
	rawBytes struct {
		RawBytes []byte `json:"rawBytes"`
	}
)

// IsZero is what omitzero asks.
func (r rawBytes) IsZero() bool { return r.RawBytes == nil }

func (s Signer) json() verifierJSON {
	if s.Certificate != nil {
		return verifierJSON{KeyDetails: s.KeyDetails, Certificate: rawBytes{s.Certificate.Raw}}
	}
	return verifierJSON{KeyDetails: s.KeyDetails, PublicKey: rawBytes{s.SPKI}}
}

func canonicalHashedRekord(h hashedRekordV002) []byte {
	b := make([]byte, 0, len(hashedRekordPrefix)+64+encodedLen(h.Data.Digest)+h.Signature.size())
	b = append(b, hashedRekordPrefix+`"data":`...)
	b = h.Data.append(b)
	b = append(b, `,"signature":`...)
	b = h.Signature.append(b)
	return append(b, `}}}`...)
}

func canonicalDSSE(d dsseV002) []byte {
	size := len(dssePrefix) + 128
	for _, s := range d.Signatures {
		size += s.size()
	}
	b := append(make([]byte, 0, size), dssePrefix+`"payloadHash":`...)
	b = d.PayloadHash.append(b)
	b = append(b, `,"signatures":[`...)
	for i, s := range d.Signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.append(b)
	}
	return append(b, `]}}}`...)
}

func (h hashJSON) append(b []byte) []byte {
	b = append(b, `{"algorithm":"`...)
	b = append(b, h.Algorithm...)
	return append(appendBase64(append(b, `","digest":"`...), h.Digest), `"}`...)
}

func (s signatureJSON) append(b []byte) []byte {
	b = append(b, `{"content":"`...)
	b = appendBase64(b, s.Content)
	b = append(b, `","verifier":{"keyDetails":"`...)
	b = append(b, s.Verifier.KeyDetails...)
	label, key := `","publicKey":{"rawBytes":"`, s.Verifier.PublicKey
	if key.RawBytes == nil {
		label, key = `","x509Certificate":{"rawBytes":"`, s.Verifier.Certificate
	}
	b = append(b, label...)
	return append(appendBase64(b, key.RawBytes), `"}}}`...)
}

// size is at least the number of bytes that a signature takes.
func (s signatureJSON) size() int {
	return 128 + encodedLen(s.Content) + encodedLen(s.Verifier.PublicKey.RawBytes) + encodedLen(s.Verifier.Certificate.RawBytes)
}

func appendBase64(b, data []byte) []byte { return base64.StdEncoding.AppendEncode(b, data) }

func encodedLen(data []byte) int { return base64.StdEncoding.EncodedLen(len(data)) }
