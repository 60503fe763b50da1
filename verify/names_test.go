package verify

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"testing"
	"time"
)

// A certificate's user whom Fulcio knows by neither an address nor a URI is known by
// an otherName, which crypto/x509 does not read; and machines are by their addresses.
func TestUncommonNames(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	type other struct {
		ID   asn1.ObjectIdentifier
		Name string `asn1:"utf8,explicit,tag:0"`
	}
	general := func(id asn1.ObjectIdentifier) pkix.Extension {
		name, err := asn1.MarshalWithParams(other{id, "foo!example.com"}, "tag:0")
		if err != nil {
			t.Fatal(err)
		}
		value, err := asn1.Marshal([]asn1.RawValue{{FullBytes: name}})
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value}
	}
	fulcio, unknown := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	for _, c := range []struct {
		ips    []net.IP
		more   []pkix.Extension
		name   string
		reason string // for which it is refused
	}{
		{nil, []pkix.Extension{general(fulcio)}, "foo!example.com", ""},
		{nil, []pkix.Extension{general(fulcio)}, "bar!example.com", "its certificate is of foo!example.com"},
		{nil, []pkix.Extension{general(fulcio), unknown}, "foo!example.com", "unhandled critical extension"},
		{nil, []pkix.Extension{general(asn1.ObjectIdentifier{1, 2, 3})}, "foo!example.com", "its certificate is of "},
		{[]net.IP{net.IPv4(10, 0, 0, 7)}, nil, "10.0.0.7", ""},
		{[]net.IP{net.IPv4(10, 0, 0, 7)}, nil, "10.0.0.8", "its certificate is of 10.0.0.7"},
	} {
		cert := ca.issue(&x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(time.Minute), IPAddresses: c.ips, ExtraExtensions: c.more}, key.Public())
		s := newRekorV1(t, key, cert.Raw, from.Unix())
		s.trust.Signers = []Signer{{Identity: c.name, Roots: ca.pool()}}
		if c.reason == "" {
			s.verifies()
		} else {
			s.fails("signer", c.reason)
		}
	}
}
