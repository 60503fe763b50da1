package keys

import (
	"crypto"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testPassword = "correct horse"

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// place writes a key file as its owner would have it.
func place(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func equalKeys(t testing.TB, a, b crypto.PublicKey) {
	t.Helper()
	if !a.(interface{ Equal(crypto.PublicKey) bool }).Equal(b) {
		t.Errorf("got the key %v, want %v", a, b)
	}
}

// The public halves were written by openssl too, so that each test compares two
// readings of one key.
func TestLoadOpenSSL(t *testing.T) {
	for _, test := range []struct{ file, public, password string }{
		{"ed25519.pem", "ed25519.pub", ""},
		{"ed25519.pem", "ed25519.pub", "a password that is not needed"},
		{"ecdsa-P-256.pem", "ecdsa-P-256.pub", ""},
		{"ecdsa-P-384.pem", "ecdsa-P-384.pub", ""},
		{"ecdsa-P-521.pem", "ecdsa-P-521.pub", ""},
		{"rsa-2048.pem", "rsa-2048.pub", ""},
		{"rsa-3072.pem", "rsa-3072.pub", ""},
		{"sec1.pem", "sec1.pub", ""},
		{"pkcs1.pem", "rsa-2048.pub", ""},
		{"encrypted-ed25519.pem", "ed25519.pub", testPassword},
		{"encrypted-ecdsa.pem", "ecdsa-P-256.pub", testPassword},
		{"encrypted-rsa-sha1.pem", "rsa-2048.pub", testPassword},
		{"encrypted-192.pem", "ed25519.pub", testPassword},
		{"encrypted-scrypt.pem", "ed25519.pub", testPassword},
		{"encrypted-8dcc954.pem", "encrypted-8dcc954.pub", testPassword}, // which logcli keygen wrote, with another library
	} {
		t.Run(test.file, func(t *testing.T) {
			key, err := Load(place(t, testdata(t, test.file)), []byte(test.password))
			if err != nil {
				t.Fatal(err)
			}
			pub, err := LoadPublic(testdata(t, test.public))
			if err != nil {
				t.Fatal(err)
			}
			equalKeys(t, key.Public(), pub)
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	two := string(testdata(t, "ed25519.pem")) + string(testdata(t, "other.pem"))
	for name, test := range map[string]struct {
		data, password string
		is             error
		says           string
	}{
		"encrypted":      {string(testdata(t, "encrypted-ed25519.pem")), "", ErrEncrypted, "no password"},
		"wrong password": {string(testdata(t, "encrypted-ed25519.pem")), "hunter2", ErrPassword, "wrong password"},
		"wrong, scrypt":  {string(testdata(t, "encrypted-scrypt.pem")), "hunter2", ErrPassword, "wrong password"},
		"costly":         {string(testdata(t, "costly-pbkdf2.pem")), testPassword, nil, "11000000 PBKDF2 iterations"},
		"sha512":         {string(testdata(t, "encrypted-sha512.pem")), testPassword, nil, "openssl pkcs8 -topk8 -v2 aes-256-cbc"},
		"des3":           {string(testdata(t, "encrypted-des3.pem")), testPassword, nil, "not with AES in CBC"},
		"aria":           {string(testdata(t, "encrypted-aria.pem")), testPassword, nil, "not with AES in CBC"},
		"pbes1":          {string(testdata(t, "encrypted-pbes1.pem")), testPassword, nil, "outdated scheme"},
		"legacy":         {string(testdata(t, "legacy.pem")), testPassword, nil, "openssl pkcs8 -topk8"},
		"der":            {string(testdata(t, "ed25519.der")), "", nil, "openssl pkey -inform DER"},
		"public":         {string(testdata(t, "ed25519.pub")), "", nil, "private key is needed"},
		"certificate":    {string(testdata(t, "cert.pem")), "", nil, "private key is needed"},
		"two keys":       {two, "", nil, "more than one"},
		"empty":          {"", "", nil, "it is empty, and so no key"},
		"cut":            {string(testdata(t, "ed25519.pem")[:60]), "", nil, "it is no key in PEM"},
		"too large":      {strings.Repeat("x", maxFile+1), "", nil, "larger than"},
		"P-224":          {string(testdata(t, "ecdsa-P-224.pem")), "", nil, "P-224"},
		"rsa 1024":       {string(testdata(t, "rsa-1024.pem")), "", nil, "1024 bits"},
		"x25519":         {string(testdata(t, "x25519.pem")), "", nil, "cannot sign"},
		"ed448":          {string(testdata(t, "ed448.pem")), "", nil, "unsupported kind"},
		"other PEM":      {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "", nil, "openssl genpkey"},
	} {
		t.Run(name, func(t *testing.T) {
			path := place(t, []byte(test.data))
			_, err := Load(path, []byte(test.password))
			if err == nil {
				t.Fatal("loaded")
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %q is not %q", err, test.is)
			}
			if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not say %q and %q", err, test.says, path)
			}
			checkSecrets(t, err.Error(), test.data, test.password)
		})
	}
}

// checkSecrets fails if message holds the password or a piece of the file.
func checkSecrets(t *testing.T, message, data, password string) {
	t.Helper()
	if password != "" && strings.Contains(message, password) {
		t.Errorf("error %q holds the password", message)
	}
	for line := range strings.Lines(data) {
		line = strings.TrimSpace(line)
		if len(line) >= 16 && !strings.HasPrefix(line, "-----") && strings.Contains(message, line[:16]) {
			t.Errorf("error %q holds a piece of the file", message)
		}
	}
}

func TestLoadNotAFile(t *testing.T) {
	if _, err := Load(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// Every byte of an encrypted key is damaged in turn: some parsers
// panic on some of these. The format has no checksum, so damage to the encrypted
// bytes of a key may give another key; damage elsewhere must be found.
func TestLoadDamaged(t *testing.T) {
	block, _ := pem.Decode(testdata(t, "encrypted-ed25519.pem"))
	var info encryptedPrivateKeyInfo
	if !unmarshal(block.Bytes, &info) {
		t.Fatal("not an encrypted key")
	}
	envelope := len(block.Bytes) - len(info.Data)
	for i := range block.Bytes {
		for _, flip := range []byte{0x01, 0x80} {
			der := append([]byte(nil), block.Bytes...)
			der[i] ^= flip
			_, err := decrypt(der, []byte(testPassword))
			iv := i >= envelope-18 && i < envelope-2
			if err == nil && i < envelope && !iv {
				t.Errorf("byte %d xor %#x: the key opens", i, flip)
			}
		}
	}
}

func FuzzParsePrivate(f *testing.F) {
	names, err := filepath.Glob("testdata/*.pem")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		f.Add(testdata(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := parsePrivate(data, nil)
		if err == nil && checkPublic(key.Public()) != nil {
			t.Errorf("loaded a %T that is not supported", key)
		}
		block, _ := pem.Decode(data)
		if block != nil && cheap(block.Bytes) {
			decrypt(block.Bytes, []byte(testPassword)) // must not panic
		}
	})
}

// cheap reports whether the password of der is stretched with few PBKDF2 iterations.
func cheap(der []byte) bool {
	var info encryptedPrivateKeyInfo
	var params pbes2Params
	var kdf pbkdf2Params
	return unmarshal(der, &info) && unmarshal(info.Algorithm.Parameters.FullBytes, &params) &&
		unmarshal(params.KDF.Parameters.FullBytes, &kdf) && kdf.Iterations <= 2048
}
