package checkpoint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// The key of the public Rekor log; its id is known from its checkpoints.
const rekorVkey = "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="

func TestParseVerifier(t *testing.T) {
	vectors := readVectors(t)
	for vkey, alg := range map[string]byte{
		specVkey:              Ed25519,
		rekorVkey:             ECDSA,
		vectors.VkeyLog01:     Ed25519,
		vectors.VkeyLog06:     CosignatureV1MLDSA44,
		vectors.VkeyWitness04: CosignatureV1Ed25519,
		vectors.VkeyWitness06: CosignatureV1MLDSA44,
	} {
		v, err := ParseVerifier(vkey)
		if err != nil {
			t.Error(err)
			continue
		}
		if v.Algorithm() != alg || v.IsCosigner() != (alg >= CosignatureV1Ed25519) || v.PublicKey() == nil {
			t.Errorf("%s: type %d, cosigner %v, %T", vkey, v.Algorithm(), v.IsCosigner(), v.PublicKey())
		}
		checkVerifier(t, v, vkey)
	}
}

// checkVerifier fails unless v is printed as vkey, and formats reads vkey so.
func checkVerifier(t *testing.T, v Verifier, vkey string) {
	t.Helper()
	if v.String() != vkey {
		t.Errorf("%q is printed as %q", vkey, v)
	}
	f, err := formats.NewVerifier(vkey)
	if err != nil {
		t.Errorf("%q: formats says %v", vkey, err)
		return
	}
	if f.Name() != v.Name() || f.KeyHash() != v.KeyHash() {
		t.Errorf("%s+%08x, formats says %s+%08x", v.Name(), v.KeyHash(), f.Name(), f.KeyHash())
	}
}

func TestParseVerifierRefuses(t *testing.T) {
	vectors := readVectors(t)
	vkey := func(name string, id uint32, key []byte) string {
		return fmt.Sprintf("%s+%08x+%s", name, id, base64.StdEncoding.EncodeToString(key))
	}
	own := func(alg byte, key []byte) string { // with the right id
		return vkey("a", keyID("a", alg, key), append([]byte{alg}, key...))
	}
	for name, bad := range map[string]string{
		"empty":            "",
		"no key":           "a+00000000",
		"no base64":        "a+00000000+!!!",
		"type only":        "a+00000000+AQ==",
		"no name":          vkey("", keyID("", Ed25519, seed(1)), append([]byte{1}, seed(1)...)),
		"space in name":    vkey("a b", keyID("a b", Ed25519, seed(1)), append([]byte{1}, seed(1)...)),
		"newline in name":  vkey("a\nb", keyID("a\nb", Ed25519, seed(1)), append([]byte{1}, seed(1)...)),
		"other name":       strings.Replace(specVkey, "foo", "bar", 1),
		"upper case id":    strings.Replace(specVkey, "530d903a", "530D903A", 1),
		"short id":         strings.Replace(specVkey, "530d903a", "30d903a", 1),
		"other id, 04":     strings.Replace(vectors.VkeyWitness04, "b72bab2e", "b72bab2f", 1),
		"other id, 06":     strings.Replace(vectors.VkeyWitness06, "9c5d18a4", "9c5d18a5", 1),
		"other id, 02":     strings.Replace(rekorVkey, "c0d23d6a", "12345678", 1),
		"unused bits":      specVkey[:len(specVkey)-1] + "l" + "=",
		"trailing newline": specVkey + "\n",
		"short Ed25519":    own(Ed25519, seed(1)[1:]),
		"long Ed25519":     own(CosignatureV1Ed25519, append(seed(1), 0)),
		"short ML-DSA":     own(CosignatureV1MLDSA44, seed(1)),
		"type 0x00":        own(0, seed(1)),
		"type 0x03":        own(3, seed(1)),
		"type 0x05":        own(5, seed(1)),
		"type 0xff":        own(0xff, seed(1)),
		"ECDSA not SPKI":   own(ECDSA, seed(1)),
		"ECDSA P-224":      own(ECDSA, spki(t, elliptic.P224())),
		"ECDSA trailing":   own(ECDSA, append(spki(t, elliptic.P256()), 0)),
		"ECDSA is Ed25519": own(ECDSA, edSPKI(t)),
	} {
		if v, err := ParseVerifier(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func spki(t *testing.T, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func edSPKI(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(seed(1)).Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Signatures made by either side verify on the other.
func TestVerifyDifferential(t *testing.T) {
	text := sample(5).Text()
	for _, s := range []*KeySigner{
		logSigner(t, testOrigin, 1),
		ecdsaSigner(t, testOrigin, elliptic.P256()),
		ecdsaSigner(t, testOrigin, elliptic.P384()),
		ecdsaSigner(t, testOrigin, elliptic.P521()),
	} {
		f, err := formats.NewVerifier(s.Verifier().String())
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Sign(&note.Note{Text: string(text)}, s)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := note.Open(signed, note.VerifierList(f)); err != nil || len(n.Sigs) != 1 {
			t.Errorf("type %d: formats does not verify: %v", s.Verifier().Algorithm(), err)
		}
		if _, err := Open(signed, []Verifier{s.Verifier()}); err != nil {
			t.Errorf("type %d: %v", s.Verifier().Algorithm(), err)
		}
	}
}

// formats signs with the present time; we verify, and read the time.
func TestVerifyFormatsCosignatures(t *testing.T) {
	edKey := "PRIVATE+KEY+w.example+00000000+" + base64.StdEncoding.EncodeToString(append([]byte{4}, seed(7)...))
	mlKey, _, err := formats.GenerateMLDSAKey("w.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, skey := range []string{edKey, mlKey} {
		cosigner, err := formats.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		v := newWitness(t, "w.example", CosignatureV1Ed25519, 7).v
		if skey == mlKey {
			v = mldsaVerifier(t, skey)
		}
		log := logSigner(t, testOrigin, 1)
		o, err := Open(mustSign(t, sample(5), log, cosigner), []Verifier{log.Verifier()}, v)
		if err != nil || !o.VerifiedBy(v) {
			t.Fatalf("type %d: %v", v.Algorithm(), err)
		}
		if at, ok := o.Timestamp(v); !ok || at < 1700000000 {
			t.Errorf("type %d: time %d, %v", v.Algorithm(), at, ok)
		}
	}
}

func mldsaVerifier(t *testing.T, skey string) Verifier {
	t.Helper()
	private, err := base64.StdEncoding.DecodeString(strings.SplitN(skey, "+", 5)[4])
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier("w.example", mldsaKey(t, private[1:]).Public())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifyShort(t *testing.T) {
	text := sample(5).Text()
	for _, v := range []Verifier{
		{},
		logSigner(t, "a", 1).Verifier(), ecdsaSigner(t, "a", elliptic.P256()).Verifier(),
		newWitness(t, "a", CosignatureV1Ed25519, 1).v, newWitness(t, "a", CosignatureV1MLDSA44, 1).v,
	} {
		for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 71, 72, 73, 2420, 2428, 2429} {
			if v.Verify(text, make([]byte, n)) || v.Verify(nil, make([]byte, n)) {
				t.Errorf("type %d: %d zero bytes verify", v.Algorithm(), n)
			}
		}
	}
}

func TestCosignatureTimeBound(t *testing.T) {
	w := newWitness(t, "w", CosignatureV1Ed25519, 1)
	w.seconds = -1 // 2^64-1 on the wire
	text := sample(5).Text()
	blob, err := w.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	if w.v.Verify(text, blob) {
		t.Error("a time above 2^63-1 verifies")
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, pub := range []crypto.PublicKey{key.Public(), nil, "text"} {
		if _, err := NewVerifier("a", pub); err == nil {
			t.Errorf("a %T was taken", pub)
		}
	}
	if _, err := NewSigner("a", key); err == nil {
		t.Error("RSA signs checkpoints")
	}
	if _, err := NewSigner("a b", ed25519.NewKeyFromSeed(seed(1))); !errors.Is(err, ErrMalformed) {
		t.Errorf("name with a space: %v", err)
	}
}

func FuzzParseVerifier(f *testing.F) {
	f.Add(specVkey)
	f.Add(rekorVkey)
	f.Add(newWitness(f, "a", CosignatureV1Ed25519, 1).v.String())
	f.Add(newWitness(f, "a", CosignatureV1MLDSA44, 1).v.String())
	f.Fuzz(func(t *testing.T, vkey string) {
		v, err := ParseVerifier(vkey)
		if err == nil {
			checkVerifier(t, v, vkey)
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("error %v", err)
		}
		// The id keeps a fuzzer out; so let it choose the key alone.
		name, rest, _ := strings.Cut(vkey, "+")
		_, encoded, _ := strings.Cut(rest, "+")
		if key, ok := decodeBase64(encoded); ok && len(key) > 0 {
			if v, err := newVerifier(name, key[0], key[1:]); err == nil {
				checkVerifier(t, v, v.String())
			}
		}
	})
}
