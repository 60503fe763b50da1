package verify

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/entry"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func block(t testing.TB, data []byte) []byte {
	t.Helper()
	b, _ := pem.Decode(data)
	if b == nil {
		t.Fatal("it is not PEM")
	}
	return b.Bytes
}

func publicKey(t testing.TB, name string) crypto.PublicKey {
	t.Helper()
	pub, err := x509.ParsePKIXPublicKey(block(t, testdata(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// realTrust is whom to trust for the bundles in testdata: those of Rekor v2 by
// the policy, which asks for two of three witnesses.
func realTrust(t testing.TB, name string) Trust {
	t.Helper()
	var trust Trust
	if strings.Contains(name, "-v1-") {
		trust.BareKeys = []crypto.PublicKey{publicKey(t, "rekor-v1.pem")}
	} else {
		p, err := checkpoint.ParsePolicy(testdata(t, "policy.txt"))
		if err != nil {
			t.Fatal(err)
		}
		trust.Policy = p
	}
	key := "cosign.pub"
	if strings.HasPrefix(name, "js-") {
		key = "leaf.pub"
	}
	trust.Signers = []Signer{{Fingerprint: fingerprint(entry.Signer{SPKI: spkiOf(t, publicKey(t, key))})}}
	if strings.Contains(name, "keyless") || strings.HasPrefix(name, "js-v2") {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(testdata(t, "ca.pem")) {
			t.Fatal("no authority")
		}
		trust.Signers = []Signer{{Identity: "builder@example.com", Issuer: "https://accounts.example.com", Roots: roots}}
	}
	return trust
}

// realArtifact is what a bundle in testdata is about.
func realArtifact(t testing.TB, name string) string {
	t.Helper()
	if strings.HasSuffix(name, "-message.json") {
		return string(testdata(t, "statement"))
	}
	return "true\n"
}

func realBundles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*-v[12]-*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d bundles, %v", len(files), err)
	}
	return files
}

// TestRealBundles verifies what cosign v3, cosign v2 and sigstore-js wrote.
func TestRealBundles(t *testing.T) {
	for _, file := range realBundles(t) {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, trust := testdata(t, name), realTrust(t, name)
			verify := func(artifact string) Result {
				r, err := VerifyBundle(strings.NewReader(artifact), data, trust)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			if r := verify(realArtifact(t, name)); !r.Verified || r.Time == 0 {
				t.Errorf("%+v", r)
			}
			if r := verify("another"); r.Failed() == nil || r.Failed().Name != "artifact" {
				t.Errorf("another: %+v", r)
			}
			trust.Signers = []Signer{{Fingerprint: fmt.Sprintf("SHA256:%064d", 0)}}
			if r := verify(realArtifact(t, name)); r.Failed() == nil || r.Failed().Name != "signer" {
				t.Errorf("another signer: %+v", r)
			}
		})
	}
}

// TestEveryByteOfABundleCounts changes each byte of real bundles. What remains
// good then says the same: JSON has several ways to write a text, and a few
// members are for nobody's eyes.
func TestEveryByteOfABundleCounts(t *testing.T) {
	for _, name := range []string{"cosign3-v1-blob.json", "cosign3-v2-statement.json"} {
		data, trust := testdata(t, name), realTrust(t, name)
		want, err := parseBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			for _, bit := range []byte{0x01} {
				changed := append([]byte(nil), data...)
				changed[i] ^= bit
				r, err := VerifyBundle(strings.NewReader("true\n"), changed, trust)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Verified {
					continue
				}
				got, err := parseBundle(changed)
				if err != nil {
					t.Fatal(err)
				}
				if got.hint = want.hint; !sameBundle(got, want) {
					t.Fatalf("%s: byte %d, %q, changed by %#x: verified", name, i, data[i], bit)
				}
			}
		}
	}
}

func sameBundle(a, b bundle) bool {
	return fmt.Sprintf("%+v", a.flat()) == fmt.Sprintf("%+v", b.flat())
}

// flat is a bundle without pointers, to compare.
func (b bundle) flat() []any {
	list := []any{b.version, b.certificate, b.above, b.hint, b.entries, b.timestamps}
	if b.message != nil {
		list = append(list, *b.message)
	}
	if b.envelope != nil {
		list = append(list, *b.envelope)
	}
	return list
}
