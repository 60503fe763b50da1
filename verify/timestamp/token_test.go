package timestamp

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// response is a granted response with a token of its own making.
func response(t *testing.T, token []byte) []byte {
	t.Helper()
	return marshal(t, responseASN1{Token: asn1.RawValue{FullBytes: token}})
}

func marshal[T responseASN1 | asn1.RawValue](t *testing.T, v T) []byte {
	t.Helper()
	data, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signed is what a timestamp says, signed in another way than timestamps are.
func (s *stamper) signed(t *testing.T, change func(*pkcs7.SignedData)) []byte {
	t.Helper()
	var r responseASN1
	if _, err := asn1.Unmarshal(s.stamp(s.noon, "sig", nil), &r); err != nil {
		t.Fatal(err)
	}
	p7, err := pkcs7.Parse(r.Token.FullBytes)
	if err != nil {
		t.Fatal(err)
	}
	sd, err := pkcs7.NewSignedData(p7.Content)
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	sd.SetContentType(tstInfo())
	change(sd)
	token, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return response(t, token)
}

func (s *stamper) sign(t *testing.T, sd *pkcs7.SignedData) {
	t.Helper()
	if err := sd.AddSigner(s.chain[0], s.keys[0], pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
}

// large is a certificate whose key is much work.
func large(t *testing.T) *x509.Certificate {
	t.Helper()
	s := newStamper(t, nil)
	n := new(big.Int).Lsh(big.NewInt(1), maxRSA)
	der, err := x509.CreateCertificate(rand.Reader, s.template("large"), s.chain[2], &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}, s.keys[2])
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// nested is a value at some depth, the innermost of which is empty.
func nested(depth int) []byte {
	v := []byte{0x30, 0}
	for range depth {
		v, _ = asn1.Marshal(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: v})
	}
	return v
}

func TestForm(t *testing.T) {
	s := newStamper(t, nil)
	good := s.stamp(s.noon, "sig", nil)
	refusal, err := timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.BadRequest)
	if err != nil {
		t.Fatal(err)
	}
	wrongSHA := func(sd *pkcs7.SignedData) { sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1); s.sign(t, sd) }
	for name, c := range map[string]struct {
		response []byte
		reason   string
	}{
		"good":              {s.signed(t, func(sd *pkcs7.SignedData) { s.sign(t, sd) }), ""},
		"nothing":           {nil, "it is not a good RFC 3161 timestamp"},
		"refused":           {refusal, "its status is 2"},
		"more after it":     {append(slices.Clone(good), 0, 0), "bytes are after its end"},
		"cut":               {good[:len(good)-1], "it is not a good RFC 3161 timestamp"},
		"no token":          {response(t, nil), "it is not a good RFC 3161 timestamp"},
		"BER":               {slices.Concat([]byte{0x30, 0x80}, good[4:], []byte{0, 0}), "indefinite length"},
		"too long":          {bytes.Repeat([]byte{0}, maxResponse+1), "up to 65536 are read"},
		"deep":              {response(t, nested(maxDepth+1)), "nested more than 32 deep"},
		"as deep as may be": {response(t, nested(maxDepth-2)), "structure error"},
		"not signed":        {s.signed(t, func(*pkcs7.SignedData) {}), "0 signatures"},
		"signed twice":      {s.signed(t, func(sd *pkcs7.SignedData) { s.sign(t, sd); s.sign(t, sd) }), "2 signatures"},
		"by SHA-1":          {s.signed(t, wrongSHA), "over a digest by 1.3.14.3.2.26"},
		"of other data":     {s.signed(t, func(sd *pkcs7.SignedData) { sd.SetContentType(pkcs7.OIDData); s.sign(t, sd) }), "and not a timestamp"},
		"signed as other data": {s.signed(t, func(sd *pkcs7.SignedData) {
			sd.SetContentType(pkcs7.OIDData)
			s.sign(t, sd)
			sd.SetContentType(tstInfo())
		}), "its signature is over something of type 1.2.840.113549.1.7.1"},
		"attributes left out": {s.signed(t, func(sd *pkcs7.SignedData) { s.sign(t, sd); sd.RemoveAuthenticatedAttributes() }), "it is not a good RFC 3161 timestamp"},
		"a digest twice": {s.signed(t, func(sd *pkcs7.SignedData) {
			twice := pkcs7.Attribute{Type: pkcs7.OIDAttributeMessageDigest, Value: make([]byte, 32)}
			if err := sd.AddSigner(s.chain[0], s.keys[0], pkcs7.SignerInfoConfig{ExtraSignedAttributes: []pkcs7.Attribute{twice}}); err != nil {
				t.Fatal(err)
			}
		}), "2 attributes with a message digest"},
		"many attributes": {s.signed(t, func(sd *pkcs7.SignedData) {
			var many []pkcs7.Attribute
			for i := range maxAttributes {
				many = append(many, pkcs7.Attribute{Type: asn1.ObjectIdentifier{1, 2, 3, i}, Value: i})
			}
			if err := sd.AddSigner(s.chain[0], s.keys[0], pkcs7.SignerInfoConfig{ExtraSignedAttributes: many}); err != nil {
				t.Fatal(err)
			}
		}), "up to 32 are read"},
		"many certificates": {s.signed(t, func(sd *pkcs7.SignedData) {
			s.sign(t, sd)
			for range maxCertificates {
				sd.AddCertificate(s.chain[1])
			}
		}), "17 certificates"},
		"a large key": {s.signed(t, func(sd *pkcs7.SignedData) { s.sign(t, sd); sd.AddCertificate(large(t)) }), "RSA key of 8193 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			stamped(t, s.authority(s.chain...), c.response, c.reason)
			if _, err := s.authority(s.chain...).Stamped(c.response, []byte("sig")); c.reason != "" && !strings.Contains(err.Error(), "it is not a good RFC 3161 timestamp") {
				t.Errorf("%v: it is about something else than the form", err)
			}
		})
	}
}
