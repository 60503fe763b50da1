package keys

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"
)

const (
	// pbkdf2Iterations is what OWASP asks for with SHA-256. PBKDF2 and not
	// scrypt, since openssl refuses scrypt above 32 MiB, where scrypt gets strong.
	pbkdf2Iterations = 600_000
	saltSize         = 16

	// What a file may make us spend before its password is known to be right:
	// some seconds, and 256 MiB.
	maxIterations   = 10_000_000
	maxScryptMemory = 256 << 20 // bytes; scrypt takes 128*N*r
	maxScryptWork   = 1 << 22   // N*r*p
	maxSalt         = 1 << 10   // bytes

	reencrypt = "re-encrypt it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW"
)

// encrypt returns key as an EncryptedPrivateKeyInfo (RFC 5958, RFC 8018).
func encrypt(key crypto.Signer, password []byte) ([]byte, error) {
	return pkcs8.MarshalPrivateKey(key, password, &pkcs8.Opts{
		Cipher: pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{
			SaltSize:       saltSize,
			IterationCount: pbkdf2Iterations,
			HMACHash:       crypto.SHA256,
		},
	})
}

func decrypt(der, password []byte) (any, error) {
	if len(password) == 0 {
		return nil, ErrEncrypted
	}
	if err := checkEnvelope(der); err != nil {
		return nil, err
	}
	key, err := pkcs8.ParsePKCS8PrivateKey(der, password)
	if err != nil {
		return nil, ErrPassword
	}
	return key, nil
}

type encryptedPrivateKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct {
	KDF    pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scryptParams struct {
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

// checkEnvelope refuses what the library would misread, crash on, or spend
// without bound on: it derives the key first and asks later.
func checkEnvelope(der []byte) error {
	var info encryptedPrivateKeyInfo
	var params pbes2Params
	if !unmarshal(der, &info) {
		return errors.New("its ENCRYPTED PRIVATE KEY block is damaged")
	}
	// SPEC: RFC 8018: PBES2.
	if oid := info.Algorithm.Algorithm.String(); oid != "1.2.840.113549.1.5.13" {
		return fmt.Errorf("it is encrypted with the outdated scheme %s; %s", oid, reencrypt)
	}
	if !unmarshal(info.Algorithm.Parameters.FullBytes, &params) {
		return errors.New("its encryption parameters are damaged")
	}
	keySize, err := checkCipher(params.Cipher)
	if err != nil {
		return err
	}
	if len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0 {
		return fmt.Errorf("its %d encrypted bytes are not whole blocks of AES: the file is damaged", len(info.Data))
	}
	switch oid := params.KDF.Algorithm.String(); oid {
	case "1.2.840.113549.1.5.12":
		return checkPBKDF2(params.KDF)
	case "1.3.6.1.4.1.11591.4.11":
		return checkScrypt(params.KDF, keySize)
	default:
		return fmt.Errorf("its password is stretched by the unknown function %s; %s", oid, reencrypt)
	}
}

// checkCipher accepts AES in CBC mode, and returns the key size in bytes.
func checkCipher(cipher pkix.AlgorithmIdentifier) (int, error) {
	var iv []byte
	if !unmarshal(cipher.Parameters.FullBytes, &iv) || len(iv) != aes.BlockSize {
		return 0, fmt.Errorf("it is encrypted with the cipher %s, not with AES in CBC mode; %s", cipher.Algorithm, reencrypt)
	}
	switch cipher.Algorithm.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, nil
	case "2.16.840.1.101.3.4.1.22":
		return 24, nil
	case "2.16.840.1.101.3.4.1.42":
		return 32, nil
	default:
		return 0, fmt.Errorf("it is encrypted with the cipher %s, not with AES in CBC mode; %s", cipher.Algorithm, reencrypt)
	}
}

func checkPBKDF2(kdf pkix.AlgorithmIdentifier) error {
	var p pbkdf2Params
	if !unmarshal(kdf.Parameters.FullBytes, &p) || len(p.Salt) > maxSalt {
		return errors.New("its PBKDF2 parameters are damaged")
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return fmt.Errorf("it asks for %d PBKDF2 iterations; 1 to %d are accepted", p.Iterations, maxIterations)
	}
	if params := p.PRF.Parameters.FullBytes; len(params) != 0 && !bytes.Equal(params, asn1.NullBytes) {
		return errors.New("its PBKDF2 parameters are damaged")
	}
	prf := p.PRF.Algorithm.String()
	switch prf {
	// SPEC: RFC 8018: HMAC-SHA-1 if absent; HMAC-SHA-1; HMAC-SHA-256.
	case "", "1.2.840.113549.2.7", "1.2.840.113549.2.9":
	default:
		return fmt.Errorf("its PBKDF2 uses the hash %s; SHA-256 and SHA-1 are read; %s", prf, reencrypt)
	}
	// The library would take the length for the hash.
	if p.KeyLength != 0 {
		return fmt.Errorf("its PBKDF2 parameters give a key length, which is not read; %s", reencrypt)
	}
	return nil
}

func checkScrypt(kdf pkix.AlgorithmIdentifier, keySize int) error {
	var p scryptParams
	if !unmarshal(kdf.Parameters.FullBytes, &p) || len(p.Salt) > maxSalt || p.KeyLength != 0 && p.KeyLength != keySize {
		return errors.New("its scrypt parameters are damaged")
	}
	for _, n := range []int{p.N, p.R, p.P} {
		if n < 1 || n > maxScryptWork>>2 { // so that no product below overflows
			return fmt.Errorf("it asks for scrypt with N=%d, r=%d, p=%d, which is out of bounds", p.N, p.R, p.P)
		}
	}
	if 128*p.N*p.R > maxScryptMemory || p.N*p.R*p.P > maxScryptWork {
		return fmt.Errorf("it asks for scrypt with N=%d, r=%d, p=%d; at most %d MiB and N*r*p = %d are accepted",
			p.N, p.R, p.P, maxScryptMemory>>20, maxScryptWork)
	}
	return nil
}

// unmarshal decodes all of der, which must hold nothing else.
func unmarshal(der []byte, v any) bool {
	rest, err := asn1.Unmarshal(der, v)
	return err == nil && len(rest) == 0
}
