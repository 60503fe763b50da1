package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"indelible/client"
	"indelible/entry"
	"indelible/keys"
)

// keyVerifier says that a signature verifies with a bare key.
func keyVerifier(pub crypto.PublicKey) (entry.Verifier, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	return entry.Verifier{PublicKey: spki}, err
}

// certificateVerifier says that a signature verifies with the certificate in a
// file, which must be of the key that signs, where that is known. Whether the
// certificate is valid now is noted and not judged: what is logged is that it
// was used, and verify judges.
func (p *program) certificateVerifier(file string, key crypto.PublicKey) (entry.Verifier, error) {
	c, err := p.readCertificate(file)
	if err != nil {
		return entry.Verifier{}, err
	}
	if key != nil && !equal(c.PublicKey, key) {
		return entry.Verifier{}, usagef("--certificate %s is of another key than the one that signs:\nthe certificate's  %s\nthe one that signs %s",
			file, fingerprintOf(c.PublicKey), fingerprintOf(key))
	}
	for _, note := range certificateNotes(c, time.Now()) {
		p.say("Note: the certificate in %s %s.", file, note)
	}
	return entry.Verifier{Certificate: c.Raw}, nil
}

// fingerprintOf is a key's, for a message.
func fingerprintOf(pub crypto.PublicKey) string {
	fp, err := keys.Fingerprint(pub)
	if err != nil {
		return fmt.Sprintf("(a %T)", pub)
	}
	return fp
}

// readCertificate reads the signer's certificate, which is the first one of a
// chain.
func (p *program) readCertificate(file string) (*x509.Certificate, error) {
	data, err := readFile(file, maxTrust)
	if err != nil {
		return nil, usagef("--certificate: %w", err)
	}
	chain, err := parseCertificates(data)
	if err != nil {
		return nil, usagef("--certificate %s: %w", file, err)
	}
	if n := len(chain); n > 1 {
		p.say("Note: %s holds %d certificates; the first one, the signer's, is logged.", file, n)
	}
	return chain[0], nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	switch {
	case bytes.Contains(data, []byte("PRIVATE KEY-----")):
		return nil, errors.New("it holds a private key; the certificate is needed")
	case bytes.Contains(data, []byte("PUBLIC KEY-----")):
		return nil, errors.New("it holds a public key; the certificate is needed")
	case !bytes.Contains(data, []byte("-----BEGIN ")):
		c, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, errors.New("it is neither PEM nor the DER of an X.509 certificate")
		}
		return []*x509.Certificate{c}, nil
	}
	chain, err := cryptoutils.UnmarshalCertificatesFromPEM(data)
	if err == nil && len(chain) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("it does not hold whole X.509 certificates in PEM: %w", err)
	}
	return chain, nil
}

// certificateNotes are what somebody should know who logs with a certificate.
func certificateNotes(c *x509.Certificate, now time.Time) (notes []string) {
	const day = "2 January 2006 15:04 MST"
	switch {
	case now.After(c.NotAfter):
		notes = append(notes, "expired on "+c.NotAfter.UTC().Format(day)+"; it is logged all the same")
	case now.Before(c.NotBefore):
		notes = append(notes, "is valid only from "+c.NotBefore.UTC().Format(day)+" on; it is logged all the same")
	}
	if c.IsCA {
		notes = append(notes, "is a certificate authority's, not a signer's")
	}
	if len(entry.SubjectNames(c)) == 0 {
		notes = append(notes, "names no e-mail address, DNS name, URI or IP address: --certificate-identity cannot match it, --signer can")
	}
	return notes
}

// identities is what a certificate says of whom it is of.
func identities(c *x509.Certificate) string {
	if names := entry.SubjectNames(c); len(names) > 0 {
		return strings.Join(names, ", ")
	}
	return c.Subject.String()
}

// requestVerifier is a verifier as the log is asked with it.
func requestVerifier(v entry.Verifier) client.Verifier {
	if v.Certificate != nil {
		return client.Verifier{Certificate: v.Certificate}
	}
	return client.Verifier{PublicKey: v.PublicKey}
}
