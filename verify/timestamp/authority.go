// Package timestamp verifies timestamps of RFC 3161, as Sigstore's bundles carry
// them: a timestamp authority's signed word that bytes were there at a time.
//
//	chain (PEM):  the authority's own certificate, those between, the root
//	a, err := timestamp.New(chain)
//	seconds, err := a.Stamped(response, signature)
//
// An Authority is a verify.TimestampAuthority. The chain is as cosign and the
// trusted root have it: the first certificate is the authority's own, unless it is
// a certificate authority's, and the last is the one that is trusted. With its own
// certificate there, nobody else whom that chain certifies is believed.
//
// A timestamp is good if
//
//   - the response grants it, and is what RFC 3161 allows, in DER to the letter
//   - it has one signature, by SHA-2, of the certificate above
//   - that certificate is for timestamps alone, which is marked as critical, and
//     leads to the root; all of the chain was valid at the time, and so was the
//     authority's own period, if it has one
//   - what was stamped is the SHA-2 digest of the given bytes
//
// These are the rules of sigstore-go, and those of RFC 3161, 2.4.2 and 5652, 5.6.
// Nonces and policies are between the authority and whoever asked it. Whether a
// certificate was revoked is not looked at: nothing here asks a network.
//
// # Hostile input
//
// Signatures are checked by github.com/digitorus/pkcs7, which takes BER, at any
// depth and with time and memory that grow with the square of it. So nothing gets
// there that is not shallow DER of few bytes, with the lists and keys bounded.
package timestamp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// Authority is a timestamp authority that is trusted.
type Authority struct {
	// From and Until bound the time for which it is trusted, both included, in
	// POSIX seconds; 0 is no bound. New sets neither.
	From, Until int64

	own     *x509.Certificate // nil if any that leads to the root will do
	between []*x509.Certificate
	root    *x509.Certificate
}

// New is the authority with a chain: its own certificate first, or left out, and
// the trusted one last.
func New(chain []*x509.Certificate) (*Authority, error) {
	if len(chain) == 0 {
		return nil, errors.New("a timestamp authority needs a certificate")
	}
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return nil, fmt.Errorf("certificate %d of the timestamp authority's chain is not signed by number %d (its own must be first, and the root last): %w", i+1, i+2, err)
		}
	}
	a := &Authority{root: chain[len(chain)-1], between: chain[:len(chain)-1]}
	if own := chain[0]; !own.IsCA {
		a.own = own // whether it is one for timestamps is found when there are any
	}
	return a, nil
}

// Stamped returns the time, in POSIX seconds, at which a response of the
// authority's says that signature was there.
func (a *Authority) Stamped(response, signature []byte) (int64, error) {
	t, err := open(response)
	if err != nil {
		return 0, fmt.Errorf("it is not a good RFC 3161 timestamp: %w", err)
	}
	signer, err := a.signer(t)
	if err != nil {
		return 0, err
	}
	stamp, err := timestamp.Parse(t.token)
	if err != nil {
		return 0, fmt.Errorf("it is not a good RFC 3161 timestamp: %w", err)
	}
	if err := a.trusts(signer, t.certificates, stamp.Time); err != nil {
		return 0, err
	}
	return stamp.Time.Unix(), isOf(stamp, signature)
}

// signer checks the signature, and returns whose it is.
func (a *Authority) signer(t token) (*x509.Certificate, error) {
	p7, err := pkcs7.Parse(t.token)
	if err != nil {
		return nil, fmt.Errorf("it is not a good RFC 3161 timestamp: %w", err)
	}
	if len(p7.Certificates) == 0 && a.own != nil { // whoever asks may do without
		p7.Certificates = []*x509.Certificate{a.own}
	}
	signer := p7.GetOnlySigner()
	switch {
	case signer == nil && a.own == nil:
		return nil, errors.New("it does not have its signer's certificate, and neither has the trusted authority's chain, where it must be first")
	case signer == nil:
		return nil, fmt.Errorf("it is not by the trusted authority %s", named(a.own))
	case a.own != nil && !a.own.Equal(signer):
		return nil, fmt.Errorf("it is by %s, and not by the trusted authority %s", named(signer), named(a.own))
	}
	if err := p7.Verify(); err != nil {
		return nil, fmt.Errorf("its signature does not verify: %w", err)
	}
	return signer, nil
}

// trusts checks that a certificate is the authority's, at a time.
func (a *Authority) trusts(signer *x509.Certificate, attached []*x509.Certificate, at time.Time) error {
	if err := forTimestamps(signer); err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.root)
	for _, list := range [][]*x509.Certificate{a.between, attached} {
		for _, c := range list {
			between.AddCert(c)
		}
	}
	_, err := signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return fmt.Errorf("it is signed by %s, which does not lead to the trusted authority %s at the time %s: %w", named(signer), named(a.root), at.UTC().Format(time.RFC3339), err)
	}
	if s := at.Unix(); s < a.From || a.Until != 0 && s > a.Until {
		return fmt.Errorf("it is of the time %d, and the authority is trusted from %d to %d (in seconds since 1970, UTC; 0 is no bound)", s, a.From, a.Until)
	}
	return nil
}

// forTimestamps checks what a certificate is for. SPEC: RFC 3161, 2.3: one extended
// key usage, timestamping, and critical.
func forTimestamps(c *x509.Certificate) error {
	if len(c.ExtKeyUsage) != 1 || len(c.UnknownExtKeyUsage) != 0 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping {
		return fmt.Errorf("the certificate of %s is not for timestamps alone, as a timestamp authority's must be", named(c))
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) && e.Critical {
			return nil
		}
	}
	return fmt.Errorf("the certificate of %s does not mark its extended key usage as critical, as a timestamp authority's must", named(c))
}

// isOf checks what was stamped.
func isOf(stamp *timestamp.Timestamp, signature []byte) error {
	switch stamp.HashAlgorithm {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return fmt.Errorf("what it stamps is a digest by %s; SHA-256, SHA-384 and SHA-512 are read", stamp.HashAlgorithm)
	}
	h := stamp.HashAlgorithm.New()
	h.Write(signature)
	if !bytes.Equal(h.Sum(nil), stamp.HashedMessage) {
		return fmt.Errorf("it is of something else: it stamps the digest %.64x, and the signature's is %x", stamp.HashedMessage, h.Sum(nil))
	}
	return nil
}

// named is a certificate's subject, to be shown.
func named(c *x509.Certificate) string { return fmt.Sprintf("%.200q", c.Subject.String()) }
