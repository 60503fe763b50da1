package entry

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
)

// SubjectNames are a certificate's subject alternative names: e-mail addresses, DNS
// names, URIs, IP addresses, and the names that Fulcio writes as otherName.
func SubjectNames(c *x509.Certificate) []string {
	names := slices.Concat(c.EmailAddresses, c.DNSNames)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return append(names, otherNames(c)...)
}

// otherNames are those of Fulcio's kind, as a certificate has for an issuer's user
// that is neither an address nor a URI.
// SPEC: Fulcio, oid-info.md: 1.3.6.1.4.1.57264.1.7 is a UTF8String; RFC 5280, 4.2.1.6.
func otherNames(c *x509.Certificate) (names []string) {
	at := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) })
	if at < 0 {
		return nil
	}
	var all []asn1.RawValue
	if rest, err := asn1.Unmarshal(c.Extensions[at].Value, &all); err != nil || len(rest) > 0 {
		return nil
	}
	for _, one := range all {
		var other struct {
			ID   asn1.ObjectIdentifier
			Name string `asn1:"utf8,explicit,tag:0"`
		}
		if one.Class != asn1.ClassContextSpecific || one.Tag != 0 {
			continue
		}
		rest, err := asn1.UnmarshalWithParams(one.FullBytes, &other, "tag:0")
		if err == nil && len(rest) == 0 && other.ID.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}) {
			names = append(names, other.Name)
		}
	}
	return names
}
