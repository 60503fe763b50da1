package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

// obj is a JSON object.
type obj = map[string]any

// signedIn is an artifact that was signed and logged, with the bundle about it,
// and whom to trust for it. The bundle is kept as an object, for tests to change.
type signedIn struct {
	t        testing.TB
	artifact string
	bundle   obj
	trust    Trust
	log      *checkpoint.KeySigner
	rekorV1  *ecdsa.PrivateKey // the log's other key, where it answers as Rekor v1
	leaves   []merkle.Hash
}

const (
	origin   = "log.example"
	hostName = "rekor.example"
	tree     = 42
	logIndex = 2
)

// signWith makes a key and signs a digest of a message.
func signWith(t testing.TB, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func spkiOf(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// newSigned signs the artifact by Rekor v2; with a certificate, if there is one.
func newSigned(t testing.TB, key *ecdsa.PrivateKey, cert []byte) *signedIn {
	t.Helper()
	s := &signedIn{t: t, artifact: "artifact"}
	sum := sha256.Sum256([]byte(s.artifact))
	e := signed(t, key, s.artifact, cert)
	parsed, err := entry.Parse(e.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	s.bundle = obj{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": material(cert),
		"messageSignature": obj{
			"messageDigest": obj{"algorithm": "SHA2_256", "digest": b64(sum[:])},
			"signature":     b64(parsed.HashedRekord.Signature),
		},
	}
	s.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, key)}}
	s.logIt("hashedrekord", e.Canonical())
	return s
}

func material(cert []byte) obj {
	if cert == nil {
		return obj{"publicKey": obj{"hint": "some key"}}
	}
	return obj{"certificate": obj{"rawBytes": b64(cert)}}
}

// newStatement signs an in-toto statement about the artifact. Rekor v2 logs it
// as a dsse, or, for newer clients, as a hashedrekord of what is signed.
func newStatement(t testing.TB, kind entry.Kind) *signedIn {
	t.Helper()
	return newStatementBy(t, kind, newKey(t), nil)
}

func newStatementBy(t testing.TB, kind entry.Kind, key *ecdsa.PrivateKey, cert []byte) *signedIn {
	t.Helper()
	sum := sha256.Sum256([]byte("artifact"))
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"other","digest":{"sha256":"00"}},{"name":"it","digest":{"sha256":"%x","gitCommit":"aa"}}],"predicateType":"https://example.com/p","predicate":{}}`, sum)
	pae := entry.PAE(inToto, []byte(payload))
	sig, v := signWith(t, key, pae), entry.Verifier{PublicKey: spkiOf(t, key.Public())}
	if cert != nil {
		v = entry.Verifier{Certificate: cert}
	}
	env := obj{"payloadType": inToto, "payload": b64([]byte(payload)), "signatures": []any{obj{"sig": b64(sig)}}}
	var e entry.Entry
	var err error
	if kind == entry.KindDSSE {
		text, _ := json.Marshal(env)
		e, err = entry.NewDSSE(entry.DSSE{Envelope: text, Verifiers: []entry.Verifier{v}})
	} else {
		over := sha256.Sum256(pae)
		e, err = entry.NewHashedRekord(entry.HashedRekord{Digest: over[:], Signature: sig, Verifier: v})
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &signedIn{t: t, artifact: "artifact", bundle: obj{
		"mediaType":            "application/vnd.dev.sigstore.bundle+json;version=0.3",
		"verificationMaterial": material(cert), "dsseEnvelope": env,
	}}
	s.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, key)}}
	s.logIt(string(kind), e.Canonical())
	return s
}

// logIt logs canonical bytes in a log of its own, as Rekor v2 does.
func (s *signedIn) logIt(kind string, body []byte) {
	s.t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.log, err = checkpoint.NewSigner(origin, key); err != nil {
		s.t.Fatal(err)
	}
	s.trust.Logs = []checkpoint.Verifier{s.log.Verifier()}
	s.leaves = []merkle.Hash{{1}, {2}, merkle.LeafHash(body), {4}}
	id := sha256.Sum256(append([]byte(origin+"\n\x01"), pub...))
	s.material()["tlogEntries"] = []any{obj{
		"logIndex": strconv.Itoa(logIndex), "logId": obj{"keyId": b64(id[:])}, "kindVersion": obj{"kind": kind, "version": "0.0.2"},
		"inclusionProof": s.proof(origin, s.log), "canonicalizedBody": b64(body),
	}}
}

func (s *signedIn) proof(name string, signer checkpoint.Signer) obj {
	s.t.Helper()
	root, between := s.root(), merkle.NodeHash(s.leaves[0], s.leaves[1])
	return obj{
		"logIndex": strconv.Itoa(logIndex), "treeSize": "4", "rootHash": b64(root[:]),
		"hashes":     []any{b64(s.leaves[3][:]), b64(between[:])},
		"checkpoint": obj{"envelope": s.note(name, signer, root)},
	}
}

func (s *signedIn) root() merkle.Hash {
	edge, _ := merkle.Edge{}.Append(s.leaves)
	return edge.Root()
}

// note signs a checkpoint, with what extends it. Rekor v1's has another first
// line than its key.
func (s *signedIn) note(name string, signer checkpoint.Signer, root merkle.Hash, extension ...string) string {
	s.t.Helper()
	text := fmt.Sprintf("%s\n4\n%s\n%s", name, b64(root[:]), strings.Join(extension, ""))
	sig, err := signer.Sign([]byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	n := checkpoint.Note{Text: []byte(text), Signatures: []checkpoint.Signature{{Name: signer.Name(), KeyID: signer.KeyHash(), Blob: sig}}}
	return string(n.Marshal())
}

func (s *signedIn) material() obj { return s.bundle["verificationMaterial"].(obj) }

func (s *signedIn) entry() obj { return s.material()["tlogEntries"].([]any)[0].(obj) }

func (s *signedIn) inclusion() obj { return s.entry()["inclusionProof"].(obj) }

func (s *signedIn) checkpoint() obj { return s.inclusion()["checkpoint"].(obj) }

// witnessed has three witnesses cosign at these times, of which a policy asks for
// two. A witness does not at a negative time.
func (s *signedIn) witnessed(at ...int64) {
	s.t.Helper()
	text := "log " + s.log.Verifier().String() + "\n"
	note := []byte(s.checkpoint()["envelope"].(string))
	o, err := checkpoint.Open(note, s.trust.Logs)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, seconds := range at {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			s.t.Fatal(err)
		}
		w, err := checkpoint.NewCosigner(fmt.Sprintf("w%d.example", i), key)
		if err != nil {
			s.t.Fatal(err)
		}
		text += fmt.Sprintf("witness w%d %s\n", i, w.Verifier())
		if seconds < 0 {
			continue
		}
		sig, err := w.Cosign(o.Checkpoint, max(1, seconds))
		if err != nil {
			s.t.Fatal(err)
		}
		if seconds == 0 { // which a Cosigner does not sign
			message := append([]byte("cosignature/v1\ntime 0\n"), o.Checkpoint.Text()...)
			sig.Blob = append(make([]byte, 8), ed25519.Sign(key, message)...)
		}
		if note, _, err = checkpoint.AddCosignatures(note, []checkpoint.Verifier{w.Verifier()}, sig); err != nil {
			s.t.Fatal(err)
		}
	}
	policy, err := checkpoint.ParsePolicy([]byte(text + "group two 2 w0 w1 w2\nquorum two\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkpoint()["envelope"] = string(note)
	s.trust.Logs, s.trust.Policy = nil, policy
}

// toRekorV1 has the log answer as Rekor v1, with a promise at a time.
func (s *signedIn) toRekorV1(body []byte, kind, version string, at int64) {
	s.t.Helper()
	s.rekorV1 = newKey(s.t)
	s.leaves[logIndex] = merkle.LeafHash(body)
	id := sha256.Sum256(spkiOf(s.t, s.rekorV1.Public()))
	s.material()["tlogEntries"] = []any{obj{
		// The index of all shards is not the proof's.
		"logIndex": strconv.Itoa(1000 + logIndex), "logId": obj{"keyId": b64(id[:])}, "kindVersion": obj{"kind": kind, "version": version},
		"integratedTime": strconv.FormatInt(at, 10), "inclusionPromise": s.promise(body, at, 1000+logIndex),
		"inclusionProof": s.proof(fmt.Sprintf("%s - %d", hostName, tree), s.signerV1()), "canonicalizedBody": b64(body),
	}}
	s.trust.Logs, s.trust.BareKeys = nil, []crypto.PublicKey{s.rekorV1.Public()}
}

func (s *signedIn) signerV1() *checkpoint.KeySigner {
	s.t.Helper()
	signer, err := checkpoint.NewSigner(hostName, s.rekorV1)
	if err != nil {
		s.t.Fatal(err)
	}
	return signer
}

// promise is Rekor v1's word for an entry.
func (s *signedIn) promise(body []byte, at, index int64) obj {
	s.t.Helper()
	id := sha256.Sum256(spkiOf(s.t, s.rekorV1.Public()))
	text := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":"%x","logIndex":%d}`, b64(body), at, id, index)
	return obj{"signedEntryTimestamp": b64(signWith(s.t, s.rekorV1, []byte(text)))}
}

// newRekorV1 is newSigned by Rekor v1.
func newRekorV1(t testing.TB, key *ecdsa.PrivateKey, cert []byte, at int64) *signedIn {
	t.Helper()
	s := newSigned(t, key, cert)
	verifier := signerV1{t, key}.pem()
	if cert != nil {
		verifier = b64(certPEM(cert))
	}
	sum := sha256.Sum256([]byte(s.artifact))
	e, err := entry.NewRekorV1(fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`,
		sum, s.bundle["messageSignature"].(obj)["signature"], verifier))
	if err != nil {
		t.Fatal(err)
	}
	s.toRekorV1(e.Canonical(), "hashedrekord", "0.0.1", at)
	return s
}

// newEnvelopeV1 is newStatement by Rekor v1, as a dsse or an intoto.
func newEnvelopeV1(t testing.TB, kind string) *signedIn {
	t.Helper()
	return newEnvelopeBy(t, kind, newKey(t), nil, 1_700_000_000)
}

func newEnvelopeBy(t testing.TB, kind string, key *ecdsa.PrivateKey, cert []byte, at int64) *signedIn {
	t.Helper()
	s := newStatementBy(t, entry.KindDSSE, key, cert)
	env := s.bundle["dsseEnvelope"].(obj)
	payload, _ := base64.StdEncoding.DecodeString(env["payload"].(string))
	sig := b64(signWith(t, key, entry.PAE(inToto, payload)))
	env["signatures"] = []any{obj{"sig": sig}}
	verifier := signerV1{t, key}.pem()
	if cert != nil {
		verifier = b64(certPEM(cert))
	}
	text, _ := json.Marshal(env)
	proposed, version := "", "0.0.1"
	if kind == "dsse" {
		proposed = fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"dsse","spec":{"proposedContent":{"envelope":%q,"verifiers":["%s"]}}}`, text, verifier)
	} else {
		version = "0.0.2"
		proposed = fmt.Sprintf(`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":%q,"payload":"%s","signatures":[{"sig":"%s","publicKey":"%s"}]},"hash":{"algorithm":"sha256","value":"%x"},"payloadHash":{"algorithm":"sha256","value":"%x"}}}}`,
			inToto, b64([]byte(env["payload"].(string))), b64([]byte(sig)), verifier, sha256.Sum256(text), sha256.Sum256(payload))
	}
	e, err := entry.NewRekorV1([]byte(proposed))
	if err != nil {
		t.Fatal(err)
	}
	s.toRekorV1(e.Canonical(), kind, version, at)
	return s
}

func (s *signedIn) data() []byte {
	s.t.Helper()
	data, err := json.Marshal(s.bundle)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

func (s *signedIn) verify() Result {
	s.t.Helper()
	r, err := VerifyBundle(strings.NewReader(s.artifact), s.data(), s.trust)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *signedIn) verifies() Result {
	s.t.Helper()
	r := s.verify()
	if !r.Verified || r.Failed() != nil || r.Index != logIndex || r.Size != 4 {
		s.t.Fatalf("%+v", r)
	}
	return r
}

// fails demands that one check fails, for a reason, and that no check comes
// after it.
func (s *signedIn) fails(name, reason string) {
	s.t.Helper()
	r := s.verify()
	f := r.Failed()
	if r.Verified || f == nil || f.Name != name || !strings.Contains(f.Detail, reason) {
		s.t.Errorf("the %s check should fail, of %q: verified %v, %+v", name, reason, r.Verified, r.Checks)
		return
	}
	haveCodes(s.t, r)
	var names []string
	failed := false
	for _, c := range r.Checks {
		if names = append(names, c.Name); failed && c.State != NotChecked {
			s.t.Errorf("after the %s check failed, the %s check %s", name, c.Name, c.State)
		}
		failed = failed || c.State == Failed
	}
	for _, name := range bundleChecks() {
		if !slices.Contains(names, name) {
			s.t.Errorf("nothing is said of the %s check", name)
		}
	}
}

func states(r Result) string {
	var list []string
	for _, c := range r.Checks {
		list = append(list, fmt.Sprint(c.Name, " ", c.State))
	}
	return strings.Join(list, ", ")
}

func TestBundles(t *testing.T) {
	const all = "bundle passed, entry passed, artifact passed, signature passed, checkpoint passed, witnesses not checked, inclusion passed, "
	for name, s := range map[string]*signedIn{
		"hashedrekord 0.0.2": newSigned(t, newKey(t), nil),
		"of an envelope":     newStatement(t, entry.KindHashedRekord),
		"dsse 0.0.2":         newStatement(t, entry.KindDSSE),
		"hashedrekord 0.0.1": newRekorV1(t, newKey(t), nil, 1_700_000_000),
		"dsse 0.0.1":         newEnvelopeV1(t, "dsse"),
		"intoto 0.0.2":       newEnvelopeV1(t, "intoto"),
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			want, seconds := all+"time not checked, timestamp not checked, signer passed", int64(0)
			if s.trust.BareKeys != nil {
				want, seconds = all+"time passed, timestamp not checked, signer passed", 1_700_000_000
			}
			if r := s.verifies(); states(r) != want || r.Time != seconds {
				t.Errorf("%s; time %d", states(r), r.Time)
			}
			s.artifact = "another"
			s.fails("artifact", "not the artifact that was signed")
		})
	}
}

func TestBundleWitnesses(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	s.witnessed(300, 100, 200)
	if r := s.verifies(); r.Time != 200 || !strings.Contains(states(r), "witnesses passed, inclusion passed, time passed") {
		t.Errorf("two of the three had signed by 200: %d, %s", r.Time, states(r))
	}
	// Without one there are two, without two there is one.
	drop := func(name string) {
		var kept []string
		for line := range strings.Lines(s.checkpoint()["envelope"].(string)) {
			if !strings.Contains(line, name) {
				kept = append(kept, line)
			}
		}
		s.checkpoint()["envelope"] = strings.Join(kept, "")
	}
	drop("w1.example")
	if r := s.verifies(); r.Time != 300 {
		t.Errorf("two had signed by 300: %d", r.Time)
	}
	drop("w2.example")
	s.fails("witnesses", "")

	s = newSigned(t, newKey(t), nil)
	s.witnessed(-1, 100, -1)
	s.fails("witnesses", "")
	s = newSigned(t, newKey(t), nil)
	s.witnessed(0, 0, 100)
	if r := s.verifies(); r.Time != 0 {
		t.Errorf("a cosignature without a time is of %d", r.Time)
	}
}

func TestBundleOfRekorV1UnderAPolicy(t *testing.T) {
	s := newRekorV1(t, newKey(t), nil, 1)
	keys := s.trust.BareKeys
	v, err := checkpoint.NewVerifier(hostName, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	policy := func(rest string) *checkpoint.Policy {
		p, err := checkpoint.ParsePolicy([]byte("log " + v.String() + "\n" + rest))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.trust.BareKeys, s.trust.Policy = nil, policy("quorum none\n")
	s.verifies()
	for _, s.trust.BareKeys = range [][]crypto.PublicKey{nil, keys} {
		s.trust.Policy = policy("witness w " + cosignerKey(pub) + "\nquorum w\n")
		s.fails("witnesses", "checkpoints of Rekor v1 carry no witnesses' cosignatures")
	}
	s.trust.Policy, s.trust.BareKeys, s.trust.Logs = nil, nil, []checkpoint.Verifier{v}
	s.verifies()
	s.trust.Logs[0], err = checkpoint.NewVerifier("other.example", keys[0])
	if err != nil {
		t.Fatal(err)
	}
	s.fails("checkpoint", `a vkey of the name "rekor.example", was not given`)
}

// A log's key in PEM is of any log that signs with it.
func TestBareKeys(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	s.trust.BareKeys, s.trust.Logs = []crypto.PublicKey{s.log.Verifier().PublicKey()}, nil
	s.verifies()
	s.trust.BareKeys = []crypto.PublicKey{newSigned(t, newKey(t), nil).log.Verifier().PublicKey()}
	s.fails("checkpoint", "no log that you trust signed")
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.trust.BareKeys = []crypto.PublicKey{p224.Public()}
	if _, err := VerifyBundle(strings.NewReader(""), s.data(), s.trust); !errors.Is(err, ErrNoTrust) {
		t.Errorf("a key of no log: %v", err)
	}
}

func TestBundleWithNobodyToTrust(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	for _, trust := range []Trust{{}, {Logs: s.trust.Logs}, {Signers: s.trust.Signers}, {Policy: &checkpoint.Policy{}, Signers: s.trust.Signers}} {
		if r, err := VerifyBundle(strings.NewReader(s.artifact), s.data(), trust); !errors.Is(err, ErrNoTrust) || r.Verified {
			t.Errorf("%+v: %v", trust, err)
		}
	}
	bad := errors.New("disk error")
	if _, err := VerifyBundle(iotest.ErrReader(bad), s.data(), s.trust); !errors.Is(err, bad) {
		t.Errorf("an artifact that cannot be read: %v", err)
	}
}

// flipped changes a bit of base64 bytes.
func flipped(v any) string {
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		panic(err)
	}
	b[len(b)/2] ^= 1
	return b64(b)
}

// flip is a change of one member's bytes.
func flip(o func(*signedIn) obj, name string) func(s, other *signedIn) {
	return func(s, _ *signedIn) { o(s)[name] = flipped(o(s)[name]) }
}

func set(o func(*signedIn) obj, name string, value any) func(s, other *signedIn) {
	return func(s, _ *signedIn) { o(s)[name] = value }
}

func within(o func(*signedIn) obj, name string) func(*signedIn) obj {
	return func(s *signedIn) obj { return o(s)[name].(obj) }
}

func whole(s *signedIn) obj { return s.bundle }

// line changes the base64 at the end of a line of the checkpoint.
func line(n int) func(s, other *signedIn) {
	return func(s, _ *signedIn) {
		lines := strings.Split(s.checkpoint()["envelope"].(string), "\n")
		at := strings.LastIndexByte(lines[n], ' ') + 1
		lines[n] = lines[n][:at] + flipped(lines[n][at:])
		s.checkpoint()["envelope"] = strings.Join(lines, "\n")
	}
}

// tampering is a change of one thing, and the check that finds it.
type tampering struct {
	change func(s, other *signedIn)
	check  string
	reason string
}

func tamperings() map[string]tampering {
	inclusion, entryOf := (*signedIn).inclusion, (*signedIn).entry
	return map[string]tampering{
		"mediaType":          {set(whole, "mediaType", "application/vnd.dev.sigstore.bundle.v0.4+json"), "bundle", "mediaType"},
		"no mediaType":       {func(s, _ *signedIn) { delete(s.bundle, "mediaType") }, "bundle", "--new-bundle-format"},
		"a member more":      {set(whole, "more", 1), "bundle", `"more"`},
		"one of the entry's": {set(entryOf, "More", 1), "bundle", `tlogEntries[0] has a member "More"`},
		"no proof":           {func(s, _ *signedIn) { delete(s.entry(), "inclusionProof") }, "bundle", "inclusionProof is missing"},
		"no checkpoint":      {func(s, _ *signedIn) { delete(s.inclusion(), "checkpoint") }, "bundle", "checkpoint.envelope is missing"},
		"no entries":         {func(s, _ *signedIn) { s.material()["tlogEntries"] = []any{} }, "bundle", "was not logged"},
		"entries null":       {set((*signedIn).material, "tlogEntries", nil), "bundle", "was not logged"},
		"an entry twice":     {func(s, _ *signedIn) { s.material()["tlogEntries"] = []any{s.entry(), s.entry()} }, "bundle", "twice, as number 1 and 2"},
		"a promise alone": {func(s, _ *signedIn) {
			delete(s.entry(), "inclusionProof")
			s.entry()["inclusionPromise"] = obj{"signedEntryTimestamp": "AAAA"}
		}, "bundle", "inclusionProof is missing"},
		"logId, too long":     {set(within(entryOf, "logId"), "keyId", strings.Repeat("AAAA", 1000)), "checkpoint", "logId"},
		"no signer":           {func(s, _ *signedIn) { delete(s.material(), "publicKey") }, "bundle", "must have one of"},
		"kind":                {set(within(entryOf, "kindVersion"), "kind", "rekord"), "entry", `says that the entry is a "rekord"`},
		"version":             {set(within(entryOf, "kindVersion"), "version", "0.0.3"), "entry", "0.0.3"},
		"body, a bit":         {flip(entryOf, "canonicalizedBody"), "entry", ""},
		"body, of another":    {func(s, o *signedIn) { s.entry()["canonicalizedBody"] = o.entry()["canonicalizedBody"] }, "entry", "another signature than the bundle"},
		"entry, of another":   {func(s, o *signedIn) { s.material()["tlogEntries"] = o.material()["tlogEntries"] }, "entry", "another signature than the bundle"},
		"proof's index":       {set(inclusion, "logIndex", "1"), "*", ""},
		"treeSize":            {set(inclusion, "treeSize", "5"), "checkpoint", "treeSize is 5"},
		"rootHash":            {flip(inclusion, "rootHash"), "checkpoint", "rootHash"},
		"a hash":              {func(s, _ *signedIn) { h := s.inclusion()["hashes"].([]any); h[0] = flipped(h[0]) }, "inclusion", ""},
		"a hash less":         {func(s, _ *signedIn) { s.inclusion()["hashes"] = s.inclusion()["hashes"].([]any)[1:] }, "inclusion", ""},
		"logId":               {flip(within(entryOf, "logId"), "keyId"), "checkpoint", "logId"},
		"checkpoint's root":   {line(2), "checkpoint", ""},
		"log's signature":     {line(4), "checkpoint", ""},
		"checkpoint of other": {func(s, o *signedIn) { s.checkpoint()["envelope"] = o.checkpoint()["envelope"] }, "checkpoint", ""},
		"no witness asked": {func(s, _ *signedIn) {
			delete(s.entry(), "inclusionPromise")
			s.entry()["integratedTime"] = "1"
			s.trust.Signers = []Signer{{Fingerprint: "SHA256:00"}}
		}, "*", ""},
		"signer": {func(s, o *signedIn) { s.trust.Signers = o.trust.Signers }, "signer", "not signed by anybody you trust"},
		"log":    {func(s, o *signedIn) { s.trust.Logs, s.trust.BareKeys = o.trust.Logs, o.trust.BareKeys }, "checkpoint", "no log that you trust"},
	}
}

func ofMessages() map[string]tampering {
	message := within(whole, "messageSignature")
	return map[string]tampering{
		"signature":         {flip(message, "signature"), "entry", "its signature is not the bundle's"},
		"digest":            {flip(within(message, "messageDigest"), "digest"), "entry", "its digest is"},
		"algorithm":         {set(within(message, "messageDigest"), "algorithm", "SHA2_512"), "entry", "SHA2_512"},
		"content of other":  {func(s, o *signedIn) { s.bundle["messageSignature"] = o.bundle["messageSignature"] }, "entry", "its signature is not the bundle's"},
		"no signature":      {set(message, "signature", ""), "bundle", "messageSignature.signature is missing"},
		"no content":        {func(s, _ *signedIn) { delete(s.bundle, "messageSignature") }, "bundle", "neither"},
		"an envelope too":   {set(whole, "dsseEnvelope", obj{}), "bundle", "both"},
		"a certificate too": {set((*signedIn).material, "certificate", obj{"rawBytes": ""}), "bundle", "must have one of"},
	}
}

func ofEnvelopes() map[string]tampering {
	envelope := within(whole, "dsseEnvelope")
	signature := func(s *signedIn) obj { return envelope(s)["signatures"].([]any)[0].(obj) }
	return map[string]tampering{
		"payload":        {flip(envelope, "payload"), "entry", "another signature than the bundle"},
		"sig":            {flip(signature, "sig"), "entry", "its signature is not the envelope's"},
		"keyid":          {set(signature, "keyid", "another"), "bundle", "keyid"},
		"two signatures": {func(s, _ *signedIn) { envelope(s)["signatures"] = []any{signature(s), signature(s)} }, "bundle", "2 signatures"},
		"no signature":   {set(envelope, "signatures", []any{}), "bundle", "0 signatures"},
		"no sig":         {set(signature, "sig", ""), "bundle", "sig is missing"},
		"payloadType":    {set(envelope, "payloadType", "text/plain"), "*", ""},
		"envelope of other": {func(s, o *signedIn) {
			s.bundle["dsseEnvelope"] = o.bundle["dsseEnvelope"]
		}, "entry", "its signature is not the envelope's"},
	}
}

func ofPromises() map[string]tampering {
	return map[string]tampering{
		"promise":        {flip(within((*signedIn).entry, "inclusionPromise"), "signedEntryTimestamp"), "time", "promise"},
		"integratedTime": {set((*signedIn).entry, "integratedTime", "1700000001"), "time", "promise"},
		"logIndex":       {set((*signedIn).entry, "logIndex", "7"), "time", "promise"},
		"promise of another entry": {func(s, o *signedIn) {
			body, err := base64.StdEncoding.DecodeString(o.entry()["canonicalizedBody"].(string))
			if err != nil {
				panic(err)
			}
			s.entry()["inclusionPromise"] = s.promise(body, 1_700_000_000, 1000+logIndex)
		}, "time", "promise"},
		"promise by another log": {func(s, o *signedIn) { s.entry()["inclusionPromise"] = o.entry()["inclusionPromise"] }, "time", "promise"},
		"empty promise":          {set(within((*signedIn).entry, "inclusionPromise"), "signedEntryTimestamp", ""), "bundle", "signedEntryTimestamp is missing"},
	}
}

func ofRekorV2() map[string]tampering {
	return map[string]tampering{
		"integratedTime": {set((*signedIn).entry, "integratedTime", "1"), "time", "nothing that this log signs"},
		"promise":        {set((*signedIn).entry, "inclusionPromise", obj{"signedEntryTimestamp": "AAAA"}), "time", "nothing that this log signs"},
		"logIndex":       {set((*signedIn).entry, "logIndex", "7"), "checkpoint", "logIndex is 7"},
	}
}

// TestTampering changes one thing at a time. "*" is any check.
func TestTampering(t *testing.T) {
	for name, made := range map[string]func() *signedIn{
		"hashedrekord 0.0.2": func() *signedIn { return newSigned(t, newKey(t), nil) },
		"of an envelope":     func() *signedIn { return newStatement(t, entry.KindHashedRekord) },
		"dsse 0.0.2":         func() *signedIn { return newStatement(t, entry.KindDSSE) },
		"hashedrekord 0.0.1": func() *signedIn { return newRekorV1(t, newKey(t), nil, 1_700_000_000) },
		"dsse 0.0.1":         func() *signedIn { return newEnvelopeV1(t, "dsse") },
		"intoto 0.0.2":       func() *signedIn { return newEnvelopeV1(t, "intoto") },
	} {
		s := made()
		tables := []map[string]tampering{tamperings()}
		if _, ok := s.bundle["dsseEnvelope"]; ok {
			tables = append(tables, ofEnvelopes())
		} else {
			tables = append(tables, ofMessages())
		}
		if s.trust.BareKeys != nil {
			tables = append(tables, ofPromises())
		} else {
			tables = append(tables, ofRekorV2())
		}
		for _, table := range tables {
			for what, c := range table {
				t.Run(name+"/"+what, func(t *testing.T) {
					s, other := made(), made()
					s.t = t
					c.change(s, other)
					if c.check != "*" {
						s.fails(c.check, c.reason)
					} else if s.verify().Verified {
						t.Error("it verifies")
					}
				})
			}
		}
	}
}

// authority issues certificates. Its own is as old as need be.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, from, to time.Time) authority {
	t.Helper()
	a := authority{t: t, key: newKey(t)}
	a.cert = a.issue(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key.Public())
	return a
}

func (a authority) issue(c *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, a.key)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// shortLived certifies a key for ten minutes from then.
func (a authority) shortLived(key *ecdsa.PrivateKey, serial int64, from time.Time) *x509.Certificate {
	a.t.Helper()
	return a.issue(&x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: from, NotAfter: from.Add(10 * time.Minute), EmailAddresses: []string{"dev@example.com"},
	}, key.Public())
}

func TestBundleCertificates(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	cert := ca.shortLived(key, 2, from)
	who := []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
	at := func(d time.Duration) int64 { return from.Add(d).Unix() }
	rekorV1 := func(d time.Duration) *signedIn { return newRekorV1(t, key, cert.Raw, at(d)) }
	witnessed := func(times ...int64) *signedIn {
		s := newSigned(t, key, cert.Raw)
		s.witnessed(times...)
		return s
	}
	late, soon := at(11*time.Minute), at(time.Minute)
	for name, c := range map[string]struct {
		s      *signedIn
		reason string // for which it is refused
	}{
		"v1, in time":                {rekorV1(0), ""},
		"v1, at the end":             {rekorV1(10 * time.Minute), ""},
		"v1, too late":               {rekorV1(10*time.Minute + time.Second), "was not at the proven time"},
		"v1, too early":              {rekorV1(-time.Second), "was not at the proven time"},
		"v2 alone":                   {newSigned(t, key, cert.Raw), "nothing proves that it signed by then"},
		"witnesses, in time":         {witnessed(soon, soon, soon), ""},
		"witnesses, one later":       {witnessed(soon, late, soon), ""},
		"witnesses, one backdates":   {witnessed(late, soon, late), "was not at the proven time"},
		"witnesses, without a time":  {witnessed(0, 0, 0), "nothing proves that it signed by then"},
		"witnesses, before its time": {witnessed(1, 1, 1), "was not at the proven time"},
	} {
		t.Run(name, func(t *testing.T) {
			c.s.t, c.s.trust.Signers = t, who
			if c.reason != "" {
				c.s.fails("signer", c.reason)
			} else {
				c.s.verifies()
			}
			// Whoever trusts the key itself asks for no time.
			c.s.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, key)}}
			c.s.verifies()
		})
	}
}

// The promise that makes a certificate good must be there.
func TestPromiseThatIsMissing(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	s := newRekorV1(t, key, ca.shortLived(key, 2, from).Raw, from.Unix())
	delete(s.entry(), "inclusionPromise")
	if r := s.verifies(); r.Time != 0 {
		t.Errorf("time %d", r.Time)
	}
	s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
	s.fails("signer", "lacks the promise")
}

// An authority that was no more when the entry was logged vouches for nothing.
func TestAuthorityThatExpired(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(5*time.Minute)), newKey(t)
	cert := ca.shortLived(key, 2, from)
	for minutes, reason := range map[time.Duration]string{4: "", 6: "was not at the proven time"} {
		s := newRekorV1(t, key, cert.Raw, from.Add(minutes*time.Minute).Unix())
		s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
		if reason == "" {
			s.verifies()
		} else {
			s.fails("signer", reason)
		}
	}
}

// A bundle's certificate must be the one that was logged: another of the same key
// may be somebody else's.
func TestOtherCertificate(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	s := newSigned(t, key, ca.shortLived(key, 2, from).Raw)
	s.material()["certificate"] = obj{"rawBytes": b64(ca.shortLived(key, 3, from).Raw)}
	s.fails("entry", "its certificate, of dev@example.com, has the SHA-256")
	s.material()["certificate"] = obj{"rawBytes": b64(ca.issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(10 * time.Minute), EmailAddresses: []string{"other@example.com"},
	}, key.Public()).Raw)}
	s.fails("entry", "and the bundle's, of other@example.com,")
	delete(s.material(), "certificate")
	s.material()["publicKey"] = obj{"hint": "x"}
	s.fails("entry", "which the bundle lacks")
	s = newSigned(t, key, nil)
	delete(s.material(), "publicKey")
	s.material()["certificate"] = obj{"rawBytes": b64(ca.shortLived(key, 3, from).Raw)}
	s.fails("entry", "by a bare key")
	s.material()["certificate"] = obj{"rawBytes": "AAAA"}
	s.fails("bundle", "is no certificate")
}

// Bundles of versions 0.1 and 0.2 have chains, which may lead to the root.
func TestChains(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	root := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour))
	between := authority{t: t, key: newKey(t)}
	between.cert = root.issue(&x509.Certificate{
		SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "between"}, NotBefore: from.Add(-time.Minute), NotAfter: from.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, between.key.Public())
	key := newKey(t)
	leaf := between.shortLived(key, 6, from)
	s := newRekorV1(t, key, leaf.Raw, from.Unix())
	s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: root.pool()}}
	s.fails("signer", "does not come from a trusted authority")
	chain := func(certs ...*x509.Certificate) obj {
		var list []any
		for _, c := range certs {
			list = append(list, obj{"rawBytes": b64(c.Raw)})
		}
		return obj{"certificates": list}
	}
	delete(s.material(), "certificate")
	s.material()["x509CertificateChain"] = chain(leaf, between.cert)
	s.fails("bundle", "not for bundles of version 0.3")
	for _, version := range []string{"0.1", "0.2"} {
		s.bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=" + version
		s.verifies()
	}
	s.material()["x509CertificateChain"] = chain(between.cert, leaf)
	s.fails("entry", "its certificate, of dev@example.com,")
	s.material()["x509CertificateChain"] = chain()
	s.fails("bundle", "certificates is missing")
}

// Of several entries one must pass all checks by itself.
func TestSeveralEntries(t *testing.T) {
	s, other := newSigned(t, newKey(t), nil), newSigned(t, newKey(t), nil)
	mine, theirs := s.entry(), other.entry()
	for _, list := range [][]any{{mine, theirs}, {theirs, mine}} {
		s.material()["tlogEntries"] = list
		if r := s.verifies(); !strings.Contains(r.Checks[0].Detail, "of its 2 entries") {
			t.Error(r.Checks[0].Detail)
		}
	}
	s.material()["tlogEntries"] = []any{theirs, newSigned(t, newKey(t), nil).entry()}
	s.fails("entry", "another signature")
	s.material()["tlogEntries"] = []any{theirs, mine, mine}
	s.fails("bundle", "twice, as number 2 and 3")
	s.material()["tlogEntries"] = slices.Repeat([]any{mine}, 1000)
	s.fails("bundle", "tlogEntries has more than 32 elements")
}

func TestSubjects(t *testing.T) {
	d, err := digest(strings.NewReader("artifact"))
	if err != nil {
		t.Fatal(err)
	}
	statement := func(subjects string) []byte {
		return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v0.1","subject":[%s],"predicate":{"a":1}}`, subjects)
	}
	of := func(set string) []byte { return statement(`{"name":"n","digest":{` + set + `}}`) }
	for text, ok := range map[string]bool{
		string(of(fmt.Sprintf(`"sha256":"%x"`, d.sha256))):                                                          true,
		string(of(fmt.Sprintf(`"sha384":"%x"`, d.sha384))):                                                          true,
		string(of(fmt.Sprintf(`"sha512":"%X"`, d.sha512))):                                                          true,
		string(of(fmt.Sprintf(`"sha256":"%x","sha512":"%x","sha1":"00"`, d.sha256, d.sha512))):                      true,
		string(of(fmt.Sprintf(`"sha256":"%x","sha512":"00"`, d.sha256))):                                            false,
		string(of(fmt.Sprintf(`"SHA2_256":"%x"`, d.sha256))):                                                        false,
		string(of(fmt.Sprintf(`"256":"%x"`, d.sha256))):                                                             false,
		string(of(`"sha1":"00"`)):                                                                                   false,
		string(of(``)):                                                                                              false,
		string(of(fmt.Sprintf(`"sha256":"00","sha256":"%x"`, d.sha256))):                                            false,
		string(of(fmt.Sprintf(`"sha256":["%x"]`, d.sha256))):                                                        false,
		string(statement(``)):                                                                                       false,
		fmt.Sprintf(`{"subject":[{"digest":{"sha256":"%x"}}]}`, d.sha256):                                           false,
		fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","Subject":[{"digest":{"sha256":"%x"}}]}`, d.sha256): false,
		"": false, "[]": false,
	} {
		if _, err := subjectOf([]byte(text), d); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// An envelope of anything but a statement is of its payload.
func TestEnvelopeOfAnythingElse(t *testing.T) {
	e := envelope{payloadType: "text/plain", payload: []byte("artifact")}
	for artifact, ok := range map[string]bool{"artifact": true, "artefact": false} {
		d, err := digest(strings.NewReader(artifact))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.isAbout(d); (err == nil) != ok {
			t.Errorf("%s: %v", artifact, err)
		}
	}
}

func TestMalformedBundles(t *testing.T) {
	good := string(newSigned(t, newKey(t), nil).data())
	if _, err := parseBundle([]byte(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := parseBundle([]byte(" " + strings.ReplaceAll(good, `,"`, " ,\n\t\"") + "\n")); err != nil {
		t.Errorf("with white space: %v", err)
	}
	replace := func(old, by string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(good, old, by, 1)
	}
	for text, reason := range map[string]string{
		"":                                    "is not a JSON object",
		"[]":                                  "is not a JSON object",
		"{":                                   "ends too soon",
		"\xff":                                "UTF-8",
		good + "{}":                           "more after its end",
		good[:len(good)-1]:                    "ends too soon",
		replace(`"mediaType"`, `"mediatype"`): "has no mediaType",
		replace(`"logIndex":"2","rootHash"`, `"logIndex":"2","logIndex":"1","rootHash"`): `has the member "logIndex" twice`,
		replace(`"logIndex":"2"`, `"logIndex":2`):                                        "logIndex is not a string",
		replace(`"logIndex":"2"`, `"logIndex":""`):                                       "shortest form",
		replace(`"logIndex":"2"`, `"logIndex":"02"`):                                     "shortest form",
		replace(`"logIndex":"2"`, `"logIndex":"-2"`):                                     "shortest form",
		replace(`"logIndex":"2"`, `"logIndex":"9223372036854775808"`):                    "shortest form",
		replace(`"hint":"some key"`, `"hint":{}`):                                        "hint is not a string",
		replace(`"hashes":["`, `"hashes":[1,"`):                                          "hashes[0] is not a string",
		replace(`"hashes":["`, `"hashes":["AAAA","`):                                     "hashes[0] has 3 bytes",
		replace(`"keyId":"`, `"keyId":"\n`):                                              "base64",
		replace(`"keyId":"`, `"keyId":"-_`):                                              "base64",
		replace(`"signature":"`, `"signature":"=`):                                       "base64",
		replace(`"tlogEntries":[`, `"tlogEntries":["a",`):                                "tlogEntries[0] is not a JSON object",
		replace(`"tlogEntries":[`, `"tlogEntries":{},"a":[`):                             "tlogEntries is not a list",
		replace(`"hint":"some key"`, `"hint":"some key","Hint":"x"`):                     `has a member "Hint"`,
		replace(`"mediaType":`, `"media_type":"","mediaType":`):                          `has a member "media_type"`,
		replace(`"hint":"some key"`, `"hint":"\ud800"`):                                  "half a surrogate pair",
		replace(`"hint":"some key"`, `"\ud800":0,"\udfff":0`):                            "twice",
		replace(`"hint":"some key"`, `"hint":`+strings.Repeat("[", 20_000)):              "depth",
		manyMembers(): "more than 100 members",
		`{"a":` + strings.Repeat(`{"a":`, (MaxBundle-5)/5): "depth",
		strings.Repeat(" ", MaxBundle) + good:              "over",
	} {
		if _, err := parseBundle([]byte(text)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.200s: %v, not %s", text, err, reason)
		}
	}
}

func manyMembers() string {
	var text strings.Builder
	for i := range maxMembers + 1 {
		fmt.Fprintf(&text, `"%d":0,`, i)
	}
	return "{" + text.String() + `"a":0}`
}

func TestBundleOrigins(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	s.material()["tlogEntries"] = []any{s.entry(), newSigned(t, newKey(t), nil).entry(), newRekorV1(t, newKey(t), nil, 1).entry()}
	names, err := BundleOrigins(s.data())
	if err != nil || !slices.Equal(names, []string{origin, "rekor.example - 42"}) {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := BundleOrigins([]byte("{}")); err == nil {
		t.Error("of no bundle")
	}
}

func TestHostV1(t *testing.T) {
	for name, want := range map[string]string{
		"rekor.example - 1": "rekor.example", "a - b - 12": "a - b", "rekor.example": "", "rekor.example - ": "", "rekor.example - 1a": "", "rekor.example -1": "",
	} {
		if host, ok := hostV1(name); ok != (want != "") || ok && host != want {
			t.Errorf("%q: %q, %v", name, host, ok)
		}
	}
}
