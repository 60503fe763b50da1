package entry

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Verifier is what a client says a signature verifies with.
type Verifier struct {
	PublicKey   []byte     // SubjectPublicKeyInfo, DER or PEM; this or Certificate
	Certificate []byte     // X.509 certificate, DER or PEM
	KeyDetails  KeyDetails // empty: the usual ones of the key
}

// Signer is a key that signed an entry.
type Signer struct {
	KeyDetails  KeyDetails
	PublicKey   crypto.PublicKey
	SPKI        []byte              // the key, DER
	Certificate *x509.Certificate   // nil for a bare key
	Chain       []*x509.Certificate // those above it, which only Rekor v1's kinds have
}

// signer parses a verifier. The certificate is not validated: what is logged is
// that it was used.
func (v Verifier) signer(kind Kind) (s Signer, err error) {
	switch {
	case len(v.PublicKey) == 0 && len(v.Certificate) == 0:
		return s, errors.New("it has neither a public key nor a certificate to verify with")
	case len(v.PublicKey) > 0 && len(v.Certificate) > 0:
		return s, errors.New("it has both a public key and a certificate; give one")
	case len(v.PublicKey) > 0:
		s.PublicKey, err = parsePublicKey(v.PublicKey)
	default:
		s.Certificate, err = parseCertificate(v.Certificate)
		if err == nil {
			s.PublicKey = s.Certificate.PublicKey
		}
	}
	if err != nil {
		return s, err
	}
	if s.KeyDetails, err = chooseDetails(s.PublicKey, v.KeyDetails, kind); err != nil {
		return s, err
	}
	// Encoded anew, so that one key has one form.
	if s.SPKI, err = x509.MarshalPKIXPublicKey(s.PublicKey); err != nil {
		return s, fmt.Errorf("public key: %w", err)
	}
	return s, nil
}

func parsePublicKey(data []byte) (crypto.PublicKey, error) {
	der, err := derOf(data, "PUBLIC KEY")
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key: it is not a SubjectPublicKeyInfo in DER or PEM: %w", err)
	}
	return pub, nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	der, err := derOf(data, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: it is not an X.509 certificate in DER or PEM: %w", err)
	}
	return cert, nil
}

// derOf returns the one block of a PEM text, or what is not PEM as it is.
func derOf(data []byte, label string) ([]byte, error) {
	if data[0] == 0x30 { // a DER SEQUENCE; PEM begins with a dash
		return data, nil
	}
	begin := []byte("-----BEGIN")
	if !bytes.HasPrefix(bytes.TrimSpace(data), begin) {
		return data, nil
	}
	block, rest := pem.Decode(data)
	switch {
	// pem.Decode leaves out a block that it cannot read, and goes on.
	case block == nil, bytes.Count(data[:len(data)-len(rest)], begin) != 1:
		return nil, errors.New("the PEM block is damaged")
	case block.Type != label:
		return nil, fmt.Errorf("a PEM block %q where %q belongs", block.Type, label)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%d bytes after the PEM block; give one block alone, of a chain the leaf", len(bytes.TrimSpace(rest)))
	}
	return block.Bytes, nil
}
