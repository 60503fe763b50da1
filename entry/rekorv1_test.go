package entry

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// obj is a JSON object.
type obj = map[string]any

func proposalOf(t testing.TB, kind Kind, version string, spec obj) []byte {
	t.Helper()
	return must(json.Marshal(obj{"apiVersion": version, "kind": kind, "spec": spec}))(t)
}

// detailsOfV1 are the key details that go with the kinds of Rekor v1 that sign a
// message.
func detailsOfV1(k KeyDetails) KeyDetails {
	switch k {
	case ECDSAP384SHA384:
		return ECDSAP384SHA256
	case ECDSAP521SHA512:
		return ECDSAP521SHA256
	case Ed25519ph:
		return Ed25519
	}
	return k
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	return pemOf("PUBLIC KEY", spkiOf(t, key.Public()))
}

func hashedRekordV1(t testing.TB, key crypto.Signer, k KeyDetails, text []byte, artifact string) obj {
	t.Helper()
	return obj{
		"data":      obj{"hash": obj{"algorithm": hashNameV1(k.hash()), "value": hex.EncodeToString(digestOf(k, []byte(artifact)))}},
		"signature": obj{"content": b64(sigstoreSign(t, key, k, []byte(artifact))), "publicKey": obj{"content": b64(text)}},
	}
}

func rekordV1Of(t testing.TB, key crypto.Signer, k KeyDetails, text []byte, artifact string) obj {
	t.Helper()
	return obj{
		"data":      obj{"content": b64([]byte(artifact))},
		"signature": obj{"format": "x509", "content": b64(sigstoreSign(t, key, k, []byte(artifact))), "publicKey": obj{"content": b64(text)}},
	}
}

// keyAnd is a key, and how it signs.
type keyAnd struct {
	crypto.Signer
	details KeyDetails
}

func signedEnvelope(t testing.TB, payload string, keys ...keyAnd) []byte {
	t.Helper()
	var sigs []obj
	for _, k := range keys {
		sigs = append(sigs, obj{"keyid": "", "sig": b64(sigstoreSign(t, k.Signer, k.details, PAE("application/vnd.in-toto+json", []byte(payload))))})
	}
	return must(json.Marshal(obj{"payloadType": "application/vnd.in-toto+json", "payload": b64([]byte(payload)), "signatures": sigs}))(t)
}

func dsseV1Spec(envelope []byte, verifiers ...[]byte) obj {
	return obj{"proposedContent": obj{"envelope": string(envelope), "verifiers": verifiers}}
}

// intotoSpec proposes an envelope as Rekor's clients do.
func intotoSpec(t testing.TB, envelope []byte, verifiers ...[]byte) obj {
	t.Helper()
	var e struct {
		PayloadType, Payload string
		Signatures           []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	var sigs []obj
	for i, s := range e.Signatures {
		sigs = append(sigs, obj{"sig": b64([]byte(s.Sig)), "publicKey": b64(verifiers[i]), "keyid": s.KeyID})
	}
	sum := sha256.Sum256(envelope)
	return obj{"content": obj{
		"envelope": obj{"payloadType": e.PayloadType, "payload": b64([]byte(e.Payload)), "signatures": sigs},
		"hash":     obj{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])},
	}}
}

// Each kind with each algorithm, by a key and by a certificate, is taken, and is
// read back as it was.
func TestRekorV1(t *testing.T) {
	for _, k := range allDetails {
		key := keyFor(t, k)
		for how, text := range map[string][]byte{"key": keyPEM(t, key), "certificate": pemOf("CERTIFICATE", certOf(t, key))} {
			t.Run(fmt.Sprintf("%s/%s", k, how), func(t *testing.T) {
				if k != Ed25519 {
					testHashedRekordV1(t, key, k, text)
				}
				testMessagesV1(t, key, detailsOfV1(k), text)
			})
		}
	}
}

func admitted(t *testing.T, kind Kind, version string, k KeyDetails, spec obj) Parsed {
	t.Helper()
	e := must(NewRekorV1(proposalOf(t, kind, version, spec)))(t)
	p := must(Parse(e.Canonical()))(t)
	if of, v := KindOf(e.Canonical()); of != kind || v != version || e.Kind() != kind || e.Version() != version || p.Kind != kind || p.Version != version {
		t.Errorf("%s %s, %s %s, %s %s: not %s %s", of, v, e.Kind(), e.Version(), p.Kind, p.Version, kind, version)
	}
	if s := p.Signers(); len(s) != 1 || s[0].KeyDetails != k {
		t.Errorf("signers %+v", s)
	}
	return p
}

func testHashedRekordV1(t *testing.T, key crypto.Signer, k KeyDetails, text []byte) {
	h := admitted(t, KindHashedRekord, "0.0.1", k, hashedRekordV1(t, key, k, text, "x")).HashedRekord
	if h.Verify() != nil || h.MatchArtifact(strings.NewReader("x")) != nil || h.MatchArtifact(strings.NewReader("y")) == nil {
		t.Errorf("%+v", h)
	}
}

func testMessagesV1(t *testing.T, key crypto.Signer, k KeyDetails, text []byte) {
	r := admitted(t, KindRekord, "0.0.1", k, rekordV1Of(t, key, k, text, "x")).Rekord
	if r.Verify([]byte("x")) != nil || r.Verify([]byte("y")) == nil {
		t.Errorf("the signature: %v, of another artifact %v", r.Verify([]byte("x")), r.Verify([]byte("y")))
	}
	if r.MatchArtifact(strings.NewReader("x")) != nil || r.MatchArtifact(strings.NewReader("y")) == nil {
		t.Errorf("a digest of %x", r.Digest)
	}
	env := signedEnvelope(t, "payload", keyAnd{key, k})
	sum := sha256.Sum256(env)
	d := admitted(t, KindDSSE, "0.0.1", k, dsseV1Spec(env, text)).DSSE
	i := admitted(t, KindIntoto, "0.0.2", k, intotoSpec(t, env, text)).Intoto
	for name, verify := range map[string]func([]byte) error{"dsse": d.VerifyEnvelope, "intoto": i.VerifyEnvelope} {
		if err := verify(env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if verify(signedEnvelope(t, "other", keyAnd{key, k})) == nil {
			t.Errorf("%s: another envelope verifies", name)
		}
	}
	if !bytes.Equal(d.EnvelopeDigest, sum[:]) || !bytes.Equal(i.EnvelopeDigest, sum[:]) {
		t.Errorf("%x, %x, not %x", d.EnvelopeDigest, i.EnvelopeDigest, sum)
	}
}
