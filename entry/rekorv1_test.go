package entry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
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

// proposalsV1 are one of each kind.
func proposalsV1(t testing.TB) map[Kind][]byte {
	key := ecKey(t, elliptic.P256())
	text := keyPEM(t, key)
	env := signedEnvelope(t, "payload", keyAnd{key, ECDSAP256SHA256})
	return map[Kind][]byte{
		KindHashedRekord: proposalOf(t, KindHashedRekord, "0.0.1", hashedRekordV1(t, key, ECDSAP256SHA256, text, "x")),
		KindRekord:       proposalOf(t, KindRekord, "0.0.1", rekordV1Of(t, key, ECDSAP256SHA256, text, "x")),
		KindDSSE:         proposalOf(t, KindDSSE, "0.0.1", dsseV1Spec(env, text)),
		KindIntoto:       proposalOf(t, KindIntoto, "0.0.2", intotoSpec(t, env, text)),
	}
}

// writeV1 writes what was read of an entry. Of an intoto that is not all of it:
// its keyids and how its keys are written are not read.
func writeV1(p Parsed, data []byte) []byte {
	var j rekordV1
	switch {
	case p.HashedRekord != nil:
		h := p.HashedRekord
		hash, _ := hashByName(h.Algorithm)
		j.Data.Hash, j.Signature.Content, j.Signature.PublicKey.Content = newHashV1(hash, h.Digest), h.Signature, h.Signer.pem()
		return canonicalRekordV1(hashedRekordV1Prefix, j)
	case p.Rekord != nil:
		r := p.Rekord
		j.Data.Hash, j.Signature.Content, j.Signature.PublicKey.Content = newHashV1(crypto.SHA256, r.Digest), r.Signature, r.Signer.pem()
		j.Signature.Format = formatX509
		return canonicalRekordV1(rekordPrefix, j)
	case p.DSSE != nil:
		d := dsseV1{EnvelopeHash: newHashV1(crypto.SHA256, p.DSSE.EnvelopeDigest), PayloadHash: newHashV1(crypto.SHA256, p.DSSE.PayloadDigest)}
		for _, s := range p.DSSE.Signatures {
			d.Signatures = append(d.Signatures, dsseSignatureV1{b64(s.Signature), s.Signer.pem()})
		}
		return canonicalDSSEV1(d)
	}
	return data
}

// What is said of what is wrong: where, what, and what would be right. That both
// sides agree on what is wrong is a matter of the oracle's tests.
func TestRefusedRekorV1(t *testing.T) {
	all := proposalsV1(t)
	hashed, rekord, dsse, intoto := string(all[KindHashedRekord]), string(all[KindRekord]), string(all[KindDSSE]), string(all[KindIntoto])
	private := b64(pemOf("PRIVATE KEY", []byte("secret")))
	pkcs1 := b64(pemOf("RSA PUBLIC KEY", []byte("x")))
	huge := b64(bytes.Repeat([]byte("x"), MaxCanonical+1))
	edit := func(in, old, new string) string {
		if !strings.Contains(in, old) {
			t.Fatalf("no %q in %s", old, in)
		}
		return strings.Replace(in, old, new, 1)
	}
	// swap replaces the value that follows a name.
	swap := func(in, name, value string) string {
		before, rest, found := strings.Cut(in, name+`":"`)
		_, after, closed := strings.Cut(rest, `"`)
		if !found || !closed {
			t.Fatalf("no %q in %s", name, in)
		}
		return before + name + `":` + value + after
	}
	key := `publicKey":{"content`
	for _, c := range []struct {
		proposed string
		is       error
		says     string
	}{
		{"", nil, "the proposed entry is not JSON: unexpected end of JSON input"},
		{"\xff", nil, "the proposed entry is not UTF-8"},
		{"[]", nil, "the proposed entry: it is not a JSON object"},
		{"{}", nil, "the proposed entry has no kind; served are hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.2 and rekord 0.0.1"},
		{`{"kind":"jar"}`, nil, "the proposed entry has no apiVersion; served are"},
		{`{"kind":"jar","apiVersion":"0.0.1"}`, nil, `the kind "jar" with the apiVersion "0.0.1" is not served; served are`},
		{`{"kind":"dsse","apiVersion":"0.0.2"}`, nil, `the kind "dsse" with the apiVersion "0.0.2" is not served`},
		{`{"kind":"` + strings.Repeat("x", 1000) + `","apiVersion":""}`, nil, `the kind "` + strings.Repeat("x", 40) + `" with`},
		{`{"kind":"dsse","apiVersion":"0.0.1"}`, nil, "dsse 0.0.1: spec is missing"},
		{edit(hashed, `"hash"`, `"x"`), nil, "hashedrekord 0.0.1: spec.data.hash is missing"},
		{edit(hashed, `"sha256"`, `"md5"`), nil, `spec.data.hash is wrong: its algorithm is "md5"; give sha256, sha384 or sha512`},
		{edit(hashed, `"sha256"`, `"sha512"`), nil, "spec.data.hash is wrong: its value has 64 characters; a sha512 digest has 128, in hex"},
		{edit(hashed, `"sha256"`, `7`), nil, `spec.data.hash is wrong: its member "algorithm": its type is number; give a string`},
		{swap(hashed, "value", `"`+strings.Repeat("g", 64)+`"`), nil, `spec.data.hash is wrong: its value "` + strings.Repeat("g", 64) + `" is not hex`},
		{swap(hashed, "value", `"`+strings.Repeat("AB", 32)+`"`), nil, "has capitals; write " + strings.Repeat("ab", 32)},
		{swap(hashed, "value", `"`+strings.Repeat("ab", 32)+`"`), ErrSignature, "spec.signature.content is wrong: the signature does not verify over the sha256 digest abab"},
		{swap(edit(hashed, "sha256", "sha384"), "value", `"`+strings.Repeat("ab", 48)+`"`), ErrAlgorithm, `spec.data.hash.algorithm is "sha384", and the key in spec.signature.publicKey, PKIX_ECDSA_P256_SHA_256, signs digests by "sha256"`},
		{swap(hashed, "signature\":{\"content", `"?"`), nil, "spec.signature.content is not standard base64 with padding: illegal base64 data at input byte 0"},
		{swap(hashed, "signature\":{\"content", `"\n"`), nil, "spec.signature.content is empty"},
		{swap(hashed, key, `"eA=="`), nil, `spec.signature.publicKey.content is wrong: it has no PEM block, and begins with "x"; give a PEM public key or certificate`},
		{swap(hashed, key, `"Cg=="`), nil, "spec.signature.publicKey.content is wrong: it is empty; give a PEM public key or certificate"},
		{swap(hashed, key, `"`+private+`"`), nil, `its PEM block is "PRIVATE KEY"; give a "PUBLIC KEY" or a "CERTIFICATE"`},
		{swap(hashed, key, `"`+pkcs1+`"`), nil, "an RSA key in PKCS#1; give it as \"PUBLIC KEY\""},
		{swap(hashed, key, `"`+huge+`"`), ErrTooLarge, "this alone has 65536 bytes, and an entry at most 65535"},
		{edit(rekord, "x509", "pgp"), nil, `spec.signature.format is "pgp"; only "x509" is served`},
		{edit(rekord, `"data":{"content"`, `"data":{"url":"http://10.0.0.1/","content"`), nil, `spec.data.url is "\"http://10.0.0.1/\"": this log fetches nothing; give spec.data.content`},
		{edit(rekord, `"data":{"content":"eA=="`, `"data":{"content":"eQ=="`), ErrSignature, "over the 1 bytes of spec.data.content with the PKIX_ECDSA_P256_SHA_256 key"},
		{edit(rekord, `"data":{"content":"eA=="`, `"data":{"content":"eA==","hash":{"algorithm":"sha256","value":"`+strings.Repeat("ab", 32)+`"}`), nil, "spec.data.hash is sha256:abab"},
		{edit(dsse, "verifiers", "keys"), nil, "dsse 0.0.1: spec.proposedContent.verifiers is missing"},
		{edit(dsse, `"verifiers":["`, `"verifiers":["","`), nil, "spec.proposedContent.verifiers[0] is missing"},
		{edit(dsse, `"verifiers":[`, `"verifiers":[{},`), nil, "spec.proposedContent.verifiers[0] is wrong: its type is object; give a string"},
		{edit(dsse, `"verifiers":["`, `"verifiers":[`+strings.Repeat(dsse[strings.Index(dsse, `"verifiers":["`)+13:strings.LastIndex(dsse, `"]`)+1]+",", 10)+`"`), nil, "spec.proposedContent.verifiers is wrong: it has more than 10; at most 10 are taken"},
		{edit(dsse, `\"payload\"`, `\"Payload\"`), nil, `spec.proposedContent.envelope is wrong: its member "Payload" must be spelt "payload"`},
		{edit(dsse, `in-toto`, `in_toto`), ErrSignature, "the signature does not verify: signature 0 of the envelope, with any of the 1 verifiers"},
		{edit(intoto, `in-toto`, `in_toto`), ErrSignature, "intoto 0.0.2: spec.content.envelope.signatures is wrong: the signature does not verify: [0].sig over the envelope"},
		{swap(intoto, `"payload`, `"/w=="`), nil, `spec.content.envelope.payload must be base64 of base64, as intoto 0.0.2 has it; decoded once it is "\xff"`},
		{swap(intoto, `"payloadType`, `""`), nil, "spec.content.envelope.payloadType is missing"},
		{edit(intoto, "sha256", "sha384"), nil, "spec.content.hash is wrong: its value has 64 characters"},
	} {
		_, err := NewRekorV1([]byte(c.proposed))
		if !errors.Is(err, ErrInvalid) || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%.200s\nsays %v\nnot  %s", c.proposed, err, c.says)
		}
	}
}

// What openssl x509 -text and openssl ca write before a certificate is no part of
// an entry, but in an intoto, which has the key as the client wrote it.
func TestTextBeforePEM(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	bare := keyPEM(t, key)
	about := []byte("Certificate:\n    Data:\n        Version: 3 (0x2)\n")
	logged := func(text []byte) (string, error) {
		e, err := NewRekorV1(proposalOf(t, KindHashedRekord, "0.0.1", hashedRekordV1(t, key, ECDSAP256SHA256, text, "x")))
		return string(e.Canonical()), err
	}
	signer := func(canonical string) []byte { return must(Parse([]byte(canonical)))(t).Signers()[0].SPKI }
	// Each has another signature, and so only the keys are compared.
	want := signer(must(logged(bare))(t))
	got := must(logged(slices.Concat(about, bare)))(t)
	if !bytes.Equal(signer(got), want) || strings.Contains(got, base64.StdEncoding.EncodeToString(about)[:30]) {
		t.Errorf("logged with the text: %s", got)
	}
	env := signedEnvelope(t, "payload", keyAnd{key, ECDSAP256SHA256})
	text := slices.Concat(about, bare)
	e := must(NewRekorV1(proposalOf(t, KindIntoto, "0.0.2", intotoSpec(t, env, text))))(t)
	if !strings.Contains(string(e.Canonical()), base64.StdEncoding.EncodeToString(text)) || !bytes.Equal(signer(string(e.Canonical())), want) {
		t.Errorf("an intoto without the text: %s", e.Canonical())
	}
	for says, text := range map[string][]byte{
		"its PEM block 0 is damaged":                  slices.Concat(about, bare[1:], bare),
		"its PEM block 1 is damaged":                  slices.Concat(bare, bare[:len(bare)-2]),
		"it has no PEM block, and begins with \"Cert": about,
		"after its last PEM block, of 1, it goes on":  slices.Concat(bare, about),
	} {
		if _, err := logged(text); !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%q: %v, and not %q", text, err, says)
		}
	}
}

// Whatever a client sends: no panic, an error of this package's, or an entry
// that reads back.
func FuzzNewRekorV1(f *testing.F) {
	for _, p := range proposalsV1(f) {
		f.Add(p)
	}
	key := ecKey(f, elliptic.P256())
	f.Add(proposalOf(f, KindHashedRekord, "0.0.1", hashedRekordV1(f, key, ECDSAP256SHA256, append([]byte("a key:\n"), keyPEM(f, key)...), "x")))
	f.Fuzz(func(t *testing.T, proposed []byte) {
		e, err := NewRekorV1(proposed)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || len(err.Error()) > 4096 {
				t.Fatal(err)
			}
			return
		}
		if p, err := Parse(e.Canonical()); err != nil || p.Kind != e.Kind() || p.Version != e.Version() || len(p.Signers()) == 0 {
			t.Fatalf("%v: %s", err, e.Canonical())
		}
	})
}

// Bytes that say the same in another way, or what NewRekorV1 does not make.
func TestParseRefusesV1(t *testing.T) {
	canonical := map[Kind]string{}
	for kind, p := range proposalsV1(t) {
		canonical[kind] = string(must(NewRekorV1(p))(t).Canonical())
	}
	other := canonicalOfOther(t)
	field := func(in, name string) string {
		_, rest, _ := strings.Cut(in, name+`":"`)
		value, _, found := strings.Cut(rest, `"`)
		if !found {
			t.Fatalf("no %q in %s", name, in)
		}
		return value
	}
	hashed, rekord, dsse, intoto := canonical[KindHashedRekord], canonical[KindRekord], canonical[KindDSSE], canonical[KindIntoto]
	key := field(hashed, `publicKey":{"content`)
	crlf := b64(bytes.ReplaceAll(must(base64.StdEncoding.DecodeString(key))(t), []byte("\n"), []byte("\r\n")))
	_, sigs, _ := strings.Cut(dsse, `"signatures":[`)
	sigs = strings.TrimSuffix(sigs, `]}}`)
	_, theirs, _ := strings.Cut(other, `"signatures":[`)
	theirs = strings.TrimSuffix(theirs, `]}}`)
	first, second := min(sigs, theirs), max(sigs, theirs)
	hexOf := func(in string) string { return field(in, "value") }
	for _, c := range []struct{ name, in, old, new, says string }{
		{"white space", hashed, `,"signature"`, `, "signature"`, "not its canonical bytes"},
		{"a member more", hashed, `"data":{`, `"data":{"x":1,`, "not its canonical bytes"},
		{"a format", hashed, `,"publicKey"`, `,"format":"x509","publicKey"`, "a hashedrekord has none"},
		{"capitals in the digest", hashed, hexOf(hashed), strings.ToUpper(hexOf(hashed)), "has capitals"},
		{"a short digest", hashed, hexOf(hashed), "ab", "has 2 characters"},
		{"another hash", hashed, `"sha256","value":"` + hexOf(hashed), `"sha512","value":"` + hexOf(hashed) + hexOf(hashed), `a digest by "sha512" does not go with PKIX_ECDSA_P256_SHA_256`},
		{"an unknown hash", hashed, "sha256", "sha1", `its algorithm is "sha1"`},
		{"no signature", hashed, field(hashed, `signature":{"content`), "", "it has no signature"},
		{"a key in CRLF", hashed, key, crlf, "not its canonical bytes"},
		{"no key", hashed, key, "", "it is empty"},
		{"another version", hashed, "0.0.1", "0.0.3", "could pass for"},
		{"an intoto of 0.0.1", intoto, "0.0.2", "0.0.1", "could pass for"},
		{"rekord, no format", rekord, `,"format":"x509"`, "", `is ""; it is "x509"`},
		{"rekord, another format", rekord, `x509`, "pgp", `is "pgp"; it is "x509"`},
		{"rekord, another hash", rekord, `"sha256","value":"` + hexOf(rekord), `"sha512","value":"` + hexOf(rekord) + hexOf(rekord), `its digest is by "sha512"`},
		{"dsse, no signatures", dsse, sigs, "", "0 signatures; an entry has 1 to 10"},
		{"dsse, eleven", dsse, sigs, strings.Repeat(sigs+",", 10) + sigs, "11 signatures"},
		{"dsse, twice", dsse, sigs, sigs + "," + sigs, "not in order"},
		{"dsse, out of order", dsse, sigs, second + "," + first, "not in order"},
		{"dsse, one key", dsse, field(dsse, `signature`), `AAAA","verifier":"` + field(dsse, "verifier") + `"},{"signature":"` + field(dsse, "signature"), "same key"},
		{"dsse, another hash", dsse, "sha256", "sha384", "the digest of its envelope is wrong"},
		{"dsse, a signature of another alphabet", dsse, field(dsse, "signature"), "-_-_", "signature 0 is not in standard base64"},
		{"dsse, a signature that is none", dsse, field(dsse, "signature"), "?", "signature 0 is not base64"},
		{"intoto, no payloadType", intoto, "application/vnd.in-toto+json", "", "no payloadType"},
		{"intoto, an empty keyid", intoto, `[{`, `[{"keyid":"",`, "not its canonical bytes"},
		{"intoto, an escape", intoto, `[{`, `[{"keyid":"\u00e9",`, "not its canonical bytes"},
		{"intoto, not UTF-8", intoto, `[{`, `[{"keyid":"` + "\xff" + `",`, "not its canonical bytes"},
		{"intoto, no sig", intoto, field(intoto, "sig"), "", "signature 0 is not in standard base64"},
		{"intoto, no key", intoto, field(intoto, "publicKey"), "", "publicKey 0: it is empty"},
	} {
		if !strings.Contains(c.in, c.old) {
			t.Fatalf("%s: no %q in %s", c.name, c.old, c.in)
		}
		p, err := Parse([]byte(strings.Replace(c.in, c.old, c.new, 1)))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.says) || p.Kind != "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// Other logs leave the payload in an intoto, in base64 of base64.
	for payload, says := range map[string]string{b64([]byte(b64([]byte("payload")))): "", b64([]byte(b64([]byte("other")))): "its payload has the sha256", b64([]byte("?")): "not base64 of base64"} {
		p, err := Parse([]byte(strings.Replace(intoto, `"payloadType"`, `"payload":"`+payload+`","payloadType"`, 1)))
		if (err == nil) != (says == "") || !strings.Contains(fmt.Sprint(err), says) || err == nil && len(p.Signers()) != 1 {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if p := must(Parse([]byte(strings.Replace(dsse, sigs, first+","+second, 1))))(t); len(p.Signers()) != 2 {
		t.Errorf("two signatures in order: %+v", p.DSSE)
	}
}

// What sigstore-python signed before 2.0 can be read, and is not added.
func TestP384WithSHA256(t *testing.T) {
	key := ecKey(t, elliptic.P384())
	sum := sha256.Sum256([]byte("artifact"))
	spec := hashedRekordV1(t, key, ECDSAP384SHA256, keyPEM(t, key), "artifact")
	sig := must(ecdsa.SignASN1(rand.Reader, key, sum[:]))(t)
	var j rekordV1
	j.Data.Hash, j.Signature.Content, j.Signature.PublicKey.Content = newHashV1(crypto.SHA256, sum[:]), sig, keyPEM(t, key)
	p := must(Parse(canonicalRekordV1(hashedRekordV1Prefix, j)))(t)
	if err := p.HashedRekord.Verify(); err != nil || p.HashedRekord.Signer.KeyDetails != ECDSAP384SHA256 || p.HashedRekord.Algorithm != "SHA2_256" {
		t.Errorf("%v: %+v", err, p.HashedRekord)
	}
	j.Signature.Content[len(sig)-1] ^= 1
	if err := must(Parse(canonicalRekordV1(hashedRekordV1Prefix, j)))(t).HashedRekord.Verify(); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
	if e, err := NewRekorV1(proposalOf(t, KindHashedRekord, "0.0.1", spec)); err == nil {
		t.Errorf("added: %s", e.Canonical())
	}
}

// canonicalOfOther is a dsse entry by another key.
func canonicalOfOther(t testing.TB) string {
	return string(must(NewRekorV1(proposalsV1(t)[KindDSSE]))(t).Canonical())
}

// Nothing of one kind's bytes makes them raw, and no signature is what is not
// verified.
func TestRawCannotPassForRekorV1(t *testing.T) {
	for kind, p := range proposalsV1(t) {
		canonical := string(must(NewRekorV1(p))(t).Canonical())
		for _, bad := range []string{canonical, canonical[:len(canonical)-1], " " + canonical, strings.Replace(canonical, "kind", "Kind", 1), strings.Replace(canonical, "kind", `k\u0069nd`, 1), string(p)} {
			if _, err := NewRaw([]byte(bad)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "could pass for") {
				t.Errorf("%s: %.80q: %v", kind, bad, err)
			}
		}
	}
}

// What is allocated is bounded by what is sent.
func TestRekorV1Memory(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	artifact := strings.Repeat("x", 4<<20)
	p := proposalOf(t, KindRekord, "0.0.1", rekordV1Of(t, key, ECDSAP256SHA256, keyPEM(t, key), artifact))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := must(NewRekorV1(p))(t)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*uint64(len(p)) {
		t.Errorf("%d bytes for %d", got, len(p))
	}
	if cap(e.Canonical()) > len(e.Canonical())+512 {
		t.Errorf("%d bytes of %d allocated", len(e.Canonical()), cap(e.Canonical()))
	}
}
