package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/entry"
)

// Signer is one whose signature is trusted: a key, by its fingerprint, or
// whoever holds a certificate of an identity.
type Signer struct {
	// Fingerprint is SHA256: and the hex of the SHA-256 of the public key's
	// SubjectPublicKeyInfo in DER.
	Fingerprint string

	// Identity is what the certificate must have as a subject alternative name, in
	// these letters: one of its entry.SubjectNames; Issuer is the OIDC
	// issuer in its Fulcio extension, and empty for a certificate that has none:
	// the same identity from another issuer may be somebody else; Roots are the
	// authorities one of which it must come from.
	Identity      string
	Issuer        string
	Roots         *x509.CertPool
	Intermediates *x509.CertPool
	// Valid is when the authorities are trusted, as a trusted root has it.
	Valid Period
	// CTLogs are the CT logs one of which must have promised to publish the
	// certificate, by an SCT in it. Without any, SCTs are not asked for.
	CTLogs []CTLog
}

// matched is who a signer is, and of a certificate whether a CT log has it.
type matched struct {
	who string
	sct Check // without a name of a bare key
}

// match says who a signer is, or why it is not the one that is trusted.
func (s Signer) match(have entry.Signer, then *moment) (m matched, err error) {
	if s.Fingerprint != "" {
		if have.Certificate != nil {
			m.sct = Check{Name: "sct", State: NotChecked, Detail: "the signer is known by its key, and not by the certificate"}
		}
		m.who, err = s.matchKey(have)
		return m, err
	}
	if have.Certificate == nil {
		return m, fmt.Errorf("it is signed by a bare key, %s, and a certificate of %s is asked for", fingerprint(have), s.Identity)
	}
	return s.matchCertificate(have.Certificate, then)
}

func fingerprint(have entry.Signer) string {
	return fmt.Sprintf("SHA256:%x", sha256.Sum256(have.SPKI))
}

func (s Signer) matchKey(have entry.Signer) (string, error) {
	if got := fingerprint(have); !strings.EqualFold(got, s.Fingerprint) {
		return "", fmt.Errorf("it is signed by key %s, not %s", got, s.Fingerprint)
	}
	return "key " + fingerprint(have), nil
}

// matchCertificate checks whose certificate it is, and that it comes from one of
// the roots.
func (s Signer) matchCertificate(c *x509.Certificate, then *moment) (m matched, err error) {
	if s.Roots == nil {
		return m, errors.New("no certificate authority is trusted")
	}
	if names := entry.SubjectNames(c); !slices.Contains(names, s.Identity) {
		return m, fmt.Errorf("its certificate is of %s, not %s", strings.Join(names, ", "), s.Identity)
	}
	if err := s.matchIssuer(issuer(c)); err != nil {
		return m, err
	}
	chains, err := s.chains(c, then)
	if err != nil {
		return m, fmt.Errorf("its certificate does not come from a trusted authority: %w", err)
	}
	m.sct = s.promised(c, chains)
	if then == nil {
		m.who = "certificate of " + s.Identity + " (that it was valid when it signed is not proven)"
		return m, nil
	}
	if err := then.within(c, chains, s.Valid); err != nil {
		return m, err
	}
	m.who = fmt.Sprintf("certificate of %s, valid at that time, %d (in seconds since 1970, UTC)", s.Identity, then.seconds[0])
	return m, nil
}

// chains leads from a certificate to the roots, at the moment that it begins to
// be valid.
func (s Signer) chains(c *x509.Certificate, then *moment) ([][]*x509.Certificate, error) {
	between := s.Intermediates
	if then != nil && len(then.above) > 0 {
		if between = x509.NewCertPool(); s.Intermediates != nil {
			between = s.Intermediates.Clone()
		}
		for _, a := range then.above {
			between.AddCert(a)
		}
	}
	// Of a proof file, which usages the authority allows is its affair. Verifiers of
	// bundles ask for code signing, unless a certificate is for all usages: one of a
	// TLS server has names too, and its key signs in other places.
	usage := x509.ExtKeyUsageAny
	if then != nil {
		usage = x509.ExtKeyUsageCodeSigning
	}
	return readable(c).Verify(x509.VerifyOptions{Roots: s.Roots, Intermediates: between, CurrentTime: c.NotBefore, KeyUsages: []x509.ExtKeyUsage{usage}})
}

func (s Signer) matchIssuer(got string) error {
	switch {
	case got == s.Issuer:
		return nil
	case s.Issuer == "":
		return fmt.Errorf("its certificate's identity comes from OIDC issuer %q, and none was given to compare with", got)
	case got == "":
		return fmt.Errorf("its certificate names no OIDC issuer; %q is asked for", s.Issuer)
	}
	return fmt.Errorf("its certificate's identity comes from OIDC issuer %q, not %q", got, s.Issuer)
}

// readable is a certificate to be verified. crypto/x509 counts the extension with the
// names as one that it cannot handle, if it has an otherName alone.
func readable(c *x509.Certificate) *x509.Certificate {
	if len(entry.SubjectNames(c)) == 0 {
		return c
	}
	copied := *c
	names := func(id asn1.ObjectIdentifier) bool { return id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) }
	copied.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), names)
	return &copied
}

// issuer is the OIDC issuer that Fulcio wrote into a certificate.
// SPEC: Fulcio, oid-info.md: 1.3.6.1.4.1.57264.1.8 holds a DER string,
// 1.3.6.1.4.1.57264.1.1, which is older, the bare text.
func issuer(c *x509.Certificate) string {
	old := ""
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}):
			var s string
			if rest, err := asn1.Unmarshal(e.Value, &s); err == nil && len(rest) == 0 {
				return s
			}
		case e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}):
			old = string(e.Value)
		}
	}
	return old
}
