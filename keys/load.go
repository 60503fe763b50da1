package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"indelible/internal/filename"
)

var (
	// ErrEncrypted says that a key needs a password and none was given.
	ErrEncrypted = errors.New("the key is encrypted and no password was given")

	// ErrPassword says that a password does not open a key.
	ErrPassword = errors.New("wrong password, or a damaged file")

	// ErrPermissions says that others than its owner can use a key file.
	ErrPermissions = errors.New("the key file is open to others than its owner")
)

const (
	// maxFile bounds a key file, in bytes. The PKCS#8 PEM of RSA-8192 takes 6 kB.
	maxFile = 32 << 10

	supported = "Ed25519, ECDSA on P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits"
)

// Load reads a private key. The password is used for encrypted keys only; nil
// if there is none.
func Load(path string, password []byte) (crypto.Signer, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	key, err := parsePrivate(data, password)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

// checkPath refuses the URI of a key that is not in a file.
func checkPath(path string) error {
	if err := filename.Check(path); err != nil {
		return fmt.Errorf("key: %w; this key cannot be in a key management service or a token", err)
	}
	return nil
}

// readPrivate reads the file at path if only its owner can.
func readPrivate(path string) ([]byte, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	// Before opening: that would wait for ever for the writer of a named pipe.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s: it is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if err := checkPermissions(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("key file %s: it is larger than %d bytes, so it is no key", path, maxFile)
	}
	return data, nil
}

func parsePrivate(data, password []byte) (crypto.Signer, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}
	if _, legacy := block.Headers["DEK-Info"]; legacy {
		return nil, errors.New("it is encrypted in the old PEM way; convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW")
	}
	key, err := parseBlock(block, password)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("it holds a %T, which cannot sign; use %s", key, supported)
	}
	if err := checkPublic(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// parseBlock returns what is in block. The libraries' errors are not passed on,
// as nobody promises that they never quote what they read.
func parseBlock(block *pem.Block, password []byte) (any, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return decrypt(block.Bytes, password)
	case sigstoreBlock, cosignBlock:
		return decryptCosign(block, password)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PUBLIC KEY", "CERTIFICATE", "RSA PUBLIC KEY":
		return nil, fmt.Errorf("it holds a %s; the private key is needed", block.Type)
	default:
		return nil, fmt.Errorf("it holds a PEM block %.40q; it must be a PKCS#8 key, as made by: openssl genpkey -algorithm ed25519 -out NEW", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its %s block is damaged or of an unsupported kind; use %s, or ML-DSA-44 stored as a seed alone (RFC 9881)", block.Type, supported)
	}
	if key, ok := key.(*mldsa.PrivateKey); ok {
		return key, checkMLDSA(key, block.Bytes)
	}
	return key, nil
}

// onlyBlock returns the one PEM block of data. openssl ecparam writes EC
// PARAMETERS before the key, which the key repeats.
func onlyBlock(data []byte) (*pem.Block, error) {
	var found *pem.Block
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "EC PARAMETERS" {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("it holds more than one PEM block (%.40q, %.40q); keep the one that is meant", found.Type, block.Type)
		}
		found = block
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty, and so no key")
	}
	if found == nil {
		return nil, errors.New("it is no key in PEM: it holds no complete block; convert a DER key with: openssl pkey -inform DER -in OLD -out NEW")
	}
	return found, nil
}

// checkPublic says whether a key of pub's kind and size may be used.
func checkPublic(pub crypto.PublicKey) error {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return nil
	case *mldsa.PublicKey:
		if p := pub.Parameters(); p != mldsa.MLDSA44() {
			return fmt.Errorf("it is an %s key; use ML-DSA-44", p)
		}
		return nil
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("its curve is %s; use %s", pub.Params().Name, supported)
	case *rsa.PublicKey:
		switch bits := pub.N.BitLen(); bits {
		case 2048, 3072, 4096: // what entries can be signed with
			return nil
		default:
			return fmt.Errorf("it is an RSA key of %d bits; use %s", bits, supported)
		}
	default:
		return fmt.Errorf("it holds a %T; use %s", pub, supported)
	}
}
