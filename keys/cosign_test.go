package keys

import (
	"bytes"
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// cosignKey is a key pair as cosign generate-key-pair writes it.
func cosignKey(t *testing.T, password string) (private, public []byte) {
	t.Helper()
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte(password)))
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func TestLoadCosign(t *testing.T) {
	for _, password := range []string{testPassword, ""} {
		private, public := cosignKey(t, password)
		old := bytes.ReplaceAll(private, []byte("SIGSTORE"), []byte("COSIGN"))
		for _, data := range [][]byte{private, old} {
			path := place(t, data)
			key, err := Load(path, []byte(password))
			if err != nil {
				t.Fatal(err)
			}
			want, err := LoadPublic(public)
			if err != nil {
				t.Fatal(err)
			}
			equalKeys(t, key.Public(), want)
			if _, err := Load(path, nil); !errors.Is(err, ErrEncrypted) {
				t.Errorf("without a password: %v", err)
			}
			_, err = Load(path, []byte("another one"))
			if !errors.Is(err, ErrPassword) {
				t.Errorf("with a wrong password: %v", err)
			}
			checkSecrets(t, err.Error(), string(data), "another one")
		}
	}
}

func TestDamagedCosignKeys(t *testing.T) {
	private, _ := cosignKey(t, testPassword)
	block, _ := pem.Decode(private)
	text := string(block.Bytes)
	for name, damaged := range map[string]string{
		"empty":                 "",
		"not JSON":              "nonsense",
		"null":                  "null",
		"no members":            "{}",
		"truncated":             text[:len(text)/2],
		"costly scrypt":         strings.Replace(text, `"N":65536`, `"N":1073741824`, 1),
		"negative scrypt":       strings.Replace(text, `"N":65536`, `"N":-1`, 1),
		"no nonce":              strings.Replace(text, `"nonce":"`, `"other":"`, 1),
		"no ciphertext":         strings.Replace(text, `"ciphertext":"`, `"other":"`, 1),
		"another cipher":        strings.Replace(text, "nacl/secretbox", "nacl/box", 1),
		"a short nonce":         strings.Replace(text, `"nonce":"`, `"nonce":"AAAA","other":"`, 1),
		"a key in the clear":    string(mustDecode(t, testdata(t, "ecdsa-P-256.pem"))),
		"a PKCS#8 envelope":     string(mustDecode(t, testdata(t, "encrypted-ecdsa.pem"))),
		"another scrypt's salt": strings.Replace(text, `"salt":"`, `"salt":"AAAA","other":"`, 1),
	} {
		if damaged == text {
			t.Fatalf("%s: the text is as it was: %s", name, text)
		}
		path := place(t, pem.EncodeToMemory(&pem.Block{Type: sigstoreBlock, Bytes: []byte(damaged)}))
		if _, err := Load(path, []byte(testPassword)); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustDecode(t *testing.T, data []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no PEM block")
	}
	return block.Bytes
}
