package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadP256(t *testing.T) {
	for _, password := range [][]byte{nil, []byte(testPassword)} {
		path := filepath.Join(t.TempDir(), "key")
		made, err := GenerateECDSA(path, password)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := LoadP256(path, password)
		if err != nil {
			t.Fatal(err)
		}
		equalKeys(t, loaded.Public(), made.Public())
	}
	if _, err := LoadP256(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestLoadP256RefusesOtherKeys(t *testing.T) {
	ed := filepath.Join(t.TempDir(), "ed25519")
	if _, err := GenerateEd25519(ed, nil); err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		ed:                    "ed25519.PrivateKey; this key must be ECDSA on P-256",
		writePKCS8(t, p384):   "P-384; this key must be on P-256",
		writePKCS8(t, rsaKey): "rsa.PrivateKey; this key must be ECDSA on P-256",
	} {
		if _, err := LoadP256(path, nil); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

func writePKCS8(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
