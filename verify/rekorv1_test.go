package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/entry"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// signerV1 signs, and writes what Rekor v1's clients propose.
type signerV1 struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

func (s signerV1) pem() string {
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	return b64(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s signerV1) sign(message string) string {
	digest := sha256.Sum256([]byte(message))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return b64(sig)
}

func (s signerV1) admit(kind, version string, format string, args ...any) entry.Entry {
	s.t.Helper()
	spec := fmt.Sprintf(format, args...)
	e, err := entry.NewRekorV1(fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"spec":%s}`, kind, version, spec))
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s signerV1) hashedrekord(artifact string) entry.Entry {
	return s.admit("hashedrekord", "0.0.1", `{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":%q,"publicKey":{"content":%q}}}`,
		sha256.Sum256([]byte(artifact)), s.sign(artifact), s.pem())
}

func (s signerV1) rekord(artifact string) entry.Entry {
	return s.admit("rekord", "0.0.1", `{"data":{"content":%q},"signature":{"format":"x509","content":%q,"publicKey":{"content":%q}}}`,
		b64([]byte(artifact)), s.sign(artifact), s.pem())
}

func (s signerV1) envelope(payload string) (text, sig string) {
	sig = s.sign(string(entry.PAE("text/plain", []byte(payload))))
	return fmt.Sprintf(`{"payloadType":"text/plain","payload":%q,"signatures":[{"sig":%q}]}`, b64([]byte(payload)), sig), sig
}

func (s signerV1) dsse(text string) entry.Entry {
	quoted, err := json.Marshal(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.admit("dsse", "0.0.1", `{"proposedContent":{"envelope":%s,"verifiers":[%q]}}`, quoted, s.pem())
}

func (s signerV1) intoto(payload, text, sig string) entry.Entry {
	return s.admit("intoto", "0.0.2", `{"content":{"envelope":{"payloadType":"text/plain","payload":%q,"signatures":[{"sig":%q,"publicKey":%q}]},"hash":{"algorithm":"sha256","value":"%x"}}}`,
		b64([]byte(b64([]byte(payload)))), b64([]byte(sig)), s.pem(), sha256.Sum256([]byte(text)))
}

func TestRekorV1(t *testing.T) {
	s := signerV1{t, newKey(t)}
	text, sig := s.envelope("statement")
	other, _ := s.envelope("another")
	for _, c := range []struct {
		artifact, other string
		entry           entry.Entry
	}{
		{"artifact", "artefact", s.hashedrekord("artifact")},
		{"artifact", "artefact", s.rekord("artifact")},
		{text, other, s.dsse(text)},
		{text, other, s.intoto("statement", text, sig)},
		{text, strings.Replace(text, "text/plain", "text/html", 1), s.intoto("statement", text, sig)},
	} {
		proof, log := prove(t, c.entry)
		l := logged{c.artifact, proof, Trust{Logs: []checkpoint.Verifier{log}, Signers: []Signer{{Fingerprint: fingerprintOf(t, s.key)}}}}
		if r := l.verify(t); !r.Verified || r.Kind != c.entry.Kind() {
			t.Errorf("%s: %+v", c.entry.Kind(), r)
		}
		l.artifact = c.other
		l.fails(t, "artifact")
		l.artifact = c.artifact
		l.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, newKey(t))}}
		l.fails(t, "signer")
	}
}

// A log that admits what is not signed does not make it so.
func TestAForgedSignatureOfRekorV1(t *testing.T) {
	s := signerV1{t, newKey(t)}
	for _, make := range []func(string) entry.Entry{s.hashedrekord, s.rekord} {
		before, rest, _ := bytes.Cut(make("artifact").Canonical(), []byte(`"signature":{"content":"`))
		_, after, found := bytes.Cut(rest, []byte(`"`))
		if !found {
			t.Fatalf("no signature in %s", rest)
		}
		forged := fmt.Appendf(nil, `%s"signature":{"content":"%s"%s`, before, s.sign("another"), after)
		proof, log := proveBytes(t, forged)
		l := logged{"artifact", proof, Trust{Logs: []checkpoint.Verifier{log}, Signers: []Signer{{Fingerprint: fingerprintOf(t, s.key)}}}}
		l.fails(t, "signature")
	}
}

// certPEM is a certificate as Rekor v1's clients send it.
func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
