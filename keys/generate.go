package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"indelible/internal/durable"
)

// GenerateEd25519 makes a key and stores it in a new file, encrypted if password
// is not nil. When it returns, the key is on disk and was read back from there.
// It never overwrites: the error of an existing file is os.ErrExist.
func GenerateEd25519(path string, password []byte) (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return store(path, key, password)
}

// GenerateECDSA makes a key on P-256. Otherwise it is as [GenerateEd25519].
func GenerateECDSA(path string, password []byte) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return store(path, key, password)
}

// store writes key to a new file, and returns what it reads from it.
func store(path string, key crypto.Signer, password []byte) (crypto.Signer, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	data, err := encode(key, password)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("new key file: %s exists, and keys are never overwritten: give another name (%w)", path, os.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("new key file: %w", err)
	}
	stored, err := fill(f, data, key.Public(), password)
	if err != nil {
		// Nobody has used the key yet, and half a key file helps nobody.
		return nil, errors.Join(err, os.Remove(path))
	}
	return stored, nil
}

// fill writes data to the new file f, makes it last, and reads it back.
func fill(f *os.File, data []byte, pub crypto.PublicKey, password []byte) (crypto.Signer, error) {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("new key file: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(f.Name())); err != nil {
		return nil, fmt.Errorf("new key file: %w", err)
	}
	stored, err := Load(f.Name(), password)
	if err != nil {
		return nil, fmt.Errorf("read the new key back: %w", err)
	}
	if same, ok := pub.(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(stored.Public()) {
		return nil, fmt.Errorf("key file %s: it does not hold the key just written to it", f.Name())
	}
	return stored, nil
}

func encode(signer crypto.Signer, password []byte) ([]byte, error) {
	if password != nil && len(password) == 0 {
		return nil, errors.New("the password is empty; give one, or none at all for an unencrypted key")
	}
	block := &pem.Block{Type: "PRIVATE KEY"}
	var err error
	block.Bytes, err = x509.MarshalPKCS8PrivateKey(signer)
	if err == nil && password != nil {
		block.Type = "ENCRYPTED PRIVATE KEY"
		block.Bytes, err = encrypt(block.Bytes, password)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the new key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}
