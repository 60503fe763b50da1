package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"indelible/entry"
)

// sample is what is logged to try a log: a random digest, as if of an
// artifact, and its signature by a key that nobody has any more.
type sample struct {
	digest, signature, spki []byte
}

func newSample() (sample, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return sample{}, err
	}
	s := sample{digest: make([]byte, sha256.Size)}
	if _, err := rand.Read(s.digest); err != nil {
		return s, err
	}
	if s.signature, err = ecdsa.SignASN1(rand.Reader, key, s.digest); err != nil {
		return s, err
	}
	s.spki, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	return s, err
}

// v2 is how Rekor v2 is asked, and the entry that must come of it.
func (s sample) v2() (request, canonical []byte, err error) {
	type publicKey struct {
		RawBytes []byte `json:"rawBytes"`
	}
	type verifier struct {
		PublicKey  publicKey `json:"publicKey"`
		KeyDetails string    `json:"keyDetails"`
	}
	type signature struct {
		Content  []byte   `json:"content"`
		Verifier verifier `json:"verifier"`
	}
	type hashedRekord struct {
		Digest    []byte    `json:"digest"`
		Signature signature `json:"signature"`
	}
	request, err = json.Marshal(struct {
		HashedRekord hashedRekord `json:"hashedRekordRequestV002"`
	}{hashedRekord{s.digest, signature{s.signature, verifier{publicKey{s.spki}, string(entry.ECDSAP256SHA256)}}}})
	if err != nil {
		return nil, nil, err
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: s.digest, Signature: s.signature, Verifier: entry.Verifier{PublicKey: s.spki}})
	if err != nil {
		return nil, nil, err
	}
	return request, e.Canonical(), nil
}

// v1 is how Rekor v1 is asked, and, since this is in canonical form already,
// the entry that must come of it. Hex and base64 need no escapes.
func (s sample) v1() []byte {
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},`+
		`"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`, s.digest,
		base64.StdEncoding.EncodeToString(s.signature),
		base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.spki})))
}
