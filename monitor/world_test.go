package monitor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	"indelible/entry"
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

// fulcio is an authority that makes certificates as Fulcio does: short-lived, with
// one name, and some twenty extensions of what a workflow was.
type fulcio struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

func newFulcio(t testing.TB) fulcio {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"sigstore.dev"}, CommonName: "sigstore-intermediate"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key))(t)
	return fulcio{key, must(x509.ParseCertificate(der))(t)}
}

// issue makes the certificate of a key: san is a URI or an e-mail address.
func (f fulcio) issue(t testing.TB, key *ecdsa.PrivateKey, san, issuer string) []byte {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now(), NotAfter: time.Now().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if u, err := url.Parse(san); err == nil && u.Scheme != "" {
		tmpl.URIs = []*url.URL{u}
	} else {
		tmpl.EmailAddresses = []string{san}
	}
	fulcioID := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n} }
	tmpl.ExtraExtensions = []pkix.Extension{{Id: fulcioID(1), Value: []byte(issuer)}}
	for n := 2; n <= 6; n++ {
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: fulcioID(n), Value: []byte("refs/heads/main of the workflow")})
	}
	for n := 8; n <= 22; n++ {
		text := issuer
		if n > 8 {
			text = "https://github.com/example/project/actions/runs/8123456789/attempts/1"
		}
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: fulcioID(n), Value: must(asn1.MarshalWithParams(text, "utf8"))(t)})
	}
	sct := must(asn1.Marshal(make([]byte, 120)))(t)
	tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: sct})
	return must(x509.CreateCertificate(rand.Reader, tmpl, f.cert, key.Public(), f.key))(t)
}

// signed is a hashedrekord of an artifact, as Rekor v2 logs it.
func signed(t testing.TB, key *ecdsa.PrivateKey, certificate []byte, artifact string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(artifact))
	sig := must(ecdsa.SignASN1(rand.Reader, key, digest[:]))(t)
	v := entry.Verifier{Certificate: certificate}
	if certificate == nil {
		v = entry.Verifier{PublicKey: must(x509.MarshalPKIXPublicKey(key.Public()))(t)}
	}
	return must(entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: v}))(t).Canonical()
}

func fingerprint(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256(must(x509.MarshalPKIXPublicKey(key.Public()))(t)))
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// envelopeBy is a DSSE envelope that keys signed.
func envelopeBy(t testing.TB, keys ...*ecdsa.PrivateKey) []byte {
	t.Helper()
	payload := []byte(`{"x":1}`)
	digest := sha256.Sum256(entry.PAE("text/json", payload))
	list := ""
	for i, key := range keys {
		if i > 0 {
			list += ","
		}
		list += fmt.Sprintf(`{"sig":%q}`, base64Of(must(ecdsa.SignASN1(rand.Reader, key, digest[:]))(t)))
	}
	return fmt.Appendf(nil, `{"payloadType":"text/json","payload":%q,"signatures":[%s]}`, base64Of(payload), list)
}
