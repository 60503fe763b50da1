package entry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// fulcioCert is a certificate as Fulcio makes them, with every kind of name.
func fulcioCert(t testing.TB, key *ecdsa.PrivateKey, issuer string) []byte {
	t.Helper()
	tmpl := fulcioTemplate(t, issuer)
	return must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)
}

// fulcioChain is such a certificate in PEM, by an authority, whose certificate
// follows.
func fulcioChain(t testing.TB, key *ecdsa.PrivateKey, issuer string) []byte {
	t.Helper()
	caKey := ecKey(t, elliptic.P256())
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, EmailAddresses: []string{"authority@example.com"},
	}
	leaf := must(x509.CreateCertificate(rand.Reader, fulcioTemplate(t, issuer), ca, key.Public(), caKey))(t)
	root := must(x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey))(t)
	return slices.Concat(pemOf("CERTIFICATE", leaf), pemOf("CERTIFICATE", root))
}

func fulcioTemplate(t testing.TB, issuer string) *x509.Certificate {
	t.Helper()
	uri := must(url.Parse("https://github.com/Org/Repo/.github/workflows/Release.yml@refs/heads/main"))(t)
	text := must(asn1.MarshalWithParams(issuer, "utf8"))(t)
	return &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		EmailAddresses: []string{"Jane@Example.com"}, DNSNames: []string{"Build.example.com"}, URIs: []*url.URL{uri},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: text},
		},
	}
}

func fingerprintKey(spki []byte) IndexKey {
	return IndexKey{ByPublicKey, fmt.Sprintf("%x", sha256.Sum256(spki))}
}

func checkKeys(t *testing.T, canonical []byte, want ...IndexKey) {
	t.Helper()
	got, err := IndexKeys(canonical)
	slices.SortFunc(want, func(a, b IndexKey) int {
		return strings.Compare(string(a.By)+"\x00"+a.Value, string(b.By)+"\x00"+b.Value)
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; not %v", got, err, want)
	}
}

func TestIndexKeys(t *testing.T) {
	a, b := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	artifact := IndexKey{ByArtifact, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("artifact")))}
	payload := IndexKey{ByPayload, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("payload")))}
	keyA, keyB := fingerprintKey(spkiOf(t, a.Public())), fingerprintKey(spkiOf(t, b.Public()))
	names := []IndexKey{
		{BySubject, "jane@example.com"},
		{BySubject, "build.example.com"},
		{BySubject, "https://github.com/org/repo/.github/workflows/release.yml@refs/heads/main"},
		{ByIssuer, "https://issuer.example/Path"},
	}
	cert := fulcioCert(t, a, "https://issuer.example/Path")

	r := request(t, a, "artifact")
	checkKeys(t, must(NewHashedRekord(r))(t).Canonical(), artifact, keyA)
	r.Verifier = Verifier{Certificate: cert}
	checkKeys(t, must(NewHashedRekord(r))(t).Canonical(), append(names, artifact, keyA)...)

	d := DSSE{Envelope: envelopeOf(t, "payload", a, b), Verifiers: verifiersOf(t, a, b)}
	checkKeys(t, must(NewDSSE(d))(t).Canonical(), payload, keyA, keyB)
	d.Verifiers[0] = Verifier{Certificate: cert}
	checkKeys(t, must(NewDSSE(d))(t).Canonical(), append(names, payload, keyA, keyB)...)

	checkKeys(t, must(NewRaw([]byte("raw")))(t).Canonical())
	if keys, err := IndexKeys(nil); err == nil {
		t.Fatalf("nothing has %v", keys)
	}
}

// What is read without Parse is what Parse reads, for every algorithm.
func TestIndexKeysOfEveryAlgorithm(t *testing.T) {
	for _, k := range allDetails {
		key := keyFor(t, k)
		for how, v := range verifiersFor(t, key, k) {
			var entries []Entry
			if k != Ed25519 {
				entries = append(entries, must(NewHashedRekord(HashedRekord{
					Digest: digestOf(k, []byte("artifact")), Signature: sigstoreSign(t, key, k, []byte("artifact")), Verifier: v,
				}))(t))
			}
			env := fmt.Appendf(nil, `{"payloadType":"t","payload":"YQ==","signatures":[{"sig":"%s"}]}`,
				appendBase64(nil, sigstoreSign(t, key, k, PAE("t", []byte("a")))))
			entries = append(entries, must(NewDSSE(DSSE{Envelope: env, Verifiers: []Verifier{v}}))(t))
			for _, e := range entries {
				if c, ok := scan(e.Canonical()); !ok {
					t.Errorf("%s, %s, %s: left to Parse: %v", e.Kind(), k, how, c)
				}
				sameAsParse(t, e.Canonical())
			}
		}
	}
}

// Entries of Rekor v1's kinds are found by what is asked of Rekor's index, and
// by their certificates' names.
func TestIndexKeysOfRekorV1(t *testing.T) {
	a := ecKey(t, elliptic.P256())
	cert, keyText := fulcioCert(t, a, "https://issuer.example"), keyPEM(t, a)
	certText := pemOf("CERTIFICATE", cert)
	chainText := fulcioChain(t, a, "https://issuer.example")
	key := fingerprintKey(spkiOf(t, a.Public()))
	names := []IndexKey{
		{BySubject, "jane@example.com"},
		{BySubject, "build.example.com"},
		{BySubject, "https://github.com/org/repo/.github/workflows/release.yml@refs/heads/main"},
		{ByIssuer, "https://issuer.example"},
		key,
	}
	env := signedEnvelope(t, "payload", keyAnd{a, ECDSAP256SHA256})
	digest := func(by IndexBy, of []byte) IndexKey { return IndexKey{by, fmt.Sprintf("sha256:%x", sha256.Sum256(of))} }
	ofEnvelope := []IndexKey{digest(ByPayload, []byte("payload")), digest(ByEnvelope, env)}
	for _, c := range []struct {
		kind    Kind
		version string
		spec    func(text []byte) obj
		has     []IndexKey
	}{
		{KindHashedRekord, "0.0.1", func(text []byte) obj { return hashedRekordV1(t, a, ECDSAP256SHA256, text, "x") }, []IndexKey{digest(ByArtifact, []byte("x"))}},
		{KindRekord, "0.0.1", func(text []byte) obj { return rekordV1Of(t, a, ECDSAP256SHA256, text, "x") }, []IndexKey{digest(ByArtifact, []byte("x"))}},
		{KindDSSE, "0.0.1", func(text []byte) obj { return dsseV1Spec(env, text) }, ofEnvelope},
		{KindIntoto, "0.0.2", func(text []byte) obj { return intotoSpec(t, env, text) }, ofEnvelope[:1]}, // the envelope's digest is the client's word
	} {
		for how, text := range map[string][]byte{"key": keyText, "certificate": certText, "chain": chainText} {
			e := must(NewRekorV1(proposalOf(t, c.kind, c.version, c.spec(text))))(t)
			want := append([]IndexKey{key}, c.has...)
			if how != "key" {
				want = append(slices.Clone(names), c.has...)
			}
			checkKeys(t, e.Canonical(), want...)
			sameAsParse(t, e.Canonical())
			if _, ok := scan(e.Canonical()); ok != (c.kind == KindHashedRekord && how != "chain") {
				t.Errorf("%s by a %s: scanned %v", c.kind, how, ok)
			}
		}
	}
	for _, k := range allDetails[:6] {
		key := keyFor(t, k)
		e := must(NewRekorV1(proposalOf(t, KindHashedRekord, "0.0.1", hashedRekordV1(t, key, k, keyPEM(t, key), "x"))))(t)
		if _, ok := scan(e.Canonical()); !ok {
			t.Errorf("%s: left to Parse", k)
		}
		sameAsParse(t, e.Canonical())
	}
}

// sameAsParse compares the keys with those of what Parse reads.
func sameAsParse(t *testing.T, canonical []byte) {
	t.Helper()
	got, err := IndexKeys(canonical)
	p, parseErr := Parse(canonical)
	if parseErr != nil {
		return
	}
	if want := sortKeys(p.indexKeys()); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; Parse gives %v", got, err, want)
	}
}

func FuzzIndexKeys(f *testing.F) {
	a, b := ecKey(f, elliptic.P256()), ecKey(f, elliptic.P256())
	r := request(f, a, "x")
	f.Add(must(NewHashedRekord(r))(f).Canonical())
	r.Verifier = Verifier{Certificate: fulcioCert(f, a, "issuer")}
	f.Add(must(NewHashedRekord(r))(f).Canonical())
	f.Add(must(NewDSSE(DSSE{Envelope: envelopeOf(f, "p", a, b), Verifiers: verifiersOf(f, a, b)}))(f).Canonical())
	f.Add(must(NewRekorV1(proposalOf(f, KindHashedRekord, "0.0.1", hashedRekordV1(f, a, ECDSAP256SHA256, keyPEM(f, a), "x"))))(f).Canonical())
	f.Add([]byte(hashedRekordPrefix))
	f.Add([]byte(dssePrefix + `"payloadHash":{"algorithm":"SHA2_256","digest":""},"signatures":[{"content":"`))
	f.Fuzz(func(t *testing.T, data []byte) { sameAsParse(t, data) })
}

// What IndexKeys gives can be asked for.
func TestNewIndexKey(t *testing.T) {
	digest, longer := strings.Repeat("0a", 32), strings.Repeat("0a", 64)
	for _, c := range []struct {
		by          IndexBy
		value, want string
	}{
		{ByArtifact, "sha256:" + digest, "sha256:" + digest},
		{ByArtifact, "SHA256:" + strings.ToUpper(digest), "sha256:" + digest},
		{ByArtifact, "sha512:" + longer, "sha512:" + longer},
		{ByPayload, "sha256:" + digest, "sha256:" + digest},
		{ByEnvelope, "sha256:" + digest, "sha256:" + digest},
		{ByPublicKey, strings.ToUpper(digest), digest},
		{BySubject, "Jane@Example.com", "jane@example.com"},
		{ByIssuer, "https://Issuer", "https://Issuer"},
	} {
		if k, err := NewIndexKey(c.by, c.value); err != nil || k != (IndexKey{c.by, c.want}) {
			t.Errorf("%s %q: %v, %v", c.by, c.value, k, err)
		}
	}
	for _, c := range []struct {
		by          IndexBy
		value, says string
	}{
		{ByArtifact, digest, "give sha256:"},
		{ByArtifact, "sha256:" + longer, "give sha256:"},
		{ByArtifact, "sha512:" + digest, "give sha256:"},
		{ByArtifact, "md5:" + digest, "give sha256:"},
		{ByArtifact, "sha256:" + digest[:62] + "zz", "give sha256:"},
		{ByPublicKey, "sha256:" + digest, "64 hex digits"},
		{ByPublicKey, digest[:62], "64 hex digits"},
		{BySubject, "", "the subject to search by is empty"},
		{ByIssuer, "", "the issuer to search by is empty"},
		{ByArtifact, "", "the artifact to search by is empty"},
		{"colour", "red", `not searched by "colour"`},
	} {
		if k, err := NewIndexKey(c.by, c.value); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %q: %v, %v", c.by, c.value, k, err)
		}
	}
}

func BenchmarkIndexKeys(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	r := request(b, key, "x")
	bare := must(NewHashedRekord(r))(b).Canonical()
	r.Verifier = Verifier{Certificate: fulcioCert(b, key, "https://issuer.example")}
	certified := must(NewHashedRekord(r))(b).Canonical()
	for name, canonical := range map[string][]byte{"key": bare, "certificate": certified} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := IndexKeys(canonical); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
