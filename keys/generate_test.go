package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerate(t *testing.T) {
	for name, generate := range map[string]func(string, []byte) (crypto.Signer, error){
		"ed25519": GenerateEd25519, "ecdsa": GenerateECDSA,
	} {
		for _, password := range [][]byte{nil, []byte(testPassword)} {
			path := filepath.Join(t.TempDir(), "log.key")
			key, err := generate(path, password)
			if err != nil {
				t.Fatal(name, err)
			}
			switch key.Public().(type) {
			case ed25519.PublicKey:
				if name != "ed25519" {
					t.Errorf("%s made a %T", name, key)
				}
			case *ecdsa.PublicKey:
				if name != "ecdsa" {
					t.Errorf("%s made a %T", name, key)
				}
			}
			checkStored(t, path, key, password)
		}
	}
}

func checkStored(t *testing.T, path string, key crypto.Signer, password []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	loaded, err := Load(path, password)
	if err != nil {
		t.Fatal(err)
	}
	equalKeys(t, loaded.Public(), key.Public())
	if password != nil {
		if _, err := Load(path, nil); !errors.Is(err, ErrEncrypted) {
			t.Errorf("without password: %v", err)
		}
	}
}

func TestGenerateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	if _, err := GenerateEd25519(path, nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateECDSA(path, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("existing file: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file changed (%v)", err)
	}
}

func TestGenerateLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if _, err := GenerateEd25519(filepath.Join(dir, "a"), []byte{}); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty password: %v", err)
	}
	// A key that cannot be read back.
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store(filepath.Join(dir, "b"), p224, nil); err == nil || !strings.Contains(err.Error(), "P-224") {
		t.Errorf("unsupported key: %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// What is written is as strong as it says.
func TestGenerateEncryption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	if _, err := GenerateEd25519(path, []byte(testPassword)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	var info encryptedPrivateKeyInfo
	var params pbes2Params
	var p pbkdf2Params
	if !unmarshal(block.Bytes, &info) || !unmarshal(info.Algorithm.Parameters.FullBytes, &params) || !unmarshal(params.KDF.Parameters.FullBytes, &p) {
		t.Fatalf("not PBES2 with PBKDF2: %s", data)
	}
	if p.Iterations < 600_000 || len(p.Salt) < 16 || p.PRF.Algorithm.String() != "1.2.840.113549.2.9" {
		t.Errorf("weak PBKDF2: %d iterations, %d bytes of salt, hash %s", p.Iterations, len(p.Salt), p.PRF.Algorithm)
	}
	if _, size, err := checkCipher(params.Cipher); size != 32 || err != nil {
		t.Errorf("cipher %s with %d bytes, %v", params.Cipher.Algorithm, size, err)
	}
}
