package keys

import (
	"bytes"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"filippo.io/mldsa"
)

// SPEC: RFC 9881: id-ml-dsa-44, whose parameters are absent.
func oidMLDSA44() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17}
}

// privateKeyInfo is PKCS#8's (RFC 5208).
type privateKeyInfo struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// mldsaSeed is the form of an ML-DSA private key that holds the seed alone.
// SPEC: RFC 9881: seed [0] OCTET STRING (SIZE (32)).
const mldsaSeed = "\x80\x20"

// GenerateMLDSA44 makes an ML-DSA-44 key. Otherwise it is as [GenerateEd25519],
// but for encryption, which it does not offer: keep the file on an encrypted disk.
func GenerateMLDSA44(path string) (crypto.Signer, error) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return store(path, key, nil)
}

func encodeMLDSA(key *mldsa.PrivateKey) ([]byte, error) {
	return asn1.Marshal(privateKeyInfo{
		Algorithm:  pkix.AlgorithmIdentifier{Algorithm: oidMLDSA44()},
		PrivateKey: append([]byte(mldsaSeed), key.Bytes()...),
	})
}

// isMLDSA reports whether a PKCS#8 key is an ML-DSA-44 key.
func isMLDSA(der []byte) bool {
	var info privateKeyInfo
	_, err := asn1.Unmarshal(der, &info)
	return err == nil && info.Algorithm.Algorithm.Equal(oidMLDSA44())
}

// parseMLDSA reads the one form that is written here.
func parseMLDSA(der []byte) (*mldsa.PrivateKey, error) {
	var info privateKeyInfo
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, errors.New("its PKCS#8 is damaged")
	}
	seed, ok := bytes.CutPrefix(info.PrivateKey, []byte(mldsaSeed))
	if !ok {
		return nil, errors.New("its ML-DSA-44 key is not stored as a seed alone (RFC 9881); make one with logwitness keygen")
	}
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
	if err != nil {
		return nil, fmt.Errorf("its ML-DSA-44 seed has %d bytes; it must have 32", len(seed))
	}
	again, err := encodeMLDSA(key)
	if err != nil || !bytes.Equal(again, der) {
		return nil, errors.New("its ML-DSA-44 key is not in its only DER form")
	}
	return key, nil
}

// parsePKCS8MLDSA reads a block if it is of an ML-DSA-44 key.
func parsePKCS8MLDSA(block *pem.Block) (key *mldsa.PrivateKey, is bool, err error) {
	if block.Type != "PRIVATE KEY" || !isMLDSA(block.Bytes) {
		return nil, false, nil
	}
	key, err = parseMLDSA(block.Bytes)
	return key, true, err
}
