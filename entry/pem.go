package entry

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// maxChain is how many certificates a chain may have, as in Rekor v1.
const maxChain = 10

const (
	labelKey         = "PUBLIC KEY"
	labelCertificate = "CERTIFICATE"
)

// signerOfPEM parses what a signature of Rekor v1 verifies with: a public key, a
// certificate, or a chain of them, the signer's first.
func signerOfPEM(text []byte, kind Kind) (s Signer, err error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return s, err
	}
	if blocks[0].Type == labelKey && len(blocks) == 1 {
		if s.PublicKey, err = x509.ParsePKIXPublicKey(blocks[0].Bytes); err != nil {
			return s, fmt.Errorf("its PEM block is not a SubjectPublicKeyInfo: %w", err)
		}
		return s, s.complete(kind, blocks[0].Bytes)
	}
	for i, b := range blocks {
		if b.Type != labelCertificate {
			return s, wrongBlock(b.Type, i, len(blocks))
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return s, fmt.Errorf("its PEM block %d is not an X.509 certificate: %w", i, err)
		}
		if i > 0 {
			s.Chain = append(s.Chain, cert)
			continue
		}
		s.Certificate, s.PublicKey = cert, cert.PublicKey
	}
	return s, s.complete(kind, s.Certificate.RawSubjectPublicKeyInfo)
}

func wrongBlock(label string, i, n int) error {
	switch {
	case label == "RSA PUBLIC KEY":
		return fmt.Errorf("its PEM block %d is %q, an RSA key in PKCS#1; give it as %q, which openssl rsa -RSAPublicKey_in -pubout writes", i, label, labelKey)
	case n == 1:
		return fmt.Errorf("its PEM block is %q; give a %q or a %q", label, labelKey, labelCertificate)
	}
	return fmt.Errorf("its PEM block %d is %q; give one %q, or a chain of %q alone", i, label, labelKey, labelCertificate)
}

// pemBlocks reads a text that ends with a PEM block. Text before blocks is passed
// over, as what openssl writes has it; what looks like a part of another block is
// not: pem.Decode would leave out a block that it cannot read.
func pemBlocks(text []byte) ([]*pem.Block, error) {
	if len(text) > MaxCanonical { // bounds the work
		return nil, fmt.Errorf("%w: this alone has %d bytes, and an entry at most %d", ErrTooLarge, len(text), MaxCanonical)
	}
	var blocks []*pem.Block
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		block, after := pem.Decode(rest)
		switch begins, ends := pemMarks(rest[:len(rest)-len(after)]); {
		case block == nil:
			return nil, noBlock(rest, len(blocks))
		case begins != 1 || ends != 1:
			return nil, damagedBlock(len(blocks))
		}
		if blocks, rest = append(blocks, block), after; len(blocks) > maxChain {
			return nil, fmt.Errorf("it has more than %d PEM blocks; give a key, or a chain of at most %d certificates", maxChain, maxChain)
		}
	}
	if len(blocks) == 0 {
		return nil, errors.New("it is empty; give a PEM public key or certificate")
	}
	return blocks, nil
}

// pemMarks counts what begins and ends blocks, in a text. One dash is enough:
// others may be what is damaged.
func pemMarks(text []byte) (begins, ends int) {
	return bytes.Count(text, []byte("-BEGIN ")), bytes.Count(text, []byte("-END "))
}

// noBlock says what is wrong with a text in which n blocks were found, and in
// the rest none.
func noBlock(rest []byte, n int) error {
	switch begins, ends := pemMarks(rest); {
	case begins+ends > 0:
		return damagedBlock(n)
	case n == 0:
		return fmt.Errorf("it has no PEM block, and begins with %.20q; give a PEM public key or certificate", rest)
	}
	return fmt.Errorf("after its last PEM block, of %d, it goes on with %.20q; text may stand before blocks only", n, rest)
}

func damagedBlock(i int) error {
	return fmt.Errorf("its PEM block %d is damaged, or begins within a line", i)
}

// complete fills in what follows from the key, which was parsed from der.
func (s *Signer) complete(kind Kind, der []byte) (err error) {
	if s.KeyDetails, err = detailsV1(s.PublicKey, kind); err != nil {
		return err
	}
	for i, c := range s.Chain {
		if _, err := detailsV1(c.PublicKey, kind); err != nil { // a key without bounds would be work without bounds
			return fmt.Errorf("certificate %d of the chain: %w", i+1, err)
		}
	}
	s.SPKI, err = encodeKey(s.PublicKey, der)
	return err
}

// detailsV1 are a key's details in an entry of Rekor v1: those of Rekor v2 where
// a digest is signed, and SHA-256 with every key where a message is.
func detailsV1(pub crypto.PublicKey, kind Kind) (KeyDetails, error) {
	if kind == KindHashedRekord {
		return usualDetails(pub, kind)
	}
	details, err := usualDetails(pub, KindDSSE)
	switch details {
	case ECDSAP384SHA384:
		details = ECDSAP384SHA256
	case ECDSAP521SHA512:
		details = ECDSAP521SHA256
	}
	return details, err
}

// verifyChain checks a chain as Rekor v1 does: as of when the signer's
// certificate began, and up to the last certificate given, whatever it is. Rekor
// does not check the one of a dsse or an intoto, which then need not be one.
// Where no two certificates above the signer's have one subject, each is looked
// at as the issuer of one other: otherwise the search for a path tries up to a
// hundred signatures.
func (s Signer) verifyChain() error {
	if len(s.Chain) == 0 {
		return nil
	}
	for i, c := range s.Chain {
		if at := slices.IndexFunc(s.Chain[:i], func(o *x509.Certificate) bool { return bytes.Equal(o.RawSubject, c.RawSubject) }); at >= 0 {
			return fmt.Errorf("its certificates %d and %d have the same subject; give one chain, each of its certificates once", at+1, i+1)
		}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	last := len(s.Chain) - 1
	roots.AddCert(s.Chain[last])
	for _, c := range s.Chain[:last] {
		between.AddCert(c)
	}
	_, err := s.Certificate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: s.Certificate.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("its %d certificates are not a chain; give the signer's first and its root last, or the signer's alone: %w", len(s.Chain)+1, err)
	}
	return nil
}

// pem writes a signer as Rekor v1 does.
func (s Signer) pem() []byte {
	if s.Certificate == nil {
		return pem.EncodeToMemory(&pem.Block{Type: labelKey, Bytes: s.SPKI})
	}
	text := pem.EncodeToMemory(&pem.Block{Type: labelCertificate, Bytes: s.Certificate.Raw})
	for _, c := range s.Chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: labelCertificate, Bytes: c.Raw})...)
	}
	return text
}
