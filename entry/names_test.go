package entry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"
)

// otherName is a general name of another kind than X.509's own.
func otherName(t testing.TB, id asn1.ObjectIdentifier, name string) asn1.RawValue {
	t.Helper()
	type other struct {
		ID   asn1.ObjectIdentifier
		Name string `asn1:"utf8,explicit,tag:0"`
	}
	return asn1.RawValue{FullBytes: must(asn1.MarshalWithParams(other{id, name}, "tag:0"))(t)}
}

// named is a certificate with the general names, or else with what names it has.
func named(t testing.TB, c x509.Certificate, general ...asn1.RawValue) *x509.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	c.SerialNumber, c.NotAfter = big.NewInt(1), time.Unix(2e9, 0)
	if general != nil {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: must(asn1.Marshal(general))(t)}}
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key))(t)))(t)
}

func TestSubjectNames(t *testing.T) {
	fulcio := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
	u := must(url.Parse("https://ci.example/x"))(t)
	email := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, Bytes: []byte("me@example.com")}
	for i, c := range []struct {
		cert *x509.Certificate
		want []string
	}{
		{named(t, x509.Certificate{EmailAddresses: []string{"me@example.com"}, DNSNames: []string{"a.example"}, URIs: []*url.URL{u}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 7), net.ParseIP("2001:db8::1")}}), []string{"me@example.com", "a.example", "https://ci.example/x", "10.0.0.7", "2001:db8::1"}},
		{named(t, x509.Certificate{}, otherName(t, fulcio, "foo!example.com")), []string{"foo!example.com"}},
		{named(t, x509.Certificate{}, otherName(t, asn1.ObjectIdentifier{1, 2, 3}, "foo"), email, otherName(t, fulcio, "foo!example.com")), []string{"me@example.com", "foo!example.com"}},
		{named(t, x509.Certificate{}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: []byte{1, 2}}, email), []string{"me@example.com"}},
		{named(t, x509.Certificate{}), nil},
	} {
		if got := SubjectNames(c.cert); !slices.Equal(got, c.want) {
			t.Errorf("%d: %q", i, got)
		}
		for _, name := range c.want {
			if keys := appendCertificate(nil, c.cert); !slices.Contains(keys, IndexKey{BySubject, name}) {
				t.Errorf("%d: %q is not found by: %v", i, name, keys)
			}
		}
	}
}
