package entry

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// keyFor makes a key for key details.
func keyFor(t testing.TB, k KeyDetails) crypto.Signer {
	t.Helper()
	switch k {
	case ECDSAP256SHA256:
		return ecKey(t, elliptic.P256())
	case ECDSAP384SHA384:
		return ecKey(t, elliptic.P384())
	case ECDSAP521SHA512:
		return ecKey(t, elliptic.P521())
	case RSA2048SHA256:
		return must(rsa.GenerateKey(rand.Reader, 2048))(t)
	case RSA3072SHA256:
		return must(rsa.GenerateKey(rand.Reader, 3072))(t)
	case RSA4096SHA256:
		return must(rsa.GenerateKey(rand.Reader, 4096))(t)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)(t)
}

// sigstoreSign signs a message as Sigstore does, with its own package.
func sigstoreSign(t testing.TB, key crypto.Signer, k KeyDetails, message []byte) []byte {
	t.Helper()
	var opts []signature.LoadOption
	if k != Ed25519 {
		opts = append(opts, options.WithHash(k.hash()))
	}
	if k == Ed25519ph {
		opts = append(opts, options.WithED25519ph())
	}
	s := must(signature.LoadSignerWithOpts(key, opts...))(t)
	return must(s.SignMessage(bytes.NewReader(message)))(t)
}

func digestOf(k KeyDetails, message []byte) []byte {
	h := k.hash().New()
	h.Write(message)
	return h.Sum(nil)
}

var allDetails = []KeyDetails{
	ECDSAP256SHA256, ECDSAP384SHA384, ECDSAP521SHA512, RSA2048SHA256, RSA3072SHA256, RSA4096SHA256, Ed25519ph, Ed25519,
}

// verifiersFor are the four ways to give a key.
func verifiersFor(t testing.TB, key crypto.Signer, k KeyDetails) map[string]Verifier {
	spki, cert := spkiOf(t, key.Public()), certOf(t, key)
	return map[string]Verifier{
		"key":         {PublicKey: spki, KeyDetails: k},
		"PEM key":     {PublicKey: pemOf("PUBLIC KEY", spki), KeyDetails: k},
		"certificate": {Certificate: cert, KeyDetails: k},
		"PEM cert":    {Certificate: pemOf("CERTIFICATE", cert), KeyDetails: k},
	}
}

// Each algorithm, signed by Sigstore's signer, is taken in either kind, with its
// key details given or not, and read back as it was.
func TestEveryAlgorithm(t *testing.T) {
	message := []byte("artifact")
	for _, k := range allDetails {
		key := keyFor(t, k)
		testSigstoreAgrees(t, key, k, message)
		for how, v := range verifiersFor(t, key, k) {
			if k != Ed25519 {
				testHashedRekord(t, fmt.Sprintf("hashedrekord, %s, %s", k, how), k, HashedRekord{
					Digest: digestOf(k, message), Signature: sigstoreSign(t, key, k, message), Verifier: v,
				}, key)
			}
			testDSSE(t, fmt.Sprintf("dsse, %s, %s", k, how), k, v, sigstoreSign(t, key, k, PAE("t", message)), key)
		}
	}
}

func testHashedRekord(t *testing.T, name string, k KeyDetails, r HashedRekord, key crypto.Signer) {
	t.Helper()
	e := must(NewHashedRekord(r))(t)
	p := must(Parse(e.Canonical()))(t)
	b := p.HashedRekord
	if b.Algorithm != hashName(k.hash()) || !bytes.Equal(b.Digest, r.Digest) || !bytes.Equal(b.Signature, r.Signature) {
		t.Errorf("%s: %+v", name, b)
	}
	if err := b.Verify(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	testSigner(t, name, k, b.Signer, r.Verifier, key)
	r.Verifier.KeyDetails = ""
	if again := must(NewHashedRekord(r))(t); again.LeafHash() != e.LeafHash() {
		t.Errorf("%s: the usual key details make another entry", name)
	}
	r.Signature = bytes.Clone(r.Signature)
	r.Signature[len(r.Signature)-1] ^= 1
	if _, err := NewHashedRekord(r); !errors.Is(err, ErrSignature) {
		t.Errorf("%s: a changed signature: %v", name, err)
	}
}

func testDSSE(t *testing.T, name string, k KeyDetails, v Verifier, sig []byte, key crypto.Signer) {
	t.Helper()
	env := fmt.Sprintf(`{"payload":"YXJ0aWZhY3Q=","payloadType":"t","signatures":[{"sig":%q}]}`, base64.URLEncoding.EncodeToString(sig))
	e := must(NewDSSE(DSSE{Envelope: []byte(env), Verifiers: []Verifier{v}}))(t)
	p := must(Parse(e.Canonical()))(t)
	if err := p.DSSE.VerifyEnvelope([]byte(env)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	testSigner(t, name, k, p.DSSE.Signatures[0].Signer, v, key)
	changed := strings.Replace(env, `"t"`, `"u"`, 1)
	if _, err := NewDSSE(DSSE{Envelope: []byte(changed), Verifiers: []Verifier{v}}); !errors.Is(err, ErrSignature) {
		t.Errorf("%s: another payloadType: %v", name, err)
	}
}

func testSigner(t *testing.T, name string, k KeyDetails, s Signer, v Verifier, key crypto.Signer) {
	t.Helper()
	if s.KeyDetails != k || !bytes.Equal(s.SPKI, spkiOf(t, key.Public())) || (s.Certificate != nil) != (v.Certificate != nil) {
		t.Errorf("%s: read back as %s, certificate %v", name, s.KeyDetails, s.Certificate != nil)
	}
}

// testSigstoreAgrees: what Sigstore's verifiers say of a signature, this package
// says; except that they also take other encodings of ECDSA signatures.
func testSigstoreAgrees(t *testing.T, key crypto.Signer, k KeyDetails, message []byte) {
	t.Helper()
	opts := []signature.LoadOption{options.WithHash(k.hash())}
	if k == Ed25519ph {
		opts = append(opts, options.WithED25519ph())
	}
	theirs := must(signature.LoadVerifierWithOpts(key.Public(), opts...))(t)
	ours := Signer{KeyDetails: k, PublicKey: key.Public()}
	good := sigstoreSign(t, key, k, message)
	for i := range good {
		sig := bytes.Clone(good)
		sig[i] ^= 1 << (i % 8)
		their := theirs.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message))
		if our := ours.verifyMessage(newMessage(message), sig); our == nil || their == nil {
			t.Errorf("%s, byte %d changed: ours %v, theirs %v", k, i, our, their)
		}
	}
	if err := ours.verifyMessage(newMessage(message), good); err != nil {
		t.Errorf("%s: %v", k, err)
	}
}

// One ECDSA signature has one encoding.
func TestStrictECDSA(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	good := request(t, key, "artifact")
	var rs struct{ R, S *big.Int }
	must(asn1.Unmarshal(good.Signature, &rs))(t)
	body := good.Signature[2:]
	longR := append([]byte{2, body[1] + 1, 0}, body[2:]...)
	for name, sig := range map[string][]byte{
		"IEEE P1363":         append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...),
		"long form length":   append([]byte{0x30, 0x81, byte(len(body))}, body...),
		"indefinite length":  append(append([]byte{0x30, 0x80}, body...), 0, 0),
		"a leading zero":     append([]byte{0x30, byte(len(longR))}, longR...),
		"bytes after":        append(bytes.Clone(good.Signature), 0),
		"a third integer":    append([]byte{0x30, byte(len(body) + 3)}, append(bytes.Clone(body), 2, 1, 1)...),
		"negative":           must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).Neg(rs.R), rs.S}))(t),
		"zero":               must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int), new(big.Int)}))(t),
		"s beyond the order": must(asn1.Marshal(struct{ R, S *big.Int }{rs.R, new(big.Int).Add(rs.S, elliptic.P256().Params().N)}))(t),
	} {
		r := good
		r.Signature = sig
		if _, err := NewHashedRekord(r); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rsaOf is what looks like a key of so many bits, made at once.
func rsaOf(bits int) *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: 65537}
}

func publicFor(t testing.TB, k KeyDetails) crypto.PublicKey {
	t.Helper()
	switch k {
	case RSA2048SHA256:
		return rsaOf(2048)
	case RSA3072SHA256:
		return rsaOf(3072)
	case RSA4096SHA256:
		return rsaOf(4096)
	}
	return keyFor(t, k).Public()
}

// Every key with every algorithm's name: only its own are taken.
func TestKeyDetailsFitTheKey(t *testing.T) {
	for _, of := range allDetails {
		v := Verifier{PublicKey: spkiOf(t, publicFor(t, of))}
		for _, asked := range append([]KeyDetails{"", "PKIX_ECDSA_P256_SHA_384", "pkix_ed25519", "PKIX_RSA_PSS_2048_SHA256"}, allDetails...) {
			for _, kind := range []Kind{KindHashedRekord, KindDSSE} {
				bothEd := of[:8] == "PKIX_ED2" && (asked == Ed25519ph || asked == Ed25519 && kind == KindDSSE)
				want := asked == "" || asked == of && of != Ed25519 || bothEd
				v.KeyDetails = asked
				_, err := v.signer(kind)
				if (err == nil) != want || err != nil && !errors.Is(err, ErrAlgorithm) {
					t.Errorf("a key of %s, asked for %q in a %s: %v", of, asked, kind, err)
				}
			}
		}
	}
}

// dsaSPKI is a public key in DSA, which crypto/x509 reads but does not write.
func dsaSPKI(t testing.TB) []byte {
	t.Helper()
	params := must(asn1.Marshal(struct{ P, Q, G int }{23, 11, 4}))(t)
	y := must(asn1.Marshal(8))(t)
	return must(asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, Parameters: asn1.RawValue{FullBytes: params}},
		asn1.BitString{Bytes: y, BitLength: 8 * len(y)},
	}))(t)
}

// certificateOfUnknownKey is a certificate of a key in an algorithm that
// crypto/x509 does not know: Ed25519's OID changed to Ed448's.
func certificateOfUnknownKey(t testing.TB) []byte {
	t.Helper()
	key := keyFor(t, Ed25519)
	der := certOf(t, key)
	spki := must(x509.ParseCertificate(der))(t).RawSubjectPublicKeyInfo
	changed := bytes.Replace(spki, []byte{0x2b, 0x65, 0x70}, []byte{0x2b, 0x65, 0x71}, 1)
	return bytes.Replace(der, spki, changed, 1)
}

func TestKeysNotAllowed(t *testing.T) {
	sized := func(bits int) Verifier { return Verifier{PublicKey: spkiOf(t, rsaOf(bits))} }
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))(t)
	for _, c := range []struct {
		name string
		v    Verifier
		says string
	}{
		{"RSA 1024", sized(1024), "an RSA key of 1024 bits"},
		{"RSA 2047", sized(2047), "an RSA key of 2047 bits"},
		{"RSA 2049", sized(2049), "an RSA key of 2049 bits"},
		{"RSA 5120", sized(5120), "an RSA key of 5120 bits"},
		{"P-224", Verifier{PublicKey: spkiOf(t, ecKey(t, elliptic.P224()).Public())}, "an ECDSA key on curve P-224"},
		{"X25519", Verifier{PublicKey: spkiOf(t, x25519.Public())}, "*ecdh.PublicKey"},
		{"DSA", Verifier{PublicKey: dsaSPKI(t)}, "*dsa.PublicKey"},
		{"a certificate on P-224", Verifier{Certificate: certOf(t, ecKey(t, elliptic.P224()))}, "P-224"},
		{"a certificate of Ed448", Verifier{Certificate: certificateOfUnknownKey(t)}, "an unknown type"},
	} {
		_, err := NewHashedRekord(HashedRekord{Digest: make([]byte, 32), Signature: []byte{1}, Verifier: c.v})
		if !errors.Is(err, ErrAlgorithm) || !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.says+"; allowed are") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// An RSA key that nobody can hold the private half of: no signature verifies.
func TestBadRSAKeys(t *testing.T) {
	for name, key := range map[string]*rsa.PublicKey{
		"exponent 1":   {N: must(rsa.GenerateKey(rand.Reader, 2048))(t).N, E: 1},
		"even modulus": {N: new(big.Int).SetBit(new(big.Int), 2047, 1), E: 65537},
	} {
		// With exponent 1 the padded digest is its own signature.
		digest := digestOf(RSA2048SHA256, nil)
		prefix, _ := hex.DecodeString("3031300d060960864801650304020105000420")
		sig := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, 256-3-len(prefix)-32)...)
		sig = append(append(append(sig, 0), prefix...), digest...)
		_, err := NewHashedRekord(HashedRekord{Digest: digest, Signature: sig, Verifier: Verifier{PublicKey: spkiOf(t, key)}})
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The key is stored as crypto/x509 writes it, however it came.
func TestKeyIsEncodedAnew(t *testing.T) {
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	digest := digestOf(RSA2048SHA256, []byte("x"))
	sig := must(key.Sign(rand.Reader, digest, crypto.SHA256))(t)
	spki := spkiOf(t, key.Public())
	block := string(pemOf("PUBLIC KEY", spki))
	oneLine := strings.ReplaceAll(block, "\n", "")
	oneLine = strings.Replace(strings.Replace(oneLine, "KEY-----", "KEY-----\n", 1), "-----END", "\n-----END", 1)
	want := must(NewHashedRekord(HashedRekord{Digest: digest, Signature: sig, Verifier: Verifier{PublicKey: spki}}))(t)
	for _, same := range []string{block, oneLine, "\n \r\n" + block + "\n\n", strings.ReplaceAll(block, "\n", "\r\n")} {
		if e := must(NewHashedRekord(HashedRekord{Digest: digest, Signature: sig, Verifier: Verifier{PublicKey: []byte(same)}}))(t); e.LeafHash() != want.LeafHash() {
			t.Errorf("%q makes another entry", same)
		}
	}
	var j hashedRekordJSON
	if err := json.Unmarshal(want.Canonical(), &j); err != nil || !bytes.Equal(j.Spec.V002.Signature.Verifier.PublicKey.RawBytes, spki) {
		t.Errorf("%v: %s", err, want.Canonical())
	}
}

// However a key's bytes are changed: if it is still taken for a key, it is
// written as crypto/x509 writes it.
func TestAKeyHasOneForm(t *testing.T) {
	for _, k := range allDetails {
		der := spkiOf(t, publicFor(t, k))
		taken := 0
		for i := range der {
			for _, flip := range []byte{0, 1, 0x20, 0x80, 0xff} {
				changed := bytes.Clone(der)
				changed[i] ^= flip
				pub, err := x509.ParsePKIXPublicKey(changed)
				if err != nil {
					continue
				}
				taken++
				if got, err := encodeKey(pub, changed); err != nil || !bytes.Equal(got, spkiOf(t, pub)) {
					t.Fatalf("%s, byte %d changed by %x: %x, %v", k, i, flip, got, err)
				}
			}
		}
		if taken < len(der) {
			t.Errorf("%s: %d were taken", k, taken)
		}
	}
}

// An Ed25519 key signs messages with most programs, and then nothing that the
// request says of its digest makes it right. The error says what does.
func TestPureEd25519(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sig, spki := ed25519.Sign(key, []byte("artifact")), spkiOf(t, key.Public())
	short, long := sha256.Sum256([]byte("artifact")), sha512.Sum512([]byte("artifact"))
	text := base64.StdEncoding.EncodeToString(pemOf("PUBLIC KEY", spki))
	for algorithm, digest := range map[string][]byte{"sha256": short[:], "sha512": long[:]} {
		for _, details := range []KeyDetails{"", Ed25519, Ed25519ph} {
			_, err := NewHashedRekord(HashedRekord{Digest: digest, Signature: sig, Verifier: Verifier{PublicKey: spki, KeyDetails: details}})
			if !errors.Is(err, ErrInvalid) || !strings.HasSuffix(err.Error(), pureEd25519) {
				t.Errorf("%s, %q: %v", algorithm, details, err)
			}
		}
		_, err := NewRekorV1(fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"%s","value":"%x"}},"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`,
			algorithm, digest, base64.StdEncoding.EncodeToString(sig), text))
		if !errors.Is(err, ErrInvalid) || !strings.HasSuffix(err.Error(), pureEd25519) {
			t.Errorf("%s by Rekor v1: %v", algorithm, err)
		}
	}
	// Those of other keys are not told of it.
	r := request(t, ecKey(t, elliptic.P256()), "x")
	r.Digest = short[:]
	if _, err := NewHashedRekord(r); err == nil || strings.Contains(err.Error(), "Ed25519") {
		t.Error(err)
	}
}
