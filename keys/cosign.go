package keys

import (
	"encoding/pem"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// The PEM types of keys that cosign encrypts; the second is what it wrote before
// version 2.
const (
	sigstoreBlock = string(cryptoutils.EncryptedSigstorePrivateKeyPEMType)
	cosignBlock   = "ENCRYPTED COSIGN PRIVATE KEY"
)

// decryptCosign opens a key that cosign made. Its password may be empty, which
// is not the same as none. The library takes three sets of scrypt parameters,
// 128 MiB at most.
func decryptCosign(block *pem.Block, password []byte) (any, error) {
	if password == nil {
		return nil, ErrEncrypted
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}),
		func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return nil, ErrPassword
	}
	return key, nil
}
