package keys

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/mldsa"
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
	block, _ := pem.Decode([]byte(example))
	key, err := parseMLDSA(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range key.Bytes() {
		if int(b) != i {
			t.Fatalf("seed %x", key.Bytes())
		}
	}
	if der, err := encodeMLDSA(key); err != nil || !bytes.Equal(der, block.Bytes) {
		t.Errorf("encoded as %x, %v", der, err)
	}
}

func TestMLDSA44Refuses(t *testing.T) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	der, err := encodeMLDSA(key)
	if err != nil {
		t.Fatal(err)
	}
	expanded := bytes.Replace(der, []byte(mldsaSeed), []byte("\x04\x20"), 1)
	for name, test := range map[string]struct {
		der  []byte
		says string
	}{
		"another form":    {expanded, "seed alone"},
		"bytes behind it": {append(bytes.Clone(der), 0), "only DER form"},
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
