package main

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"indelible/keys"
)

const (
	password = "correct horse"
	mistyped = "battery staple"
)

// quiet demands that no password is in what was printed.
func quiet(t *testing.T, printed ...string) {
	t.Helper()
	for _, s := range printed {
		if strings.Contains(s, password) || strings.Contains(s, mistyped) {
			t.Errorf("a password is printed:\n%s", s)
		}
	}
}

// runs is run, and demands that no password is printed.
func (w *world) runs(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	stdout, stderr = w.run(code, args...)
	quiet(w.t, stdout, stderr)
	return stdout, stderr
}

// encrypted is a key that openssl encrypted, with fewer iterations than keygen
// takes, so that many tests can open it.
func (w *world) encrypted(name string) string {
	w.t.Helper()
	text, err := os.ReadFile("../../keys/testdata/encrypted-ecdsa.pem")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.file(name, string(text))
}

func TestEncryptedKey(t *testing.T) {
	w := newWorld(t)
	f, key, right := w.file("f", "artifact"), filepath.Join(w.dir, "key"), w.file("right", password+"\n")
	out, _ := w.runs(exitDone, "keygen", "--password-file", right, key)
	public, err := os.ReadFile(key + ".pub")
	if err != nil || !strings.HasPrefix(out, string(public)) {
		t.Errorf("%v: %s, and printed %s", err, public, out)
	}
	if text, err := os.ReadFile(key); err != nil || !strings.HasPrefix(string(text), "-----BEGIN ENCRYPTED PRIVATE KEY-----") {
		t.Errorf("%v: %s", err, text)
	}
	w.runs(exitDone, "add", "--key", key, "--password-file", right, f)
	w.runs(exitDone, "verify", "--signer", key+".pub", f)
	key = w.encrypted("encrypted")
	open := w.file("open", password)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		w.file("wrong", mistyped):                 "wrong password",
		w.file("empty", "\n"):                     "in one line",
		w.file("two", password+"\n"+mistyped):     "in one line",
		w.file("long", strings.Repeat("x", 5000)): "in one line",
		open:                            "chmod 600",
		filepath.Join(w.dir, "missing"): "no such file",
	} {
		_, errs := w.runs(exitUsage, "add", "--key", key, "--password-file", file, f)
		says(t, errs, want, file)
		_, errs = w.runs(exitUsage, "add", "--key", key, "--password-file", file, f, "-o", "json")
		if errs != "" {
			t.Errorf("beside the JSON: %s", errs)
		}
	}
	_, errs := w.runs(exitUsage, "add", "--key", key, f)
	says(t, errs, "is encrypted", "no terminal", "--password-file FILE", "chmod 600")
	_, errs = w.runs(exitUsage, "keygen", "--encrypt", key+"2")
	says(t, errs, "no terminal", "--password-file FILE")
	for _, there := range []string{key, strings.TrimSuffix(f, "f") + "right"} {
		_, errs = w.runs(exitUnasked, "keygen", "--password-file", right, there)
		says(t, errs, there+" exists", "never overwritten")
	}
	w.file("taken.pub", "")
	_, errs = w.runs(exitUnasked, "keygen", "--password-file", right, filepath.Join(w.dir, "taken"))
	says(t, errs, "taken.pub exists")
	if _, err := os.Stat(filepath.Join(w.dir, "taken")); err == nil {
		t.Error("a key without a place for its public half was made")
	}
}

// A log's key, as logserver reads it.
func TestEncryptedLogKey(t *testing.T) {
	w := newWorld(t)
	key := filepath.Join(w.dir, "log.key")
	out, _ := w.runs(exitDone, "keygen", "--origin", "log.example", "--password-file", w.file("right", "  "+password+"\r\n"), key)
	says(t, out, "log.example+")
	if _, err := keys.Load(key, []byte(password)); err != nil {
		t.Error(err)
	}
}

func TestCosignKey(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte(password)))
	if err != nil {
		t.Fatal(err)
	}
	key, pub := w.file("cosign.key", string(private)), w.file("cosign.pub", string(public))
	w.runs(exitDone, "add", "--key", key, "--password-file", w.file("right", password), f)
	w.runs(exitDone, "verify", "--signer", pub, f)
	_, errs := w.runs(exitUsage, "add", "--key", key, "--password-file", w.file("wrong", mistyped), f)
	says(t, errs, "wrong password", key)
	_, errs = w.runs(exitUsage, "add", "--key", key, f)
	says(t, errs, "is encrypted")
}

// One's own key may be encrypted, too; verify then needs no password.
func TestOwnKeyEncrypted(t *testing.T) {
	w := newWorld(t)
	f, right := w.file("f", "artifact"), w.file("right", password)
	home := filepath.Join(w.dir, "config/indelible")
	w.run(exitDone, "add", "--key", w.keyFile("bare", newKey(t)), f)
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(home, "signer.key")
	if err := os.Rename(w.encrypted("signer.key"), key); err != nil {
		t.Fatal(err)
	}
	_, errs := w.runs(exitUsage, "verify", f)
	says(t, errs, "is encrypted", key+".pub", "--signer FILE")
	_, errs = w.runs(exitDone, "add", "--password-file", right, f)
	says(t, errs, "Put your public key", key+".pub")
	w.runs(exitDone, "verify", f)
	other, err := os.ReadFile("../../keys/testdata/ecdsa-P-384.pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key+".pub", other, 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = w.runs(exitUsage, "add", "--password-file", right, f)
	says(t, errs, "is not the public key of "+key)
	w.runs(exitUnverified, "verify", f)
	if err := os.WriteFile(key+".pub", []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.runs(exitUnasked, "verify", f)
}

func TestKeyOpenToOthers(t *testing.T) {
	w := newWorld(t)
	f, key := w.file("f", "artifact"), filepath.Join(w.dir, "key")
	w.runs(exitDone, "keygen", key)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	_, errs := w.runs(exitUnasked, "add", "--key", key, f)
	says(t, errs, "mode 0644", "chmod 600 "+key)
	if len(w.log.asked) > 0 {
		t.Errorf("asked %q", w.log.asked)
	}
}
