package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/internal/config"
)

// initLog runs logserver init in a directory, and returns what it printed.
func initLog(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	args = append([]string{"init", "--data-dir", dir, "--origin", "log.example.com"}, args...)
	err := run(t.Context(), args, func(string) (string, bool) { return "", false }, &out, &out)
	return out.String(), err
}

// newLog makes a log in a new directory, with the key of its Rekor v1 API.
func newLog(t *testing.T) (dir, v1Key string) {
	t.Helper()
	dir = t.TempDir()
	out, err := initLog(t, dir)
	v1Key = filepath.Join(dir, "rekor-v1.key")
	if err != nil || !strings.Contains(out, "Created log") || !strings.Contains(out, "v1 key    "+v1Key) {
		t.Fatalf("%v: %s", err, out)
	}
	return dir, v1Key
}

func refusedBy(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it is not refused; it should say %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v\ndoes not say %q", err, s)
		}
	}
}

func TestRekorV1KeyIsMadeOnce(t *testing.T) {
	dir, path := newLog(t)
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if out, err := initLog(t, dir); err != nil || !strings.Contains(out, "is there already") {
		t.Errorf("the second time: %v: %s", err, out)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the key is another: %v", err)
	}
	// A replica with a copy of it, elsewhere.
	elsewhere := filepath.Join(t.TempDir(), "copy.key")
	if err := os.Rename(path, elsewhere); err != nil {
		t.Fatal(err)
	}
	if _, err := initLog(t, dir, "--rekor-v1-key", elsewhere); err != nil {
		t.Error(err)
	}
}

func TestRekorV1KeyThatIsGoneIsNotReplaced(t *testing.T) {
	dir, path := newLog(t)
	kept := path + ".kept"
	if err := os.Rename(path, kept); err != nil {
		t.Fatal(err)
	}
	_, err := initLog(t, dir)
	refusedBy(t, err, path+" does not exist: put the key back", "--rekor-v1-key", "--rekor-v1=false")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a second key was left behind: %v", err)
	}
	if out, err := initLog(t, dir, "--rekor-v1=false"); err != nil || strings.Contains(out, "v1 key") {
		t.Errorf("without the API: %v: %s", err, out)
	}
	if err := os.Rename(kept, path); err != nil {
		t.Fatal(err)
	}
	if _, err := initLog(t, dir); err != nil {
		t.Errorf("with the key back: %v", err)
	}
}

func TestRekorV1KeysThatAreRefused(t *testing.T) {
	dir, path := newLog(t)
	_, others := newLog(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open.key")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string][]string{
		others:                         {others + " is not the key of log", "every replica signs with the log's one key"},
		keyFile(t, p384):               {"P-384", "must be on P-256"},
		keyFile(t, rsaKey):             {"rsa.PrivateKey", "must be ECDSA on P-256"},
		filepath.Join(dir, "log.key"):  {"ed25519.PrivateKey", "must be ECDSA on P-256"},
		open:                           {"mode 0644", "chmod 600"},
		filepath.Join(dir, "register"): {"PEM"},
		filepath.Join(dir, "no", "k"):  {"no such file"},
		filepath.Join(dir, "new.key"):  {"does not exist: put the key back"},
	} {
		_, err := initLog(t, dir, "--rekor-v1-key", file)
		refusedBy(t, err, append(says, "Rekor v1 API")...)
	}
	if _, err := os.Stat(filepath.Join(dir, "new.key")); !os.IsNotExist(err) {
		t.Errorf("a second key was left behind: %v", err)
	}
	if _, err := initLog(t, dir); err != nil {
		t.Errorf("the log's own key, after all that: %v", err)
	}
}

// A value that begins with an unknown scheme is the place of something that is
// not a file: no setting takes it for a name, and no file of that name is made.
func TestSchemesThatAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, s := range settings() {
		if s.Type != config.File {
			continue
		}
		for _, value := range []string{"pkcs11:token=x;pin-value=1234", "vault:x", "hashivault:x"} {
			_, err := initLog(t, "data", "--"+s.Name, value)
			scheme, _, _ := strings.Cut(value, ":")
			refusedBy(t, err, s.Name+" (flag --"+s.Name+")", scheme+`:"`, "scheme that is not known here")
			if strings.Contains(err.Error(), "1234") {
				t.Errorf("a secret is in %v", err)
			}
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("%v was made, %v", made, err)
	}
}

// TestRekorV1KeyThatIsTheLogs: a log may have an ECDSA key, and then it is not
// the one of the Rekor v1 API.
func TestRekorV1KeyThatIsTheLogs(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir, key := t.TempDir(), keyFile(t, p256)
	_, err = initLog(t, dir, "--adopt-key", "--log-key", key, "--rekor-v1-key", key)
	refusedBy(t, err, key+" is the log's own key", "another")
	// The init that failed left no log behind.
	if _, err := initLog(t, dir, "--adopt-key", "--log-key", key); err != nil {
		t.Errorf("with a key of its own: %v", err)
	}
}

func TestRekorV1KeyWithPassword(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := initLog(t, dir, "--rekor-v1-key-password-file", secret); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "rekor-v1.key"))
	if err != nil || !bytes.Contains(data, []byte("ENCRYPTED PRIVATE KEY")) {
		t.Errorf("%v: %.40s", err, data)
	}
	if _, err := initLog(t, dir, "--rekor-v1-key-password-file", secret); err != nil {
		t.Error(err)
	}
	_, err = initLog(t, dir)
	refusedBy(t, err, "encrypted and no password")
}

func TestNamesThatAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"--origin=log.example.com - 123":        "holds a space",
		"--origin=log+1":                        "holds a +",
		"--rekor-v1-host=a b":                   "--rekor-v1-host",
		"--public-url=log.example.com":          "--public-url",
		"--public-url=https://log.example.com?": "--public-url",
		"--rekor-v1=no":                         "not true or false",
	} {
		dir := filepath.Join(t.TempDir(), "none")
		_, err := initLog(t, dir, args)
		refusedBy(t, err, says)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: something was made: %v", args, err)
		}
	}
}

func keyFile(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "some.key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
