package trustedroot

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/trust"
	"indelible/verify"
)

// obj is a JSON object.
type obj = map[string]any

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func spki(t testing.TB, pub any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// chain is of a certificate that is no authority's, if leaf is set, one between, and
// a root.
func chain(t testing.TB, leaf bool) obj {
	t.Helper()
	var list []any
	var parent *x509.Certificate
	var by *ecdsa.PrivateKey
	for i := range 3 {
		key := newKey(t, elliptic.P256())
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string('a' + rune(i))}, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(1e9, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		}
		if i == 2 && leaf {
			c.IsCA, c.KeyUsage = false, 0
		}
		if parent == nil {
			parent, by = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
		if err == nil {
			parent, err = x509.ParseCertificate(der)
		}
		if err != nil {
			t.Fatal(err)
		}
		by, list = key, append([]any{obj{"rawBytes": b64(der)}}, list...)
	}
	return obj{"certificates": list}
}

func tlog(key []byte, details string) obj {
	sum := sha256.Sum256(key)
	return obj{
		"baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256", "logId": obj{"keyId": b64(sum[:])},
		"publicKey": obj{"rawBytes": b64(key), "keyDetails": details, "validFor": obj{"start": "2024-01-01T00:00:00Z"}},
	}
}

// example has something in every list.
func example(t testing.TB) obj {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ct := tlog(spki(t, newKey(t, elliptic.P256()).Public()), "PKIX_ECDSA_P256_SHA_256")
	return obj{
		"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":     []any{tlog(spki(t, newKey(t, elliptic.P256()).Public()), "PKIX_ECDSA_P256_SHA_256"), tlog(spki(t, pub), "PKIX_ED25519")},
		"ctlogs":    []any{ct},
		"certificateAuthorities": []any{
			obj{"subject": obj{"organization": "o", "commonName": "c"}, "uri": "https://ca.example", "certChain": chain(t, false), "validFor": obj{"start": "2024-01-01T00:00:00Z", "end": "2024-12-31T23:59:59.999Z"}},
			obj{"certChain": chain(t, false)},
		},
		"timestampAuthorities": []any{obj{"uri": "https://tsa.example", "certChain": chain(t, true), "validFor": obj{"start": "2024-01-01T00:00:00.5Z"}}},
	}
}

func data(t testing.TB, o obj) []byte {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParse(t *testing.T) {
	o := example(t)
	for _, media := range []string{"application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.1+json", "application/vnd.dev.sigstore.trustedroot.v0.2+json"} {
		o["mediaType"] = media
		r, err := Parse(data(t, o))
		if err != nil {
			t.Fatal(err)
		}
		who := r.Signers("me@example.com", "https://issuer.example")
		if len(r.Logs) != 2 || len(r.Timestamps) != 1 || len(r.LeftOut) != 0 || len(who) != 2 {
			t.Fatalf("%+v", r)
		}
		if want := (verify.Period{From: 1704067200}); r.Logs[0].Valid != want || r.Logs[1].Valid != want {
			t.Errorf("%+v", r.Logs)
		}
		if who[0].Valid != (verify.Period{From: 1704067200, Until: 1735689599}) || who[1].Valid != (verify.Period{}) || who[0].Identity != "me@example.com" || who[0].Issuer != "https://issuer.example" {
			t.Errorf("%+v", who)
		}
		if ct := who[1].CTLogs; len(ct) != 1 || ct[0].Name != "https://log.example" || len(ct[0].ID) != 32 || ct[0].Key == nil || ct[0].Valid.From != 1704067200 {
			t.Errorf("%+v", ct)
		}
	}
	if r, err := Parse([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)); err != nil || !reflect.DeepEqual(r, Root{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestOurOwn: what package trust writes is read, and is the same keys.
func TestOurOwn(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := checkpoint.NewSigner("log.example", private)
	if err != nil {
		t.Fatal(err)
	}
	v1 := newKey(t, elliptic.P256())
	files, err := trust.Files(trust.Log{URL: "https://log.example", Origin: "log.example", Keys: []string{signer.Verifier().String()}, RekorV2: true, RekorV1Key: spki(t, v1.Public())})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name != "trusted_root.json" {
			continue
		}
		r, err := Parse(f.Data)
		if err != nil || len(r.Logs) != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		if !signer.Verifier().PublicKey().(ed25519.PublicKey).Equal(r.Logs[0].Key) || !v1.PublicKey.Equal(r.Logs[1].Key) {
			t.Errorf("%+v", r.Logs)
		}
		return
	}
	t.Error("there is no trusted root")
}

// at is a member of a member of an object, where a number is of a list.
func at(o any, path string) (parent obj, name string) {
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		if list, ok := o.([]any); ok {
			o = list[p[0]-'0']
		} else {
			o = o.(obj)[p]
		}
	}
	return o.(obj), parts[len(parts)-1]
}

func TestRefused(t *testing.T) {
	swapped := chain(t, false)
	list := swapped["certificates"].([]any)
	list[1], list[2] = list[2], list[1]
	p384, p521 := newKey(t, elliptic.P384()), newKey(t, elliptic.P521())
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const period, key, tsa = "tlogs.0.publicKey.validFor", "tlogs.0.publicKey", "timestampAuthorities.0"
	for _, c := range []struct {
		path   string
		value  any
		reason string // for which it is refused
	}{
		{"mediaType", "application/json", `its mediaType is "application/json"`},
		{"mediaType", nil, `its mediaType is ""`},
		{"tlogs.0.logId", nil, "has 0 bytes"},
		{"tlogs.0.logId", obj{"keyId": "AAAAAAA="}, "has 5 bytes"},
		{"tlogs.0.logId", obj{"keyId": "!"}, "it is no trusted root"},
		{"tlogs.0.checkpointKeyId", obj{"keyId": "AA=="}, "has 1 bytes"},
		{key, nil, "no validFor.start"},
		{period, nil, "no validFor.start"},
		{period, obj{"end": "2024-01-01T00:00:00Z"}, "no validFor.start"},
		{period, obj{"start": "yesterday"}, "it is no trusted root"},
		{period, obj{"start": "1960-01-01T00:00:00Z"}, "before 1970"},
		{period, obj{"start": "2024-01-01T00:00:00Z", "end": "2023-01-01T00:00:00Z"}, "ends before it starts"},
		{period, obj{"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:00Z"}, "ends before it starts"},
		{key + ".keyDetails", "PKIX_ED25519", "not of its keyDetails PKIX_ED25519"},
		{key + ".keyDetails", "PKIX_ECDSA_P384_SHA_384", "not of its keyDetails"},
		{"tlogs.1.publicKey.keyDetails", "PKIX_ECDSA_P256_SHA_256", "ed25519.PublicKey, and not of its keyDetails"},
		{key + ".rawBytes", "AAAA", "tlogs[0]: its key"},
		{"tlogs.0", tlog(spki(t, large.Public()), "PKIX_ED25519"), "rsa.PublicKey, and not of its keyDetails"},
		{"certificateAuthorities.0.certChain", nil, "certificateAuthorities[0]: its certChain has no certificates"},
		{"certificateAuthorities.1.certChain", swapped, "certificateAuthorities[1]: certificate 1 of its chain is not signed by number 2"},
		{"certificateAuthorities.0.certChain", obj{"certificates": []any{obj{"rawBytes": "AAAA"}}}, "certificate 1 of its chain"},
		{"certificateAuthorities.0.validFor", obj{"end": "1960-01-01T00:00:00Z"}, "before 1970"},
		{tsa + ".certChain", nil, "timestampAuthorities[0]: its certChain has no certificates"},
		{tsa + ".certChain", swapped, "timestampAuthorities[0]: certificate 1 of"},
		{tsa + ".certChain", obj{"certificates": []any{obj{}}}, "certificate 1 of its chain"},
		{tsa + ".validFor", obj{"end": "1960-01-01T00:00:00Z"}, "before 1970"},

		{"ctlogs.0.publicKey", nil, "ctlogs[0]: its publicKey has no validFor.start"},
		{"ctlogs.0.publicKey.rawBytes", "AAAA", "ctlogs[0]: its key"},
		{"ctlogs.0.publicKey.keyDetails", "PKIX_RSA_PKCS1V15_2048_SHA256", "ctlogs[0]: its key is a *ecdsa.PublicKey"},

		{"new", []any{}, ""},
		{"tlogs.0.new", obj{"more": 1}, ""},
		{"ctlogs.0", tlog(spki(t, large.Public()), "PKIX_RSA_PKCS1V15_2048_SHA256"), ""},
		{"ctlogs.0", tlog(x509.MarshalPKCS1PublicKey(&large.PublicKey), "PKCS1_RSA_PKCS1V5"), ""},
		{"tlogs.0", tlog(spki(t, p384.Public()), "PKIX_ECDSA_P384_SHA_384"), ""},
		{"tlogs.0", tlog(spki(t, p521.Public()), "PKIX_ECDSA_P521_SHA_512"), ""},
		{"tlogs.0.checkpointKeyId", obj{"keyId": "AAAAAA=="}, ""},
	} {
		o := example(t)
		if i := strings.LastIndex(c.path, "."); strings.HasSuffix(c.path, ".0") {
			o[c.path[:i]].([]any)[0] = c.value
		} else {
			parent, name := at(o, c.path)
			parent[name] = c.value
		}
		_, err := Parse(data(t, o))
		if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s as %v: %v; not for %q", c.path, c.value, err, c.reason)
		}
	}
}

// What two readers could read differently is refused.
func TestStrict(t *testing.T) {
	good := string(data(t, example(t)))
	for _, text := range []string{
		"", "{", "[]", "null", good + "{}", good + "\n" + good + "x", strings.Repeat(good+"\n", 17), strings.Replace(good, `"tlogs":`, `"tlogs":[],"tlogs":`, 1), strings.Repeat(" ", MaxSize) + good, strings.Repeat("[", 1<<20),
	} {
		if r, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.100q: %+v", text, r)
		}
	}
}

// A log with a kind of key or hash that is not read is left out, and the others are
// not. A CT log like that stays, so that SCTs are asked for all the same.
func TestLeftOut(t *testing.T) {
	o := example(t)
	other, hash := tlog([]byte{1}, "PKCS1_RSA_PKCS1V5"), tlog([]byte{1}, "PKIX_ED25519")
	hash["hashAlgorithm"] = "SHA3_NEW"
	o["tlogs"] = append([]any{other, hash, tlog([]byte{1}, "ML_DSA_65")}, o["tlogs"].([]any)...)
	o["ctlogs"] = []any{tlog([]byte{1}, "ML_DSA_NEW")}
	r, err := Parse(data(t, o))
	if err != nil || len(r.Logs) != 2 || !slices.Equal(r.LeftOut, []string{
		`tlogs[0], "https://log.example", has a key of kind PKCS1_RSA_PKCS1V5`,
		`tlogs[1], "https://log.example", has the hash HASH_ALGORITHM_UNSPECIFIED`,
		`tlogs[2], "https://log.example", has a key of kind ML_DSA_65`,
		`ctlogs[0], "https://log.example", has a key of kind PUBLIC_KEY_DETAILS_UNSPECIFIED`,
	}) {
		t.Errorf("%q, %v", r.LeftOut, err)
	}
	if ct := r.Signers("", "")[0].CTLogs; len(ct) != 1 || ct[0].Key != nil {
		t.Errorf("%+v", ct)
	}
}

// A log that signs with ML-DSA-44 is read. A CT log never does (RFC 6962, 2.1.4), and a
// larger key is not of the kind that the root says.
func TestMLDSA(t *testing.T) {
	o := example(t)
	der := func(p mldsa.Parameters) []byte {
		key, err := mldsa.GenerateKey(p)
		if err != nil {
			t.Fatal(err)
		}
		return spki(t, key.Public())
	}
	small := tlog(der(mldsa.MLDSA44()), "ML_DSA_44")
	o["tlogs"], o["ctlogs"] = []any{small}, []any{small}
	r, err := Parse(data(t, o))
	if err != nil || len(r.Logs) != 1 || !slices.Equal(r.LeftOut, []string{`ctlogs[0], "https://log.example", has a key of kind ML_DSA_44`}) {
		t.Fatalf("%d logs, %q, %v", len(r.Logs), r.LeftOut, err)
	}
	if k, ok := r.Logs[0].Key.(*mldsa.PublicKey); !ok || k.Parameters() != mldsa.MLDSA44() {
		t.Errorf("%T", r.Logs[0].Key)
	}
	for _, wrong := range []obj{tlog(der(mldsa.MLDSA65()), "ML_DSA_44"), tlog([]byte{1}, "ML_DSA_44"), tlog(der(mldsa.MLDSA44()), "PKIX_ED25519")} {
		o["tlogs"] = []any{wrong}
		if _, err := Parse(data(t, o)); err == nil || !strings.Contains(err.Error(), "tlogs[0]: its key") {
			t.Errorf("%v", err)
		}
	}
}

// Several roots are trusted together, and the CT logs of one are asked for by its own
// authorities alone: another's may log its certificates nowhere.
func TestLines(t *testing.T) {
	a, b := example(t), example(t)
	delete(b, "ctlogs")
	r, err := Parse(slices.Concat(data(t, a), []byte("\n"), data(t, b), []byte("\n\n")))
	if err != nil || len(r.Logs) != 4 || len(r.Timestamps) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, s := range r.Signers("", "") {
		if asked := i < 2; asked != (len(s.CTLogs) == 1) {
			t.Errorf("authority %d: %d CT logs", i, len(s.CTLogs))
		}
	}
	b["mediaType"] = "other"
	if _, err := Parse(slices.Concat(data(t, a), data(t, b))); err == nil || !strings.HasPrefix(err.Error(), "trusted root 2 in the file: ") {
		t.Error(err)
	}
}

// FuzzParse replaces a part of a trusted root, or all of it: what is read then can
// be trusted, keys that sign checkpoints, periods that are some. The parts are short,
// and the root always the same, for the fuzzer's sake.
func FuzzParse(f *testing.F) {
	seed, err := os.ReadFile("testdata/trusted_root.json")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := Parse(seed); err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), uint16(0), []byte{})
	f.Add(uint16(0), uint16(1<<15), []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot.v0.2+json","tlogs":[null],"certificateAuthorities":[{}]}`))
	f.Fuzz(func(t *testing.T, from, to uint16, put []byte) {
		start := min(int(from), len(seed))
		end := min(max(start, int(to)), len(seed))
		data := slices.Concat(seed[:start], put, seed[end:])
		r, err := Parse(data)
		if err != nil {
			if !reflect.DeepEqual(r, Root{}) {
				t.Fatalf("%v, and %+v", err, r)
			}
			return
		}
		for _, l := range r.Logs {
			if _, err := checkpoint.NewVerifier("log.example", l.Key); err != nil || l.Valid.From < 0 || l.Valid.Until != 0 && l.Valid.Until < l.Valid.From || len(l.ID) < 4 {
				t.Fatalf("%v: %+v", err, l)
			}
		}
		for _, s := range r.Signers("a", "b") {
			if s.Roots == nil || s.Intermediates == nil || s.Valid.Until != 0 && s.Valid.Until < s.Valid.From {
				t.Fatalf("%+v", s)
			}
		}
	})
}
