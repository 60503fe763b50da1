package keys

import (
	"bytes"
	"crypto"
	"crypto/mldsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// GenerateMLDSA44 makes an ML-DSA-44 key. Otherwise it is like [GenerateEd25519], except that
// it does not encrypt: keep the file on an encrypted disk.
func GenerateMLDSA44(path string) (crypto.Signer, error) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return store(path, key, nil)
}

// checkMLDSA takes PKCS#8 of an ML-DSA key in its one form: a seed alone.
// SPEC: RFC 9881: seed [0] OCTET STRING (SIZE (32)).
func checkMLDSA(key *mldsa.PrivateKey, der []byte) error {
	again, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil || !bytes.Equal(again, der) {
		return errors.New("its ML-DSA key is not in its only DER form")
	}
	return nil
}
