package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/scrypt"
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

// encrypt returns a PKCS#8 key as an EncryptedPrivateKeyInfo (RFC 5958, RFC 8018).
func encrypt(der, password []byte) ([]byte, error) {
	salt, iv := make([]byte, saltSize), make([]byte, aes.BlockSize)
	rand.Read(salt)
	rand.Read(iv)
	key, err := pbkdf2.Key(sha256.New, string(password), salt, pbkdf2Iterations, 32)
	if err != nil {
		return nil, err
	}
	mode, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(der)%aes.BlockSize // SPEC: RFC 8018 section 6.1.1: n bytes of value n
	data := append(bytes.Clone(der), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(mode, iv).CryptBlocks(data, data)
	return marshalEncrypted(data, salt, iv)
}

func marshalEncrypted(data, salt, iv []byte) ([]byte, error) {
	prf := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: asn1.NullRawValue}
	kdf, err := algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, pbkdf2Params{Salt: salt, Iterations: pbkdf2Iterations, PRF: prf})
	if err != nil {
		return nil, err
	}
	aes256, err := algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv)
	if err != nil {
		return nil, err
	}
	pbes2, err := algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, pbes2Params{kdf, aes256})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedPrivateKeyInfo{pbes2, data})
}

func algorithm(oid asn1.ObjectIdentifier, params any) (a pkix.AlgorithmIdentifier, err error) {
	a.Algorithm = oid
	a.Parameters.FullBytes, err = asn1.Marshal(params)
	return a, err
}

func decrypt(der, password []byte) (any, error) {
	if len(password) == 0 {
		return nil, ErrEncrypted
	}
	e, err := parseEnvelope(der)
	if err != nil {
		return nil, err
	}
	plain, err := e.open(password)
	if err != nil {
		return nil, ErrPassword
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, ErrPassword
	}
	return key, nil
}

// derive makes a key of a size in bytes from a password.
type derive func(password []byte, size int) ([]byte, error)

// envelope is an encrypted key whose parameters are within bounds.
type envelope struct {
	data, iv []byte
	keySize  int
	derive   derive
}

// open decrypts, and checks the padding.
func (e envelope) open(password []byte) ([]byte, error) {
	key, err := e.derive(password, e.keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(e.data))
	cipher.NewCBCDecrypter(block, e.iv).CryptBlocks(plain, e.data)
	n := int(plain[len(plain)-1])
	if n < 1 || n > aes.BlockSize || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrPassword
	}
	return plain[:len(plain)-n], nil
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

// parseEnvelope refuses what would cost work without bound: the key is derived before the password is known to be right.
func parseEnvelope(der []byte) (e envelope, err error) {
	var info encryptedPrivateKeyInfo
	var params pbes2Params
	if !unmarshal(der, &info) {
		return e, errors.New("its ENCRYPTED PRIVATE KEY block is damaged")
	}
	// SPEC: RFC 8018: PBES2.
	if oid := info.Algorithm.Algorithm.String(); oid != "1.2.840.113549.1.5.13" {
		return e, fmt.Errorf("it is encrypted with the outdated scheme %s; %s", oid, reencrypt)
	}
	if !unmarshal(info.Algorithm.Parameters.FullBytes, &params) {
		return e, errors.New("its encryption parameters are damaged")
	}
	e.data = info.Data
	if e.iv, e.keySize, err = checkCipher(params.Cipher); err != nil {
		return e, err
	}
	if len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0 {
		return e, fmt.Errorf("its %d encrypted bytes are not whole blocks of AES: the file is damaged", len(info.Data))
	}
	switch oid := params.KDF.Algorithm.String(); oid {
	case "1.2.840.113549.1.5.12":
		e.derive, err = checkPBKDF2(params.KDF)
	case "1.3.6.1.4.1.11591.4.11":
		e.derive, err = checkScrypt(params.KDF, e.keySize)
	default:
		err = fmt.Errorf("its password is stretched by the unknown function %s; %s", oid, reencrypt)
	}
	return e, err
}

// checkCipher accepts AES in CBC mode, and returns the initialization vector and the key size in bytes.
func checkCipher(c pkix.AlgorithmIdentifier) (iv []byte, keySize int, err error) {
	ok := unmarshal(c.Parameters.FullBytes, &iv) && len(iv) == aes.BlockSize
	switch oid := c.Algorithm.String(); {
	case ok && oid == "2.16.840.1.101.3.4.1.2":
		return iv, 16, nil
	case ok && oid == "2.16.840.1.101.3.4.1.22":
		return iv, 24, nil
	case ok && oid == "2.16.840.1.101.3.4.1.42":
		return iv, 32, nil
	}
	return nil, 0, fmt.Errorf("it is encrypted with the cipher %s, not with AES in CBC mode; %s", c.Algorithm, reencrypt)
}

func checkPBKDF2(kdf pkix.AlgorithmIdentifier) (derive, error) {
	var p pbkdf2Params
	if !unmarshal(kdf.Parameters.FullBytes, &p) || len(p.Salt) > maxSalt {
		return nil, errors.New("its PBKDF2 parameters are damaged")
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, fmt.Errorf("it asks for %d PBKDF2 iterations; 1 to %d are accepted", p.Iterations, maxIterations)
	}
	if params := p.PRF.Parameters.FullBytes; len(params) != 0 && !bytes.Equal(params, asn1.NullBytes) {
		return nil, errors.New("its PBKDF2 parameters are damaged")
	}
	if p.KeyLength != 0 {
		return nil, fmt.Errorf("its PBKDF2 parameters give a key length, which is not read; %s", reencrypt)
	}
	hash := sha1.New
	switch prf := p.PRF.Algorithm.String(); prf {
	// SPEC: RFC 8018: HMAC-SHA-1 if absent; HMAC-SHA-1; HMAC-SHA-256.
	case "", "1.2.840.113549.2.7":
	case "1.2.840.113549.2.9":
		hash = sha256.New
	default:
		return nil, fmt.Errorf("its PBKDF2 uses the hash %s; SHA-256 and SHA-1 are read; %s", prf, reencrypt)
	}
	return func(password []byte, size int) ([]byte, error) {
		return pbkdf2.Key(hash, string(password), p.Salt, p.Iterations, size)
	}, nil
}

func checkScrypt(kdf pkix.AlgorithmIdentifier, keySize int) (derive, error) {
	var p scryptParams
	if !unmarshal(kdf.Parameters.FullBytes, &p) || len(p.Salt) > maxSalt || p.KeyLength != 0 && p.KeyLength != keySize {
		return nil, errors.New("its scrypt parameters are damaged")
	}
	for _, n := range []int{p.N, p.R, p.P} {
		if n < 1 || n > maxScryptWork>>2 { // so that no product below overflows
			return nil, fmt.Errorf("it asks for scrypt with N=%d, r=%d, p=%d, which is out of bounds", p.N, p.R, p.P)
		}
	}
	if 128*p.N*p.R > maxScryptMemory || p.N*p.R*p.P > maxScryptWork {
		return nil, fmt.Errorf("it asks for scrypt with N=%d, r=%d, p=%d; at most %d MiB and N*r*p = %d are accepted",
			p.N, p.R, p.P, maxScryptMemory>>20, maxScryptWork)
	}
	return func(password []byte, size int) ([]byte, error) {
		return scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
	}, nil
}

// unmarshal decodes all of der, which must hold nothing else.
func unmarshal(der []byte, v any) bool {
	rest, err := asn1.Unmarshal(der, v)
	return err == nil && len(rest) == 0
}
