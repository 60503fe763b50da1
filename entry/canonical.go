package entry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// apiVersion is that of Rekor v2's entries.
const apiVersion = "0.0.2"

// The JSON of an entry, with its members in RFC 8785's order, that of their
// names. All strings are ASCII without anything to escape, so that the order
// and the absence of white space are all there is to it.
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
		PublicKey   *rawBytes  `json:"publicKey,omitempty"`
		Certificate *rawBytes  `json:"x509Certificate,omitempty"`
	}
	rawBytes struct {
		RawBytes []byte `json:"rawBytes"`
	}
)

func (s Signer) json() verifierJSON {
	if s.Certificate != nil {
		return verifierJSON{KeyDetails: s.KeyDetails, Certificate: &rawBytes{s.Certificate.Raw}}
	}
	return verifierJSON{KeyDetails: s.KeyDetails, PublicKey: &rawBytes{s.SPKI}}
}

// canonicalHashedRekord writes the canonical bytes by hand: this is done for
// every entry that is added. Parse's tests hold it against encoding/json.
func canonicalHashedRekord(h hashedRekordV002) []byte {
	b64 := base64.StdEncoding
	key, label := h.Signature.Verifier.PublicKey, `"publicKey"`
	if key == nil {
		key, label = h.Signature.Verifier.Certificate, `"x509Certificate"`
	}
	b := make([]byte, 0, 320+b64.EncodedLen(len(h.Data.Digest)+len(h.Signature.Content)+len(key.RawBytes)))
	b = append(b, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"`...)
	b = append(b, h.Data.Algorithm...)
	b = append(b, `","digest":"`...)
	b = b64.AppendEncode(b, h.Data.Digest)
	b = append(b, `"},"signature":{"content":"`...)
	b = b64.AppendEncode(b, h.Signature.Content)
	b = append(b, `","verifier":{"keyDetails":"`...)
	b = append(b, h.Signature.Verifier.KeyDetails...)
	b = append(b, `",`...)
	b = append(b, label...)
	b = append(b, `:{"rawBytes":"`...)
	b = b64.AppendEncode(b, key.RawBytes)
	return append(b, `"}}}}}}`...)
}

func canonicalDSSE(d dsseV002) ([]byte, error) {
	j := dsseJSON{APIVersion: apiVersion, Kind: KindDSSE}
	j.Spec.V002 = d
	return json.Marshal(j)
}

// decodeStrict reads one JSON value without unknown members or anything after
// it.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.InputOffset() != int64(len(bytes.TrimRight(data, " \t\r\n"))) {
		return invalidf("there is something after the JSON value")
	}
	return nil
}
