package keys

import (
	"strings"
	"testing"
)

func TestLoadPublic(t *testing.T) {
	for file, same := range map[string]string{
		"ed25519.pub.der": "ed25519.pub",
		"pkcs1.pub":       "rsa-2048.pub",
		"cert.pem":        "ecdsa-P-256.pub",
		"cert.der":        "ecdsa-P-256.pub",
	} {
		got, err := LoadPublic(testdata(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want, err := LoadPublic(testdata(t, same))
		if err != nil {
			t.Fatal(err)
		}
		equalKeys(t, got, want)
	}
}

func TestLoadPublicRefuses(t *testing.T) {
	for name, test := range map[string]struct{ data, says string }{
		"private":   {string(testdata(t, "ed25519.pem")), "openssl pkey -in KEY -pubout"},
		"encrypted": {string(testdata(t, "encrypted-ed25519.pem")), "openssl pkey -in KEY -pubout"},
		"two":       {string(testdata(t, "ed25519.pub")) + string(testdata(t, "sec1.pub")), "more than one"},
		"empty":     {"", "neither PEM nor"},
		"der":       {string(testdata(t, "ed25519.der")), "neither PEM nor"},
		"damaged":   {strings.Replace(string(testdata(t, "ed25519.pub")), "MCow", "MCox", 1), "damaged"},
		"trailing":  {string(testdata(t, "ed25519.pub.der")) + "x", "neither PEM nor"},
	} {
		if _, err := LoadPublic([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v does not say %q", name, err, test.says)
		}
	}
}

func TestFingerprint(t *testing.T) {
	pub, err := LoadPublic(testdata(t, "ed25519.pub"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Fingerprint(pub)
	if want := "SHA256:" + strings.TrimSpace(string(testdata(t, "ed25519.fingerprint"))); got != want || err != nil {
		t.Errorf("got %q, %v; openssl says %q", got, err, want)
	}
	if _, err := Fingerprint("a string"); err == nil {
		t.Error("fingerprint of a string")
	}
}

func FuzzLoadPublic(f *testing.F) {
	for _, name := range []string{"ed25519.pub", "ed25519.pub.der", "pkcs1.pub", "cert.pem", "cert.der", "ecdsa-P-521.pub"} {
		f.Add(testdata(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pub, err := LoadPublic(data)
		if err != nil {
			return
		}
		if _, err := Fingerprint(pub); err != nil {
			t.Errorf("no fingerprint of what was loaded: %v", err)
		}
	})
}
