package keys

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// LoadPublic returns the public key in data: a PEM block PUBLIC KEY, RSA PUBLIC
// KEY or CERTIFICATE, or the DER of a public key or certificate. Nothing but the
// key is looked at in a certificate.
func LoadPublic(data []byte) (crypto.PublicKey, error) {
	pub, err := parsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if err := checkPublic(pub); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return pub, nil
}

func parsePublic(data []byte) (crypto.PublicKey, error) {
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return parsePublicDER(data)
	}
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return nil, errors.New("it is a private key; get the public one with: openssl pkey -in KEY -pubout")
	}
	return parsePublicBlock(block)
}

func parsePublicBlock(block *pem.Block) (crypto.PublicKey, error) {
	var pub crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		pub, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		pub, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		pub, err = publicOfCertificate(block.Bytes)
	default:
		return nil, fmt.Errorf("it is a PEM block %.40q; it must be PUBLIC KEY or CERTIFICATE", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its %s block is damaged or of an unsupported kind: %w", block.Type, err)
	}
	return pub, nil
}

func parsePublicDER(der []byte) (crypto.PublicKey, error) {
	if pub, err := x509.ParsePKIXPublicKey(der); err == nil {
		return pub, nil
	}
	if pub, err := publicOfCertificate(der); err == nil {
		return pub, nil
	}
	return nil, fmt.Errorf("its %d bytes are neither PEM nor the DER of a public key or certificate", len(der))
}

func publicOfCertificate(der []byte) (crypto.PublicKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return cert.PublicKey, nil
}

// Fingerprint returns "SHA256:" and the hex SHA-256 of the key's SPKI DER, as
//
//	openssl pkey -pubin -in key.pub -outform DER | sha256sum
//
// prints it.
func Fingerprint(pub crypto.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("fingerprint of a %T: %w", pub, err)
	}
	sum := sha256.Sum256(spki)
	return "SHA256:" + hex.EncodeToString(sum[:]), nil
}
