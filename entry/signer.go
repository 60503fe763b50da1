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

// maxVerifier bounds the work of reading a verifier. More does not fit into an
// entry, in any way of writing it.
const maxVerifier = 2 * MaxCanonical

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
	case len(v.PublicKey)+len(v.Certificate) > maxVerifier:
		return s, fmt.Errorf("%w: this key or certificate alone has %d bytes, and an entry at most %d", ErrTooLarge, len(v.PublicKey)+len(v.Certificate), MaxCanonical)
	case len(v.PublicKey) > 0:
		s.PublicKey, s.SPKI, err = parsePublicKey(v.PublicKey)
	default:
		s.Certificate, err = parseCertificate(v.Certificate)
		if err == nil {
			s.PublicKey, s.SPKI = s.Certificate.PublicKey, s.Certificate.RawSubjectPublicKeyInfo
		}
	}
	if err != nil {
		return s, err
	}
	if s.KeyDetails, err = chooseDetails(s.PublicKey, v.KeyDetails, kind); err != nil {
		return s, err
	}
	s.SPKI, err = encodeKey(s.PublicKey, s.SPKI)
	return s, err
}

// parsePublicKey also returns what the key was parsed from.
func parsePublicKey(data []byte) (pub crypto.PublicKey, der []byte, err error) {
	if der, err = derOf(data, "PUBLIC KEY"); err != nil {
		return nil, nil, fmt.Errorf("public key: %w", err)
	}
	if pub, err = x509.ParsePKIXPublicKey(der); err != nil {
		return nil, nil, fmt.Errorf("public key: it is not a SubjectPublicKeyInfo in DER or PEM: %w", err)
	}
	return pub, der, nil
}

// p256Info is the SubjectPublicKeyInfo of a P-256 key (RFC 5480) up to its
// point, which is not compressed: 64 bytes follow.
const p256Info = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"

// encodeKey writes a key that was parsed from der as a SubjectPublicKeyInfo, so
// that one key has one form. The usual one of a P-256 key has it already; to
// encode it again would cost a tenth of what verifying a signature does.
func encodeKey(pub crypto.PublicKey, der []byte) ([]byte, error) {
	if len(der) == len(p256Info)+64 && string(der[:len(p256Info)]) == p256Info {
		return der, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return spki, nil
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
