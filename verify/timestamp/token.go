package timestamp

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// The most that is read of a response: bytes, levels (those that are sent have
// about ten), certificates and signed attributes, and bits of an RSA key, whose
// work grows with their square.
const (
	maxResponse     = 64 << 10
	maxDepth        = 32
	maxCertificates = 16
	maxAttributes   = 32
	maxRSA          = 8192
)

// token is a timestamp token (RFC 3161, 2.4.2) of which only the form is known to
// be good.
type token struct {
	token        []byte // a ContentInfo
	certificates []*x509.Certificate
}

// What follows is the ASN.1 of RFC 3161, 2.4.2, and RFC 5652, 5.1 and 5.3, without
// what is optional there and excluded here.

type responseASN1 struct {
	Status struct {
		Status int
		Text   []string       `asn1:"optional,utf8"`
		Info   asn1.BitString `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content struct {
		Version int
		Digests []pkix.AlgorithmIdentifier `asn1:"set"`
		Info    struct {
			Type    asn1.ObjectIdentifier
			Content []byte `asn1:"explicit,tag:0"`
		}
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	} `asn1:"explicit,tag:0"`
}

type signerInfo struct {
	Version int
	By      struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	Digest    pkix.AlgorithmIdentifier
	Signed    []attribute `asn1:"tag:0"`
	Algorithm pkix.AlgorithmIdentifier
	Signature []byte
	Unsigned  []attribute `asn1:"optional,tag:1"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// open reads a response, and refuses what does not have the form of a timestamp
// with one signature.
func open(response []byte) (t token, err error) {
	if len(response) > maxResponse {
		return t, fmt.Errorf("it has %d bytes; up to %d are read", len(response), maxResponse)
	}
	if err := shallow(response, 0); err != nil {
		return t, err
	}
	var r responseASN1
	if err := unmarshal(response, &r); err != nil {
		return t, err
	}
	// SPEC: RFC 3161, 2.4.2: a token is there with granted (0) and grantedWithMods (1).
	if s := r.Status.Status; s != 0 && s != 1 {
		return t, fmt.Errorf("the authority did not grant it: its status is %d", s)
	}
	t.token = r.Token.FullBytes
	var info contentInfo
	if err := unmarshal(t.token, &info); err != nil {
		return t, err
	}
	if t.certificates, err = certificates(info.Content.Certificates); err != nil {
		return t, err
	}
	return t, info.check()
}

// unmarshal is for one value in DER and nothing after it.
func unmarshal[T responseASN1 | contentInfo](data []byte, to *T) error {
	rest, err := asn1.Unmarshal(data, to)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes are after its end", len(rest))
	}
	return err
}

// shallow walks through DER, of which asn1 looks at one level at a time.
func shallow(data []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	for len(data) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(data, &v)
		if err != nil {
			return err
		}
		if v.IsCompound {
			err = shallow(v.Bytes, depth+1)
		}
		if err != nil {
			return err
		}
		data = rest
	}
	return nil
}

func certificates(set asn1.RawValue) ([]*x509.Certificate, error) {
	list, err := x509.ParseCertificates(set.Bytes)
	if err != nil {
		return nil, fmt.Errorf("its certificates: %w", err)
	}
	if len(list) > maxCertificates {
		return nil, fmt.Errorf("it has %d certificates; up to %d are read", len(list), maxCertificates)
	}
	for _, c := range list {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return nil, fmt.Errorf("it has a certificate with an RSA key of %d bits; up to %d are read", key.N.BitLen(), maxRSA)
		}
	}
	return list, nil
}

func (i contentInfo) check() error {
	c := i.Content
	switch {
	case !i.Type.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}):
		return fmt.Errorf("its token is of type %s, and not signed data", i.Type)
	case !c.Info.Type.Equal(tstInfo()):
		return fmt.Errorf("what is signed is of type %s, and not a timestamp", c.Info.Type)
	case len(c.Signers) != 1:
		return fmt.Errorf("it has %d signatures; a timestamp has one", len(c.Signers))
	}
	return c.Signers[0].check()
}

// tstInfo is id-ct-TSTInfo, the type of what a timestamp authority signs.
func tstInfo() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
}

// check leaves out SHA-1, by which there are two messages of one digest.
func (s signerInfo) check() error {
	if len(s.Signed) > maxAttributes {
		return fmt.Errorf("it has %d signed attributes; up to %d are read", len(s.Signed), maxAttributes)
	}
	sha2 := []asn1.ObjectIdentifier{{2, 16, 840, 1, 101, 3, 4, 2, 1}, {2, 16, 840, 1, 101, 3, 4, 2, 2}, {2, 16, 840, 1, 101, 3, 4, 2, 3}}
	if !slices.ContainsFunc(sha2, s.Digest.Algorithm.Equal) {
		return fmt.Errorf("its signature is over a digest by %s; SHA-256, SHA-384 and SHA-512 are read", s.Digest.Algorithm)
	}
	if s.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}) {
		return errors.New("it is signed by ECDSA with SHA-1")
	}
	// SPEC: RFC 5652, 5.3 and 11: both must be there, once, with one value.
	kind, err := only[asn1.ObjectIdentifier](s, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, "content type")
	if err != nil {
		return err
	}
	if !kind.Equal(tstInfo()) {
		return fmt.Errorf("its signature is over something of type %s, and not a timestamp", kind)
	}
	_, err = only[[]byte](s, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, "message digest")
	return err
}

// only is the value of a signed attribute that is there once.
func only[T asn1.ObjectIdentifier | []byte](s signerInfo, kind asn1.ObjectIdentifier, name string) (value T, err error) {
	var values []asn1.RawValue
	for _, a := range s.Signed {
		if a.Type.Equal(kind) {
			values = append(values, a.Values...)
		}
	}
	if len(values) != 1 {
		return value, fmt.Errorf("its signature is over %d attributes with a %s; there must be one", len(values), name)
	}
	if _, err = asn1.Unmarshal(values[0].FullBytes, &value); err != nil {
		err = fmt.Errorf("its signed %s cannot be read: %w", name, err)
	}
	return value, err
}
