package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"indelible/entry"
)

// authority issues certificates.
type authority struct {
	w    *world
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (w *world) authority(name string) authority {
	w.t.Helper()
	a := authority{w: w, key: newKey(w.t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.file, a.cert = a.issue(name+".pem", a.key.Public(), a.cert)
	return a
}

func (a authority) issue(name string, pub crypto.PublicKey, template *x509.Certificate) (string, *x509.Certificate) {
	a.w.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		a.w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.w.t.Fatal(err)
	}
	return a.w.file(name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), cert
}

// of is a certificate for somebody, as Fulcio's are.
func (a authority) of(mail, issuer string, until time.Time) *x509.Certificate {
	a.w.t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "somebody"}, EmailAddresses: []string{mail},
		NotBefore: until.Add(-30 * time.Minute), NotAfter: until,
	}
	if issuer != "" {
		value, err := asn1.MarshalWithParams(issuer, "utf8")
		if err != nil {
			a.w.t.Fatal(err)
		}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: value}}
	}
	return c
}

func (w *world) keyFile(name string, key *ecdsa.PrivateKey) string {
	w.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.file(name, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestCertificate(t *testing.T) {
	w := newWorld(t)
	ca, other := w.authority("ca"), w.authority("other")
	key := newKey(t)
	keyFile, f := w.keyFile("key", key), w.file("f", "artifact")
	const mail, issuer = "alice@example.com", "https://issuer.example"
	file, cert := ca.issue("cert.pem", key.Public(), ca.of(mail, issuer, time.Now().Add(20*time.Minute)))
	der := w.file("cert.der", string(cert.Raw))
	for _, given := range []string{file, der} {
		if _, errs := w.run(exitDone, "add", "--key", keyFile, "--certificate", given, f); strings.Contains(errs, "Note: the certificate") {
			t.Errorf("a note on a good certificate: %s", errs)
		}
	}
	parsed, err := entry.Parse(w.log.entries[0])
	if err != nil || string(parsed.Signers()[0].Certificate.Raw) != string(cert.Raw) {
		t.Fatalf("logged %s: %v", w.log.entries[0], err)
	}
	verify := func(code int, want string, args ...string) {
		t.Helper()
		out, errs := w.run(code, append([]string{"verify", f}, args...)...)
		says(t, out+errs, want)
	}
	verify(exitDone, "certificate of "+mail, "--certificate-identity", mail, "--certificate-oidc-issuer", issuer, "--ca-roots", ca.file)
	verify(exitUnverified, "not bob@", "--certificate-identity", "bob@example.com", "--certificate-oidc-issuer", issuer, "--ca-roots", ca.file)
	verify(exitUnverified, "not \"https://o", "--certificate-identity", mail, "--certificate-oidc-issuer", "https://other.example", "--ca-roots", ca.file)
	verify(exitUnverified, "trusted authority", "--certificate-identity", mail, "--certificate-oidc-issuer", issuer, "--ca-roots", other.file)
	verify(exitDone, "Verified", "--signer", file)
	verify(exitUnverified, "signed by key", "--signer", other.file)
	verify(exitUsage, "needs --certificate-identity and --ca-roots", "--certificate-identity", mail)
	out, _ := w.run(exitDone, "get", "1")
	says(t, out, mail, "certificate")
}

func TestWrongCertificates(t *testing.T) {
	w := newWorld(t)
	ca := w.authority("ca")
	key := newKey(t)
	keyFile, f := w.keyFile("key", key), w.file("f", "artifact")
	good, _ := ca.issue("cert.pem", key.Public(), ca.of("alice@example.com", "", time.Now().Add(20*time.Minute)))
	theirs, _ := ca.issue("theirs.pem", newKey(t).Public(), ca.of("bob@example.com", "", time.Now().Add(20*time.Minute)))
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		theirs:                                 "of another key than the one that signs",
		w.file("empty", ""):                    "neither PEM nor the DER",
		w.file("nonsense", "\x30\x82nonsense"): "neither PEM nor the DER",
		w.file("cut.pem", string(text[:len(text)-40])):                                                    "whole X.509 certificates",
		w.file("tail.pem", string(text)+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"): "whole X.509 certificates",
		keyFile:            "holds a private key",
		w.dir + "/missing": "no such file",
	} {
		_, errs := w.run(exitUsage, "add", "--key", keyFile, "--certificate", given, f)
		says(t, errs, "--certificate", want)
	}
	_, errs := w.run(exitUsage, "add", "--kind", "raw", "--certificate", good, f)
	says(t, errs, "nobody signs such an entry")
	if len(w.log.asked) > 0 {
		t.Errorf("asked %q", w.log.asked)
	}
}

// What is doubtful about a certificate is said, and it is logged all the same.
func TestCertificateNotes(t *testing.T) {
	w := newWorld(t)
	ca := w.authority("ca")
	key := newKey(t)
	keyFile, f := w.keyFile("key", key), w.file("f", "artifact")
	add := func(file string, want ...string) {
		t.Helper()
		_, errs := w.run(exitDone, "add", "--key", keyFile, "--certificate", file, f)
		says(t, errs, want...)
	}
	const mail = "alice@example.com"
	expired, _ := ca.issue("expired", key.Public(), ca.of(mail, "", time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)))
	add(expired, "expired on 2 January 2020 03:04 UTC")
	w.run(exitUnverified, "verify", f, "--certificate-identity", mail, "--ca-roots", ca.file) // the authority is younger
	early, _ := ca.issue("early", key.Public(), ca.of(mail, "", time.Now().AddDate(1, 0, 0)))
	add(early, "is valid only from")
	nameless := ca.of(mail, "", time.Now().Add(20*time.Minute))
	nameless.EmailAddresses = nil
	file, _ := ca.issue("nameless", key.Public(), nameless)
	add(file, "--certificate-identity cannot match it")
	signing := ca.of(mail, "", time.Now().Add(20*time.Minute))
	signing.IsCA, signing.BasicConstraintsValid = true, true
	file, _ = ca.issue("signing", key.Public(), signing)
	add(file, "is a certificate authority's")
	good, _ := ca.issue("good", key.Public(), ca.of(mail, "", time.Now().Add(20*time.Minute)))
	chain := ""
	for _, f := range []string{good, ca.file} {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		chain += string(text)
	}
	add(w.file("chain", chain), "holds 2 certificates; the first one, the signer's, is logged")
	w.run(exitDone, "verify", f, "--certificate-identity", mail, "--ca-roots", ca.file)
}

func TestCertificateOfEnvelope(t *testing.T) {
	w := newWorld(t)
	ca := w.authority("ca")
	key := newKey(t)
	const mail = "alice@example.com"
	payload := []byte(`{"a":"statement"}`)
	digest := sha256.Sum256(entry.PAE("text/plain", payload))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := json.Marshal(map[string]any{
		"payloadType": "text/plain", "payload": base64.StdEncoding.EncodeToString(payload),
		"signatures": []map[string]string{{"sig": base64.StdEncoding.EncodeToString(sig)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := w.file("envelope", string(envelope))
	template := ca.of(mail, "", time.Now().Add(20*time.Minute))
	template.URIs = []*url.URL{{Scheme: "https", Host: "example.com", Path: "/workflow"}}
	good, _ := ca.issue("good", key.Public(), template)
	theirs, _ := ca.issue("theirs", newKey(t).Public(), template)
	keyFile, otherKey := w.keyFile("key", key), w.keyFile("other", newKey(t))
	for _, args := range [][]string{{"--certificate", good}, {"--certificate", good, "--key", keyFile}, {"--certificate", good, "--signer", good}, {"--key", keyFile}} {
		w.run(exitDone, append([]string{"add", "--kind", "dsse", f}, args...)...)
		if args[0] == "--certificate" {
			w.run(exitDone, "verify", f, "--certificate-identity", mail, "--ca-roots", ca.file)
			w.run(exitDone, "verify", f, "--certificate-identity", "https://example.com/workflow", "--ca-roots", ca.file)
		}
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"the signature does not verify", []string{"--certificate", theirs}},
		{"of another key", []string{"--certificate", theirs, "--key", keyFile}},
		{"of another key", []string{"--certificate", good, "--key", otherKey}},
		{"of another key", []string{"--certificate", good, "--signer", theirs}},
		{"not both", []string{"--signer", good, "--key", keyFile}},
		{"needs --signer FILE", nil},
	} {
		_, errs := w.run(exitUsage, append([]string{"add", "--kind", "dsse", f}, c.args...)...)
		says(t, errs, c.says)
	}
}
