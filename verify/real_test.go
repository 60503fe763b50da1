package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
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

// realBundle is one of testdata, and what its verification needs.
type realBundle struct {
	name, artifact string
	data           []byte
	trust          Trust
	parsed         bundle
}

func readReal(t testing.TB) (list []realBundle) {
	t.Helper()
	for _, file := range realBundles(t) {
		name := filepath.Base(file)
		b := realBundle{name, realArtifact(t, name), testdata(t, name), realTrust(t, name), bundle{}}
		var err error
		if b.parsed, err = parseBundle(b.data); err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// proves demands that what verified has the content that was signed, and the
// entry that was logged of it, as the bundle had them before it was changed.
func (b realBundle) proves(t *testing.T, r Result, data []byte) {
	t.Helper()
	got, err := parseBundle(data)
	if err != nil {
		t.Fatalf("%s: %v: %q verifies", b.name, err, data)
	}
	want := b.parsed.entries[0]
	same := func(e logEntry) bool {
		return bytes.Equal(e.body, want.body) && e.proofIndex == want.proofIndex && e.size == want.size &&
			(r.Time == 0 || e.integrated == want.integrated)
	}
	if !slices.ContainsFunc(got.entries, same) || fmt.Sprintf("%x", got.content()) != fmt.Sprintf("%x", b.parsed.content()) {
		t.Fatalf("%s: %q verifies", b.name, data)
	}
}

// content is what nobody may change: who signed what, and how.
func (b bundle) content() []any {
	list := []any{b.message == nil, b.envelope == nil}
	if b.certificate != nil {
		list = append(list, b.certificate.Raw)
	}
	if b.message != nil {
		return append(list, b.message.signature)
	}
	return append(list, b.envelope.payloadType, b.envelope.payload, b.envelope.signature)
}

// FuzzVerifyBundle replaces a part of a real bundle, or all of it. The parts are
// short, and the keys always the same: the fuzzer tries to shorten what it finds
// byte by byte, and compares what processes other than this one reached.
func FuzzVerifyBundle(f *testing.F) {
	list := readReal(f)
	for i := range list {
		f.Add(uint8(i), uint16(0), uint16(0), []byte{})
	}
	f.Add(uint8(0), uint16(0), uint16(math.MaxUint16), []byte(`{"mediaType":""}`))
	f.Add(uint8(0), uint16(1), uint16(1), []byte(`"dsseEnvelope":null,`))
	f.Fuzz(func(t *testing.T, which uint8, from, to uint16, put []byte) {
		b := list[int(which)%len(list)]
		start := min(int(from), len(b.data))
		end := min(max(start, int(to)), len(b.data))
		data := slices.Concat(b.data[:start], put, b.data[end:])
		r, err := VerifyBundle(strings.NewReader(b.artifact), data, b.trust)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Verified {
			return
		}
		for _, one := range BundlesIn(data) { // one of which proves it
			if r, err := VerifyBundle(strings.NewReader(b.artifact), one, b.trust); err == nil && r.Verified {
				b.proves(t, r, one)
				return
			}
		}
		t.Errorf("%s: none of its bundles verifies, and it does: %q", b.name, data)
	})
}
