package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

// logged is an artifact with its proof, and whom to trust for it.
type logged struct {
	artifact string
	proof    []byte
	trust    Trust
}

// prove logs an entry as number 2 of 4, in a log of its own.
func prove(t testing.TB, e entry.Entry) ([]byte, checkpoint.Verifier) {
	t.Helper()
	return proveBytes(t, e.Canonical())
}

// proveBytes is of a log that does not look at what it takes in.
func proveBytes(t testing.TB, canonical []byte) ([]byte, checkpoint.Verifier) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewSigner("log.example", key)
	if err != nil {
		t.Fatal(err)
	}
	leaves := []merkle.Hash{{1}, {2}, merkle.LeafHash(canonical), {4}}
	edge, _ := merkle.Edge{}.Append(leaves)
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: "log.example", Size: 4, Root: edge.Root()}, s)
	if err != nil {
		t.Fatal(err)
	}
	proof := checkpoint.Proof{
		Extra: canonical, HasExtra: true, Index: 2, Checkpoint: note,
		Hashes: []merkle.Hash{leaves[3], merkle.NodeHash(leaves[0], leaves[1])},
	}
	data, err := proof.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data, s.Verifier()
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func fingerprintOf(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("SHA256:%x", sha256.Sum256(der))
}

func signed(t testing.TB, key *ecdsa.PrivateKey, artifact string, cert []byte) entry.Entry {
	t.Helper()
	digest := sha256.Sum256([]byte(artifact))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	v := entry.Verifier{Certificate: cert}
	if cert == nil {
		if v.PublicKey, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: v})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newLogged(t testing.TB) logged {
	t.Helper()
	key := newKey(t)
	proof, log := prove(t, signed(t, key, "artifact", nil))
	return logged{"artifact", proof, Trust{Logs: []checkpoint.Verifier{log}, Signers: []Signer{{Fingerprint: fingerprintOf(t, key)}}}}
}

func (l logged) verify(t testing.TB) Result {
	t.Helper()
	r, err := Verify(strings.NewReader(l.artifact), l.proof, l.trust)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// haveCodes demands that a failed check has a code of that check, and that no other has one.
func haveCodes(t testing.TB, r Result) {
	t.Helper()
	codes := map[string][]Code{
		"bundle": {BadBundle}, "entry": {BadProof, BadEntry, OtherSignature}, "artifact": {OtherArtifact}, "signature": {BadSignature}, "signer": {OtherSigner},
		"sct": {BadSCT}, "checkpoint": {NoTrustedLog, OtherCheckpoint}, "witnesses": {BadWitnessLine, FewWitnesses}, "inclusion": {NotIncluded},
		"time": {BadPromise}, "timestamp": {NoTimestamp}, "period": {KeyNotYetTrusted, KeyNotTrustedThen},
	}
	for _, c := range r.Checks {
		if c.State == Failed && !slices.Contains(codes[c.Name], c.Code) || c.State != Failed && c.Code != "" {
			t.Errorf("the %s check %s with code %q", c.Name, c.State, c.Code)
		}
	}
}

// fails demands that a check of that name fails, and that nothing is called
// verified.
func (l logged) fails(t testing.TB, name string) {
	t.Helper()
	r := l.verify(t)
	if f := r.Failed(); r.Verified || f == nil || f.Name != name {
		t.Errorf("the %s check should fail: verified %v, %+v", name, r.Verified, r.Checks)
	}
	haveCodes(t, r)
	var names []string
	failed := false
	for _, c := range r.Checks {
		names = append(names, c.Name)
		if failed && c.State != NotChecked {
			t.Errorf("after the %s check failed, the %s check %s", name, c.Name, c.State)
		}
		failed = failed || c.State == Failed
	}
	if got := strings.Join(names, " "); got != "entry artifact signature signer checkpoint witnesses inclusion" {
		t.Errorf("the checks, when %s fails: %s", name, got)
	}
}

func TestVerified(t *testing.T) {
	l := newLogged(t)
	r := l.verify(t)
	if !r.Verified || r.Failed() != nil || r.Index != 2 || r.Size != 4 || r.Origin != "log.example" {
		t.Fatalf("%+v", r)
	}
	var names []string
	for _, c := range r.Checks {
		names = append(names, fmt.Sprint(c.Name, " ", c.State))
	}
	const want = "entry passed, artifact passed, signature passed, signer passed, checkpoint passed, witnesses not checked, inclusion passed, time not checked"
	if got := strings.Join(names, ", "); got != want {
		t.Fatal(got)
	}
}

func TestEveryByteOfTheProofCounts(t *testing.T) {
	l := newLogged(t)
	good := l.proof
	for i := range good {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			l.proof = bytes.Clone(good)
			l.proof[i] ^= bit
			if r := l.verify(t); r.Verified || r.Failed() == nil {
				t.Fatalf("byte %d of %q changed by %#x: verified", i, good, bit)
			}
		}
	}
	for n := range good {
		l.proof = good[:n]
		if l.verify(t).Verified {
			t.Fatalf("the first %d bytes verify", n)
		}
	}
}

func TestWhatFails(t *testing.T) {
	l := newLogged(t)
	l.artifact = "artefact"
	l.fails(t, "artifact")

	l = newLogged(t)
	l.trust.Logs = newLogged(t).trust.Logs // another log of the same name
	l.fails(t, "checkpoint")

	l = newLogged(t)
	l.trust.Signers = newLogged(t).trust.Signers
	l.fails(t, "signer")

	// Another artifact, signed and logged by somebody else.
	l, other := newLogged(t), newLogged(t)
	l.proof, l.trust.Logs = other.proof, other.trust.Logs
	l.fails(t, "signer")

	// A proof of another entry of the same log.
	l = newLogged(t)
	parsed, err := checkpoint.ParseProof(l.proof)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Index = 1
	l.proof, err = parsed.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	l.fails(t, "inclusion")
	parsed.HasExtra, parsed.Extra = false, nil
	if l.proof, err = parsed.Marshal(); err != nil {
		t.Fatal(err)
	}
	l.fails(t, "entry")
}

// A log that admits what is not signed does not make it so.
func TestAForgedSignature(t *testing.T) {
	key := newKey(t)
	encode := func(artifact string) (canonical, signature []byte) {
		e := signed(t, key, artifact, nil)
		p, err := entry.Parse(e.Canonical())
		if err != nil {
			t.Fatal(err)
		}
		return e.Canonical(), []byte(base64.StdEncoding.EncodeToString(p.HashedRekord.Signature))
	}
	canonical, mine := encode("artifact")
	_, other := encode("another")
	forged := bytes.Replace(canonical, mine, other, 1)
	if bytes.Equal(forged, canonical) {
		t.Fatal("nothing was forged")
	}
	proof, log := proveBytes(t, forged)
	l := logged{"artifact", proof, Trust{Logs: []checkpoint.Verifier{log}, Signers: []Signer{{Fingerprint: fingerprintOf(t, key)}}}}
	l.fails(t, "signature")
}

func TestNobodyToTrust(t *testing.T) {
	l := newLogged(t)
	for _, trust := range []Trust{{}, {Logs: l.trust.Logs}, {Signers: l.trust.Signers}, {Policy: &checkpoint.Policy{}, Signers: l.trust.Signers}, {Logs: l.trust.Logs, Signers: []Signer{{}}}, {Logs: l.trust.Logs, Signers: []Signer{{Issuer: "i", Roots: x509.NewCertPool()}}}} {
		if r, err := Verify(strings.NewReader(l.artifact), l.proof, trust); !errors.Is(err, ErrNoTrust) || r.Verified {
			t.Errorf("%+v: %v", trust, err)
		}
	}
	bad := errors.New("disk error")
	if _, err := Verify(iotest.ErrReader(bad), l.proof, l.trust); !errors.Is(err, bad) {
		t.Errorf("an artifact that cannot be read: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	l := newLogged(t)
	vkey := l.trust.Logs[0].String()
	policy := func(text string) *checkpoint.Policy {
		p, err := checkpoint.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	l.trust.Logs = nil
	l.trust.Policy = policy("log " + vkey + "\nquorum none\n")
	if !l.verify(t).Verified {
		t.Error("without witnesses")
	}
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l.trust.Policy = policy("log " + vkey + "\nwitness w " + cosignerKey(pub) + "\nquorum w\n")
	l.fails(t, "witnesses")
}

// cosignerKey is the vkey of a witness. SPEC: signed-note, tlog-cosignature.
func cosignerKey(pub ed25519.PublicKey) string {
	const name = "witness.example"
	data := append([]byte{checkpoint.CosignatureV1Ed25519}, pub...)
	id := sha256.Sum256(append([]byte(name+"\n"), data...))
	return fmt.Sprintf("%s+%x+%s", name, id[:4], base64.StdEncoding.EncodeToString(data))
}

func TestRaw(t *testing.T) {
	raw, err := entry.NewRaw([]byte("opaque"))
	if err != nil {
		t.Fatal(err)
	}
	proof, log := prove(t, raw)
	l := logged{"opaque", proof, Trust{Logs: []checkpoint.Verifier{log}, AnySigner: true}}
	if r := l.verify(t); !r.Verified {
		t.Fatalf("%+v", r)
	}
	l.trust.Signers, l.trust.AnySigner = []Signer{{Fingerprint: "SHA256:00"}}, false
	l.fails(t, "signer")
	l.trust.AnySigner, l.artifact = true, "opaquer"
	l.fails(t, "artifact")
}

func TestCertificates(t *testing.T) {
	caKey, key := newKey(t), newKey(t)
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse("https://ci.example/build")
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now.Add(-2 * time.Minute), NotAfter: now.Add(-time.Minute), // as short-lived ones are
		EmailAddresses: []string{"dev@example.com"}, URIs: []*url.URL{uri},
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte("https://issuer.example")}},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	proof, log := prove(t, signed(t, key, "artifact", leafDER))
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range []struct {
		s  Signer
		ok bool
	}{
		{Signer{Identity: "dev@example.com", Issuer: "https://issuer.example", Roots: roots}, true},
		{Signer{Identity: "dev@example.com", Roots: roots}, false}, // whose word for it?
		{Signer{Identity: "https://ci.example/build", Issuer: "https://issuer.example", Roots: roots}, true},
		{Signer{Fingerprint: fingerprintOf(t, key)}, true},
		{Signer{Identity: "dev@example.co", Issuer: "https://issuer.example", Roots: roots}, false},
		{Signer{Identity: "dev@example.com", Issuer: "https://other.example", Roots: roots}, false},
		{Signer{Identity: "dev@example.com", Issuer: "https://issuer.example", Roots: others}, false},
		{Signer{Identity: "dev@example.com", Issuer: "https://issuer.example"}, false},
	} {
		l := logged{"artifact", proof, Trust{Logs: []checkpoint.Verifier{log}, Signers: []Signer{c.s}}}
		if r := l.verify(t); r.Verified != c.ok {
			t.Errorf("%+v: verified %v: %+v", c.s, r.Verified, r.Failed())
		}
	}
	l := newLogged(t)
	l.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: roots}}
	l.fails(t, "signer") // a bare key
}

// Fulcio's newer extension counts where both are there.
func TestIssuer(t *testing.T) {
	id := func(last int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, last} }
	der, err := asn1.MarshalWithParams("https://new.example", "utf8")
	if err != nil {
		t.Fatal(err)
	}
	old, newer := pkix.Extension{Id: id(1), Value: []byte("https://old.example")}, pkix.Extension{Id: id(8), Value: der}
	for want, extensions := range map[string][]pkix.Extension{
		"": nil, "https://old.example": {old}, "https://new.example": {old, newer},
	} {
		if got := issuer(&x509.Certificate{Extensions: extensions}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := (Signer{Issuer: "https://new.example"}).matchIssuer(""); err == nil {
		t.Error("a certificate without an issuer")
	}
}

func newEnvelope(t testing.TB, payload string, signers ...*ecdsa.PrivateKey) (string, entry.Entry) {
	t.Helper()
	const payloadType = "text/plain"
	digest := sha256.Sum256(entry.PAE(payloadType, []byte(payload)))
	var list []string
	var verifiers []entry.Verifier
	for _, key := range signers {
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		spki, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf(`{"sig":%q}`, base64.StdEncoding.EncodeToString(sig)))
		verifiers = append(verifiers, entry.Verifier{PublicKey: spki})
	}
	envelope := fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[%s]}`,
		payloadType, base64.StdEncoding.EncodeToString([]byte(payload)), strings.Join(list, ","))
	e, err := entry.NewDSSE(entry.DSSE{Envelope: []byte(envelope), Verifiers: verifiers})
	if err != nil {
		t.Fatal(err)
	}
	return envelope, e
}

func TestEnvelopes(t *testing.T) {
	mine, theirs, nobody := newKey(t), newKey(t), newKey(t)
	envelope, e := newEnvelope(t, "statement", mine, theirs)
	proof, log := prove(t, e)
	l := logged{envelope, proof, Trust{Logs: []checkpoint.Verifier{log}}}
	for key, name := range map[*ecdsa.PrivateKey]string{mine: "", theirs: "", nobody: "signer"} {
		l.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, key)}}
		if name != "" {
			l.fails(t, name)
		} else if r := l.verify(t); !r.Verified || r.Kind != entry.KindDSSE {
			t.Errorf("%+v", r)
		}
	}
	l.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, mine)}}
	other, _ := newEnvelope(t, "another", mine, theirs)
	fewer, _ := newEnvelope(t, "statement", mine)
	for _, l.artifact = range []string{other, fewer, "statement", "", "{}", envelope[1:], strings.Replace(envelope, "text/plain", "text/html!", 1)} {
		l.fails(t, "artifact")
	}
}

func FuzzVerify(f *testing.F) {
	l := newLogged(f)
	f.Add(l.proof)
	f.Fuzz(func(t *testing.T, proof []byte) {
		r, err := Verify(strings.NewReader(l.artifact), proof, l.trust)
		if err != nil {
			t.Fatal(err)
		}
		if r.Verified && !bytes.Equal(proof, l.proof) {
			t.Fatalf("%q verifies", proof)
		}
	})
}
