package entry

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Bytes that say the same in another way, or what no constructor makes.
func TestParseRefuses(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	rekord := string(must(NewHashedRekord(request(t, a, "x")))(t).Canonical())
	cert := request(t, a, "x")
	cert.Verifier = Verifier{Certificate: certOf(t, a)}
	certified := string(must(NewHashedRekord(cert))(t).Canonical())
	dsse := string(must(NewDSSE(DSSE{Envelope: envelopeOf(t, "p", a, b), Verifiers: verifiersOf(t, a, b)}))(t).Canonical())
	edit := func(in, old, new string) string {
		if !strings.Contains(in, old) {
			t.Fatalf("no %q in %s", old, in)
		}
		return strings.Replace(in, old, new, 1)
	}
	// between cuts what stands between two texts.
	between := func(in, from, to string) string {
		_, rest, _ := strings.Cut(in, from)
		cut, _, _ := strings.Cut(rest, to)
		return cut
	}
	p224 := base64.StdEncoding.EncodeToString(spkiOf(t, ecKey(t, elliptic.P224()).Public()))
	key := between(rekord, `"publicKey":{"rawBytes":"`, `"`)
	asPEM := base64.StdEncoding.EncodeToString(pemOf("PUBLIC KEY", spkiOf(t, a.Public())))
	digest := between(rekord, `"digest":"`, `"`)
	sigs := between(dsse, `"signatures":[`, `]}}}`)
	first, second, _ := strings.Cut(sigs, `,{"content"`)
	second = `{"content"` + second
	for _, c := range []struct{ name, body, says string }{
		{"empty", "", "it is empty"},
		{"too long", strings.Repeat("x", MaxCanonical+1), "65536 bytes, and at most 65535"},
		{"cut", rekord[:len(rekord)-1], "unexpected end of JSON"},
		{"white space after", rekord + "\n", "not its canonical bytes"},
		{"more after", rekord + "{}", "after top-level value"},
		{"white space in it", edit(rekord, `,"signature"`, `, "signature"`), "not its canonical bytes"},
		{"another order", edit(edit(rekord, `"algorithm":"SHA2_256",`, ``), digest+`"`, digest+`","algorithm":"SHA2_256"`), "not its canonical bytes"},
		{"an unknown member", edit(rekord, `"data":{`, `"data":{"x":1,`), "not its canonical bytes"},
		{"a member twice", edit(rekord, `"data":{`, `"data":{"algorithm":"SHA2_256",`), "not its canonical bytes"},
		{"other capitals", edit(rekord, `"digest"`, `"Digest"`), "not its canonical bytes"},
		{"an escape", edit(rekord, `SHA2_256`, `SHA2\u005f256`), "not its canonical bytes"},
		{"base64 without padding", edit(rekord, digest, strings.TrimRight(digest, "=")), "base64"},
		{"base64 with stray bits", edit(rekord, digest, digest[:42]+next(digest[42])+"="), "not its canonical bytes"},
		{"null", edit(rekord, `"`+digest+`"`, `null`), "not its canonical bytes"},
		{"no digest", edit(rekord, digest, ``), "a digest of 0 bytes"},
		{"a short digest", edit(rekord, digest, "AAAA"), "a digest of 3 bytes"},
		{"the name of another hash", edit(rekord, "SHA2_256", "SHA2_384"), `by "SHA2_384" does not go with PKIX_ECDSA_P256_SHA_256`},
		{"no signature", edit(rekord, between(rekord, `"content":"`, `"`), ``), "no signature"},
		{"no key details", edit(rekord, "PKIX_ECDSA_P256_SHA_256", ""), "not its canonical bytes"},
		{"other key details", edit(rekord, "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519_PH"), "do not fit the key"},
		{"pure Ed25519", edit(rekord, "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"), "do not fit the key"},
		{"an empty key", edit(rekord, key, ""), "neither"},
		{"no key", edit(rekord, `,"publicKey":{"rawBytes":"`+key+`"}`, ``), "not its canonical bytes"},
		{"a key in PEM", edit(rekord, key, asPEM), "not its canonical bytes"},
		{"a key on P-224", edit(rekord, key, p224), "P-224"},
		{"a key for a certificate", edit(certified, between(certified, `"x509Certificate":{"rawBytes":"`, `"`), key), "not an X.509 certificate"},
		{"both", edit(certified, `,"x509Certificate"`, `,"publicKey":{"rawBytes":"`+key+`"},"x509Certificate"`), "not its canonical bytes"},
		{"another apiVersion", edit(rekord, "0.0.2", "0.0.1"), "hashedrekord 0.0.1: these are not its canonical bytes"},
		{"the other kind's name", edit(rekord, "hashedrekord", "dsse"), "could pass for"},
		{"dsse, signatures in another order", edit(dsse, sigs, second+","+first), "not in order"},
		{"dsse, a signature twice", edit(dsse, sigs, first+","+first), "not in order"},
		{"dsse, no signatures", edit(dsse, sigs, ""), "0 signatures"},
		{"dsse, signatures null", edit(dsse, "["+sigs+"]", "null"), "not its canonical bytes"},
		{"dsse, eleven signatures", edit(dsse, sigs, strings.Repeat(first+",", 10)+first), "11 signatures; an entry has 1 to 10"},
		{"dsse, another hash", edit(dsse, "SHA2_256", "SHA2_512"), `by "SHA2_512"; it has 32 by SHA2_256`},
		{"dsse, a short digest", edit(dsse, between(dsse, `"digest":"`, `"`), "AAAA"), "a payload digest of 3 bytes"},
		{"dsse, white space", edit(dsse, `"content":`, `"content": `), "not its canonical bytes"},
		{"dsse, an empty key", edit(dsse, between(dsse, `"publicKey":{"rawBytes":"`, `"`), ""), "neither"},
	} {
		p, err := Parse([]byte(c.body))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.says) || p.HashedRekord != nil || p.DSSE != nil || p.Raw != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// next is another letter of base64, which differs in the last bit.
func next(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return alphabet[strings.IndexByte(alphabet, c)^1:][:1]
}

// The canonical bytes written by hand are those that encoding/json writes of
// members that stand in the order of their names.
func TestCanonicalByHand(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	cert := request(t, a, "x")
	cert.Verifier = Verifier{Certificate: certOf(t, a)}
	for _, r := range []HashedRekord{request(t, a, "x"), cert} {
		e := must(NewHashedRekord(r))(t)
		var j hashedRekordJSON
		checkByHand(t, e, &j)
	}
	message := PAE("t", nil)
	env := fmt.Sprintf(`{"payload":"","payloadType":"t","signatures":[{"sig":%q},{"sig":%q}]}`,
		base64.StdEncoding.EncodeToString(sigstoreSign(t, a, ECDSAP256SHA256, message)),
		base64.StdEncoding.EncodeToString(sigstoreSign(t, b, ECDSAP384SHA384, message)))
	e := must(NewDSSE(DSSE{Envelope: []byte(env), Verifiers: []Verifier{{Certificate: certOf(t, b)}, {PublicKey: spkiOf(t, a.Public())}}}))(t)
	var j dsseJSON
	checkByHand(t, e, &j)
}

func checkByHand[T hashedRekordJSON | dsseJSON](t *testing.T, e Entry, j *T) {
	t.Helper()
	if err := json.Unmarshal(e.Canonical(), j); err != nil {
		t.Fatal(err)
	}
	if again := must(json.Marshal(j))(t); !bytes.Equal(again, e.Canonical()) {
		t.Errorf("by hand %s\nand not %s", e.Canonical(), again)
	}
	if len(e.Canonical()) > cap(e.Canonical()) || cap(e.Canonical()) > len(e.Canonical())+512 {
		t.Errorf("%d bytes of %d allocated", len(e.Canonical()), cap(e.Canonical()))
	}
}

// However the envelope is written, and in whatever order the keys are given, it
// is one entry.
func TestOneEnvelopeOneEntry(t *testing.T) {
	keys := []*ecdsa.PrivateKey{ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())}
	env := envelopeOf(t, "\xff\xfe payload \xfb", keys...)
	want := must(NewDSSE(DSSE{Envelope: env, Verifiers: verifiersOf(t, keys...)}))(t)
	var j struct {
		Payload, PayloadType string
		Signatures           []map[string]string
	}
	if err := json.Unmarshal(env, &j); err != nil {
		t.Fatal(err)
	}
	url := strings.NewReplacer("+", "-", "/", "_")
	slices.Reverse(j.Signatures)
	for i := range j.Signatures {
		j.Signatures[i]["sig"] = url.Replace(j.Signatures[i]["sig"])
		j.Signatures[i]["keyid"] = "some key"
		j.Signatures[i]["cert"] = "as some tools put beside it"
	}
	delete(j.Signatures[0], "keyid")
	other := must(json.MarshalIndent(map[string]any{
		"payload": url.Replace(j.Payload), "payloadType": j.PayloadType, "signatures": j.Signatures, "x": []any{1, nil, map[string]any{"y": map[string]any{"Payload": true}}},
	}, " ", "\t"))(t)
	slices.Reverse(keys)
	got := must(NewDSSE(DSSE{Envelope: other, Verifiers: verifiersOf(t, keys...)}))(t)
	if got.LeafHash() != want.LeafHash() {
		t.Errorf("%s\n%s", want.Canonical(), got.Canonical())
	}
	if err := must(Parse(want.Canonical()))(t).DSSE.VerifyEnvelope(other); err != nil {
		t.Error(err)
	}
}

// Whatever a client sends: no panic, an error of this package's, or an entry
// that reads back as what was sent.
func FuzzNewHashedRekord(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	r := request(f, key, "x")
	f.Add(r.Digest, r.Signature, r.Verifier.PublicKey, []byte(nil), "")
	f.Add(r.Digest, r.Signature, pemOf("PUBLIC KEY", r.Verifier.PublicKey), []byte(nil), string(ECDSAP256SHA256))
	f.Add(r.Digest, r.Signature, []byte(nil), certOf(f, key), "")
	ed := keyFor(f, Ed25519ph)
	f.Add(digestOf(Ed25519ph, []byte("x")), sigstoreSign(f, ed, Ed25519ph, []byte("x")), spkiOf(f, ed.Public()), []byte(nil), "PKIX_ED25519_PH")
	f.Fuzz(func(t *testing.T, digest, sig, key, cert []byte, details string) {
		e, err := NewHashedRekord(HashedRekord{Digest: digest, Signature: sig, Verifier: Verifier{key, cert, KeyDetails(details)}})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		p, err := Parse(e.Canonical())
		if err != nil || p.HashedRekord.Verify() != nil || !bytes.Equal(p.HashedRekord.Digest, digest) || !bytes.Equal(p.HashedRekord.Signature, sig) {
			t.Fatalf("%v: %s", err, e.Canonical())
		}
	})
}
