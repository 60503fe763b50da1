package entry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(c, rand.Reader))(t)
}

func spkiOf(t testing.TB, pub crypto.PublicKey) []byte {
	return must(x509.MarshalPKIXPublicKey(pub))(t)
}

func pemOf(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func certOf(t testing.TB, key crypto.Signer) []byte {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "signer"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)
}

// request signs a digest with a P-256 key.
func request(t testing.TB, key *ecdsa.PrivateKey, artifact string) HashedRekord {
	digest := sha256.Sum256([]byte(artifact))
	sig := must(ecdsa.SignASN1(rand.Reader, key, digest[:]))(t)
	return HashedRekord{Digest: digest[:], Signature: sig, Verifier: Verifier{PublicKey: spkiOf(t, key.Public())}}
}

func TestHashedRekordRoundTrip(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	r := request(t, key, "artifact")
	e := must(NewHashedRekord(r))(t)
	p := must(Parse(e.Canonical()))(t)
	if e.Kind() != KindHashedRekord || p.Kind != KindHashedRekord || !bytes.Equal(p.HashedRekord.Digest, r.Digest) || p.HashedRekord.Signer.KeyDetails != ECDSAP256SHA256 {
		t.Fatalf("%+v", p.HashedRekord)
	}
	if err := p.HashedRekord.Verify(); err != nil {
		t.Fatal(err)
	}
	if err := p.HashedRekord.MatchArtifact(strings.NewReader("artifact")); err != nil {
		t.Fatal(err)
	}
	if p.HashedRekord.MatchArtifact(strings.NewReader("artefact")) == nil {
		t.Fatal("another artifact matches")
	}
	if len(p.Signers()) != 1 {
		t.Fatal(p.Signers())
	}
	// The key's encoding makes no difference.
	asPEM := r
	asPEM.Verifier.PublicKey = pemOf("PUBLIC KEY", r.Verifier.PublicKey)
	if again := must(NewHashedRekord(asPEM))(t); again.LeafHash() != e.LeafHash() {
		t.Fatal("PEM and DER of one key make two entries")
	}
	cert := r
	cert.Verifier = Verifier{Certificate: pemOf("CERTIFICATE", certOf(t, key))}
	c := must(Parse(must(NewHashedRekord(cert))(t).Canonical()))(t)
	if c.HashedRekord.Signer.Certificate == nil || c.HashedRekord.Verify() != nil {
		t.Fatalf("%+v", c.HashedRekord)
	}
}

func TestRefusedHashedRekords(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	good := request(t, key, "artifact")
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	smallRSA := must(rsa.GenerateKey(rand.Reader, 1024))
	change := func(f func(*HashedRekord)) HashedRekord {
		r := good
		f(&r)
		return r
	}
	for _, c := range []struct {
		name string
		r    HashedRekord
		is   error
		says string
	}{
		{"no digest", change(func(r *HashedRekord) { r.Digest = nil }), ErrInvalid, "no digest"},
		{"no signature", change(func(r *HashedRekord) { r.Signature = nil }), ErrInvalid, "no signature"},
		{"short digest", change(func(r *HashedRekord) { r.Digest = r.Digest[:31] }), ErrInvalid, "31 bytes"},
		{"long digest", change(func(r *HashedRekord) { r.Digest = make([]byte, 64) }), ErrInvalid, "64 bytes"},
		{"another digest", change(func(r *HashedRekord) { r.Digest = make([]byte, 32) }), ErrSignature, "does not verify"},
		{"a damaged signature", change(func(r *HashedRekord) { r.Signature = append([]byte{1}, r.Signature...) }), ErrSignature, "does not verify"},
		{"trailing bytes", change(func(r *HashedRekord) { r.Signature = append(bytes.Clone(r.Signature), 0) }), ErrSignature, "does not verify"},
		{"no key", change(func(r *HashedRekord) { r.Verifier = Verifier{} }), ErrInvalid, "neither"},
		{"key and certificate", change(func(r *HashedRekord) { r.Verifier.Certificate = certOf(t, key) }), ErrInvalid, "both"},
		{"garbage key", change(func(r *HashedRekord) { r.Verifier.PublicKey = []byte("garbage") }), ErrInvalid, "SubjectPublicKeyInfo"},
		{"damaged PEM", change(func(r *HashedRekord) { r.Verifier.PublicKey = []byte("-----BEGIN PUBLIC KEY-----\nx") }), ErrInvalid, "damaged"},
		{"two PEM blocks", change(func(r *HashedRekord) {
			r.Verifier.PublicKey = bytes.Repeat(pemOf("PUBLIC KEY", r.Verifier.PublicKey), 2)
		}), ErrInvalid, "after the PEM block"},
		{"a private key", change(func(r *HashedRekord) { r.Verifier.PublicKey = pemOf("PRIVATE KEY", []byte{1}) }), ErrInvalid, `"PRIVATE KEY"`},
		{"a certificate as a key", change(func(r *HashedRekord) { r.Verifier.PublicKey = pemOf("CERTIFICATE", certOf(t, key)) }), ErrInvalid, `"CERTIFICATE"`},
		{"wrong key details", change(func(r *HashedRekord) { r.Verifier.KeyDetails = ECDSAP384SHA384 }), ErrAlgorithm, "PKIX_ECDSA_P256_SHA_256"},
		{"P-224", change(func(r *HashedRekord) { r.Verifier.PublicKey = spkiOf(t, ecKey(t, elliptic.P224()).Public()) }), ErrAlgorithm, "P-224"},
		{"RSA 1024", change(func(r *HashedRekord) { r.Verifier.PublicKey = spkiOf(t, smallRSA(t).Public()) }), ErrAlgorithm, "1024 bits"},
		{"pure Ed25519", change(func(r *HashedRekord) {
			r.Verifier = Verifier{PublicKey: spkiOf(t, edKey.Public()), KeyDetails: Ed25519}
		}), ErrAlgorithm, "Ed25519ph"},
	} {
		_, err := NewHashedRekord(c.r)
		if !errors.Is(err, ErrInvalid) || !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, 50_000)}},
	}
	r := request(t, key, "x")
	r.Verifier = Verifier{Certificate: must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)}
	if _, err := NewHashedRekord(r); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "65535") {
		t.Fatal(err)
	}
	if _, err := NewRaw(make([]byte, MaxCanonical+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	must(NewRaw(make([]byte, MaxCanonical)))(t)
}

// envelopeOf signs a payload with P-256 keys.
func envelopeOf(t testing.TB, payload string, keys ...*ecdsa.PrivateKey) []byte {
	e := map[string]any{"payloadType": "text/plain", "payload": base64.StdEncoding.EncodeToString([]byte(payload))}
	var sigs []map[string]string
	digest := sha256.Sum256(PAE("text/plain", []byte(payload)))
	for _, k := range keys {
		sig := must(ecdsa.SignASN1(rand.Reader, k, digest[:]))(t)
		sigs = append(sigs, map[string]string{"sig": base64.StdEncoding.EncodeToString(sig), "keyid": ""})
	}
	e["signatures"] = sigs
	return must(json.Marshal(e))(t)
}

func verifiersOf(t testing.TB, keys ...*ecdsa.PrivateKey) (out []Verifier) {
	for _, k := range keys {
		out = append(out, Verifier{PublicKey: spkiOf(t, k.Public())})
	}
	return out
}

func TestPAE(t *testing.T) {
	// The example of the DSSE protocol.
	if got := string(PAE("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Fatal(got)
	}
}

func TestDSSERoundTrip(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	env := envelopeOf(t, "payload", a, b)
	e := must(NewDSSE(DSSE{Envelope: env, Verifiers: verifiersOf(t, b, a)}))(t)
	p := must(Parse(e.Canonical()))(t)
	if p.Kind != KindDSSE || len(p.Signers()) != 2 || bytes.Contains(e.Canonical(), []byte("cGF5bG9hZA")) {
		t.Fatalf("%s", e.Canonical())
	}
	if err := p.DSSE.VerifyEnvelope(env); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]byte{
		"another payload": envelopeOf(t, "payloads", a, b), "other signatures": envelopeOf(t, "payload", a, b),
		"one signature": envelopeOf(t, "payload", a), "garbage": []byte("x"),
	} {
		if p.DSSE.VerifyEnvelope(other) == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
}

func TestRefusedEnvelopes(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	good := string(envelopeOf(t, "payload", a))
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	signature := good[strings.Index(good, `{"keyid"`) : strings.LastIndex(good, `}`)-1]
	twice := edit(signature, signature+","+signature)
	many := make([]*ecdsa.PrivateKey, 11)
	for i := range many {
		many[i] = a
	}
	for _, c := range []struct {
		name, env string
		v         []Verifier
		says      string
	}{
		{"not JSON", "x", verifiersOf(t, a), "not a DSSE envelope"},
		{"not UTF-8", edit(`text/plain`, "text/\xff"), verifiersOf(t, a), "not UTF-8"},
		{"more after it", good + "{}", verifiersOf(t, a), "after top-level value"},
		{"a list", "[" + good + "]", verifiersOf(t, a), "it is not a JSON object"},
		{"too deep", edit(`{"payload"`, `{"x":`+strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001)+`,"payload"`), verifiersOf(t, a), "exceeded max depth"},
		{"repeated member", edit(`{"payload"`, `{"payload":"eA==","payload"`), verifiersOf(t, a), `"payload" is there twice`},
		{"repeated with an escape", edit(`{"payload"`, `{"\u0070ayload":"eA==","payload"`), verifiersOf(t, a), `"payload" is there twice`},
		{"repeated signatures", edit(`"signatures"`, `"signatures":[],"signatures"`), verifiersOf(t, a), `"signatures" is there twice`},
		{"signatures in an object", edit(`"signatures":[`, `"signatures":{},"x":[`), verifiersOf(t, a), "signatures are not a list"},
		{"a signature as a string", edit(`"signatures":[`, `"signatures":["x",`), verifiersOf(t, a), "signature 0: it is not a JSON object"},
		{"a signature that is null", edit(`"signatures":[`, `"signatures":[null,`), verifiersOf(t, a), "signature 0: it is not a JSON object"},
		{"repeated sig", edit(`"sig":`, `"sig":"eA==","sig":`), verifiersOf(t, a), `"sig" is there twice`},
		{"other capitals", edit(`"payload":`, `"Payload":`), verifiersOf(t, a), `"Payload" must be spelt "payload"`},
		{"other capitals in a signature", edit(`"sig":`, `"Sig":`), verifiersOf(t, a), `"Sig" must be spelt "sig"`},
		{"other small letters", edit(`"keyid":`, `"\u212aeyid":`), verifiersOf(t, a), `must be spelt "keyid"`},
		{"a hundred and one members", edit(`{"payload"`, `{`+strings.Repeat(`"x":0,`, 98)+`"payload"`), verifiersOf(t, a), "more than 100 members"},
		{"keyid not a string", edit(`"keyid":""`, `"keyid":1`), verifiersOf(t, a), `"keyid": its type is number; give a string`},
		{"no payload", edit(`"payload":"cGF5bG9hZA==",`, ``), verifiersOf(t, a), "no payload"},
		{"payload null", edit(`"cGF5bG9hZA=="`, `null`), verifiersOf(t, a), "no payload"},
		{"payload a number", edit(`"cGF5bG9hZA=="`, `7`), verifiersOf(t, a), `"payload": its type is number; give a string`},
		{"payload with a line break", edit(`cGF5bG9hZA==`, `cGF5\nbG9hZA==`), verifiersOf(t, a), "line break at byte 4"},
		{"payload without padding", edit(`cGF5bG9hZA==`, `cGF5bG9hZA`), verifiersOf(t, a), "payload is not base64"},
		{"payload with stray bits", edit(`cGF5bG9hZA==`, `cGF5bG9hZB==`), verifiersOf(t, a), "payload is not base64"},
		{"empty signature", edit(`"sig":"`, `"sig":"","x":"`), verifiersOf(t, a), "signature 0 has no sig"},
		{"the same signature twice", twice, verifiersOf(t, a), "signature 0 is there twice"},
		{"no type", edit(`text/plain`, ``), verifiersOf(t, a), "no payloadType"},
		{"another type", edit(`text/plain`, `text/html`), verifiersOf(t, a), "does not verify"},
		{"payload not base64", edit(`"payload":"`, `"payload":"%`), verifiersOf(t, a), "not base64"},
		{"signature not base64", edit(`"sig":"`, `"sig":"%`), verifiersOf(t, a), "not base64"},
		{"no list of signatures", `{"payloadType":"t","payload":"eA=="}`, verifiersOf(t, a), "no signature"},
		{"no signatures", `{"payloadType":"t","payload":"eA==","signatures":[]}`, verifiersOf(t, a), "no signature"},
		{"eleven signatures", string(envelopeOf(t, "p", many...)), verifiersOf(t, a), "at most 10"},
		{"another key", good, verifiersOf(t, b), "does not verify"},
		{"a key that is not needed", good, verifiersOf(t, a, b), "leave it out"},
		{"no keys", good, nil, "0 verifiers"},
		{"eleven keys", good, make([]Verifier, 11), "11 verifiers; give 1 to 10"},
		{"one key twice", good, verifiersOf(t, b, a, a), "verifiers 1 and 2 are the same key"},
		{"a key and its certificate", good, []Verifier{verifiersOf(t, a)[0], {Certificate: certOf(t, a)}}, "verifiers 0 and 1 are the same key"},
		{"an empty verifier", good, make([]Verifier, 1), "verifier 0: it has neither"},
		{"a key of another algorithm", good, []Verifier{{PublicKey: verifiersOf(t, a)[0].PublicKey, KeyDetails: Ed25519}}, "do not fit the key"},
	} {
		_, err := NewDSSE(DSSE{Envelope: []byte(c.env), Verifiers: c.v})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A canonical body with any byte changed is no longer one, or says something
// else whose signature does not verify.
func TestEveryByteCounts(t *testing.T) {
	e := must(NewHashedRekord(request(t, ecKey(t, elliptic.P256()), "x")))(t)
	for i := range e.Canonical() {
		bad := bytes.Clone(e.Canonical())
		bad[i] ^= 1
		p, err := Parse(bad)
		if err == nil && p.HashedRekord != nil && p.HashedRekord.Verify() == nil {
			t.Fatalf("byte %d changed: %s", i, bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	f.Add(must(NewHashedRekord(request(f, key, "x")))(f).Canonical())
	f.Add(must(NewDSSE(DSSE{Envelope: envelopeOf(f, "p", key), Verifiers: verifiersOf(f, key)}))(f).Canonical())
	f.Add([]byte("raw"))
	for _, p := range proposalsV1(f) {
		f.Add(must(NewRekorV1(p))(f).Canonical())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if kind, version := KindOf(data); err == nil && (kind != p.Kind || version != p.Version) {
			t.Fatalf("%s %s is called %s %s", p.Kind, p.Version, kind, version)
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		switch {
		case p.Version == version001 || p.Intoto != nil:
			again = writeV1(p, data)
		case p.HashedRekord != nil:
			h := p.HashedRekord
			again = canonicalHashedRekord(hashedRekordV002{
				Data: hashJSON{h.Algorithm, h.Digest}, Signature: signatureJSON{h.Signature, h.Signer.json()},
			})
		case p.DSSE != nil:
			d := dsseV002{PayloadHash: hashJSON{p.DSSE.PayloadAlgorithm, p.DSSE.PayloadDigest}}
			for _, s := range p.DSSE.Signatures {
				d.Signatures = append(d.Signatures, signatureJSON{s.Signature, s.Signer.json()})
			}
			again = canonicalDSSE(d)
		default:
			again = p.Raw
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("%q became %q", data, again)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	v := verifiersOf(f, key)
	f.Add(envelopeOf(f, "p", key))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := NewDSSE(DSSE{Envelope: data, Verifiers: v}); err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	})
}
