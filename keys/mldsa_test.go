package keys

import (
	"bytes"
	"crypto"
	"crypto/mldsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMLDSA44(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	made, err := GenerateMLDSA44(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	loaded, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := loaded.Sign(nil, []byte("message"), crypto.Hash(0))
	if err != nil || mldsa.Verify(made.Public().(*mldsa.PublicKey), []byte("message"), sig, nil) != nil {
		t.Errorf("the key read back is another: %v", err)
	}
	if _, err := GenerateMLDSA44(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second key over the first: %v", err)
	}
}

// RFC 9881, appendix C.1.1.1: the seed is the bytes 0 to 31.
func TestMLDSA44Example(t *testing.T) {
	const example = `-----BEGIN PRIVATE KEY-----
MDQCAQAwCwYJYIZIAWUDBAMRBCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZ
GhscHR4f
-----END PRIVATE KEY-----
`
	signer, err := parsePrivate([]byte(example), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range signer.(*mldsa.PrivateKey).Bytes() {
		if int(b) != i {
			t.Fatalf("seed %x", signer.(*mldsa.PrivateKey).Bytes())
		}
	}
	if again, err := encode(signer, nil); err != nil || string(again) != example {
		t.Errorf("encoded as %s, %v", again, err)
	}
}

func TestMLDSA44Refuses(t *testing.T) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	expanded := bytes.Replace(der, []byte("\x80\x20"), []byte("\x04\x20"), 1)
	other, err := mldsa.GenerateKey(mldsa.MLDSA65())
	if err != nil {
		t.Fatal(err)
	}
	of65, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		der  []byte
		says string
	}{
		"another form":    {expanded, "seed alone"},
		"bytes behind it": {append(bytes.Clone(der), 0), "only DER form"},
		"ML-DSA-65":       {of65, "use ML-DSA-44"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: test.der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
