package entry

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// counted is a Work that counts, and stops after some steps.
type counted struct {
	steps, cost int
	stopAfter   int // 0: never
}

var errStop = errors.New("the client is gone")

func (c *counted) work(cost int, do func()) error {
	if c.stopAfter > 0 && c.steps == c.stopAfter {
		return errStop
	}
	c.steps, c.cost = c.steps+1, c.cost+cost
	do()
	return nil
}

// party is a key that signs an envelope, and how it does that in version 0.0.2.
type party struct {
	crypto.Signer
	details KeyDetails
}

func parties(t testing.TB, details KeyDetails, n int) (all []party) {
	for range n {
		all = append(all, party{keyFor(t, details), details})
	}
	return all
}

// envelopeBy makes an envelope whose signatures are by these keys, in this order.
// named says whether keyids name the keys.
func envelopeBy(t testing.TB, payload []byte, named bool, by ...party) []byte {
	t.Helper()
	var sigs []obj
	for _, p := range by {
		s := obj{"sig": b64(sigstoreSign(t, p.Signer, p.details, PAE("t", payload)))}
		if named {
			sum := sha256.Sum256(spkiOf(t, p.Public()))
			s["keyid"] = hex.EncodeToString(sum[:])
		}
		sigs = append(sigs, s)
	}
	return must(json.Marshal(obj{"payloadType": "t", "payload": b64(payload), "signatures": sigs}))(t)
}

func verifiersBy(t testing.TB, by ...party) (out []Verifier) {
	for _, p := range by {
		out = append(out, Verifier{PublicKey: spkiOf(t, p.Public()), KeyDetails: p.details})
	}
	return out
}

func reversed(all []party) []party {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}

// TestWorkOfAnEnvelope: however signatures and keys are arranged, the number of
// verifications is bounded, and known before the first one.
func TestWorkOfAnEnvelope(t *testing.T) {
	p256, p521 := parties(t, ECDSAP256SHA256, 10), parties(t, ECDSAP521SHA512, 10)
	mixed := make([]party, 0, len(allDetails))
	for _, k := range allDetails {
		mixed = append(mixed, party{keyFor(t, k), k})
	}
	mixed = slices.DeleteFunc(mixed, func(p party) bool { return p.details == Ed25519ph }) // of the form of Ed25519
	last := slices.Repeat([]party{p521[9]}, 10)
	for _, c := range []struct {
		name      string
		by, keys  []party
		named     bool
		most      int // steps
		says      string
		mostUnits int
	}{
		{"one", p521[:1], p521[:1], false, 1, "", 35},
		{"ten in order", p521, p521, false, 10, "", 350},
		{"ten in reverse, named", p521, reversed(p521), true, 10, "", 350},
		{"one of each kind in reverse", mixed, reversed(mixed), false, len(mixed), "", 60},
		{"ten cheap ones in reverse", p256, reversed(p256), false, 55, "", 55},
		{"three in reverse", p521[:3], reversed(p521[:3]), false, 6, "", 210},
		{"one key signed twice", []party{p521[0], p521[0]}, p521[:1], false, 2, "", 70},
		{"all by the last of ten", last, p521, false, 21, "give the verifiers in the order of the signatures", 764},
		{"ten in reverse", p521, reversed(p521), false, 21, "give the verifiers in the order of the signatures", 764},
		{"more keys than signatures", p521[:1], p521, false, 0, "leave it out", 0},
		{"a key of another curve", p256[:1], p521[:1], false, 0, "does not verify", 0},
		{"another key", p521[:1], p521[1:2], false, 2, "does not verify", 105},
	} {
		w := &counted{}
		_, err := NewDSSE(DSSE{Envelope: envelopeBy(t, []byte("payload"), c.named, c.by...), Verifiers: verifiersBy(t, c.keys...), Work: w.work})
		if (err == nil) != (c.says == "") || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, and not %q", c.name, err, c.says)
		}
		if w.steps > c.most || w.cost > c.mostUnits {
			t.Errorf("%s: %d steps of %d units together; at most %d of %d", c.name, w.steps, w.cost, c.most, c.mostUnits)
		}
	}
}

// TestWorkOfRekorV1: the same holds for what Rekor v1's clients propose.
func TestWorkOfRekorV1(t *testing.T) {
	var keys []keyAnd
	var texts [][]byte
	for range 10 {
		key := ecKey(t, elliptic.P521())
		keys, texts = append(keys, keyAnd{key, ECDSAP521SHA256}), append(texts, keyPEM(t, key))
	}
	env := signedEnvelope(t, "payload", keys...)
	byLast := signedEnvelope(t, "payload", slices.Repeat(keys[9:], 10)...)
	one := signedEnvelope(t, "payload", keys[0])
	reversed := slices.Clone(texts)
	slices.Reverse(reversed)
	for _, c := range []struct {
		name  string
		kind  Kind
		spec  obj
		most  int
		taken bool
	}{
		{"dsse in order", KindDSSE, dsseV1Spec(env, texts...), 10, true},
		{"dsse in reverse", KindDSSE, dsseV1Spec(env, reversed...), 21, false},
		{"dsse by the last", KindDSSE, dsseV1Spec(byLast, texts...), 21, false},
		{"dsse with more keys", KindDSSE, dsseV1Spec(one, texts...), 0, false},
		{"intoto", KindIntoto, intotoSpec(t, env, texts...), 10, true},
		{"intoto in reverse", KindIntoto, intotoSpec(t, env, reversed...), 2, false},
		{"rekord", KindRekord, rekordV1Of(t, keys[0].Signer, ECDSAP521SHA256, texts[0], "x"), 1, true},
		{"hashedrekord", KindHashedRekord, hashedRekordV1(t, keys[0].Signer, ECDSAP521SHA512, texts[0], "x"), 1, true},
	} {
		version := "0.0.1"
		if c.kind == KindIntoto {
			version = "0.0.2"
		}
		w := &counted{}
		p := must(ReadProposal(proposalOf(t, c.kind, version, c.spec)))(t)
		p.Work = w.work
		if _, err := p.Entry(); (err == nil) != c.taken || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", c.name, err)
		}
		if w.steps > c.most+1 { // and one that reads
			t.Errorf("%s: %d steps; at most %d", c.name, w.steps, c.most+1)
		}
	}
}

// TestAMessageIsHashedOnce by each hash, however many signatures it has. Pure
// Ed25519 hashes it each time, and pays for that.
func TestAMessageIsHashedOnce(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 1<<20)
	const once, reading = 1 << 20 / hashUnit, (1 << 20) * 4 / 3 / readUnit
	for _, c := range []struct {
		by   []party
		most int
	}{
		{parties(t, ECDSAP256SHA256, 8), 8 + once},
		{append(parties(t, ECDSAP256SHA256, 4), parties(t, ECDSAP384SHA384, 4)...), 44 + 2*once},
		{parties(t, Ed25519, 2), 2 + 2*once},
	} {
		w := &counted{}
		must(NewDSSE(DSSE{Envelope: envelopeBy(t, payload, false, c.by...), Verifiers: verifiersBy(t, c.by...), Work: w.work}))(t)
		if w.cost > c.most+reading+2 {
			t.Errorf("%d × %s: %d units; at most %d", len(c.by), c.by[0].details, w.cost, c.most+reading)
		}
	}
	m := newMessage([]byte("x"))
	if first, second := m.digest(crypto.SHA384), m.digest(crypto.SHA384); &first[0] != &second[0] {
		t.Error("the second digest was made again")
	}
}

// TestLargeMessagesByEd25519: what they may hash is bounded, before it is hashed.
func TestLargeMessagesByEd25519(t *testing.T) {
	by := parties(t, Ed25519, 10)
	w := &counted{}
	_, err := NewDSSE(DSSE{Envelope: envelopeBy(t, make([]byte, 5<<20), false, by...), Verifiers: verifiersBy(t, by...), Work: w.work})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), "too much work") || w.steps > 1 {
		t.Errorf("%d units, %v", w.cost, err)
	}
}

// TestWorkEnds when its Work says so: with that error, and no further step.
func TestWorkEnds(t *testing.T) {
	by := parties(t, ECDSAP256SHA256, 10)
	env, keys := envelopeBy(t, []byte("payload"), false, by...), verifiersBy(t, by...)
	for n := 1; n < 10; n++ {
		w := &counted{stopAfter: n}
		if _, err := NewDSSE(DSSE{Envelope: env, Verifiers: keys, Work: w.work}); err != errStop || w.steps != n {
			t.Errorf("after %d steps of %d: %v", w.steps, n, err)
		}
	}
	never := func(int, func()) error { return errStop }
	if _, err := NewHashedRekord(HashedRekord{Digest: make([]byte, 32), Signature: []byte{1}, Verifier: keys[0], Work: never}); err != errStop {
		t.Errorf("a hashedrekord: %v", err)
	}
	for kind, proposed := range proposalsV1(t) {
		p := must(ReadProposal(proposed))(t)
		p.Work = never
		if _, err := p.Entry(); err != errStop {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// lookAlikes are certificates of which each could have issued each other.
func lookAlikes(t testing.TB, n int) (text []byte, key crypto.Signer) {
	t.Helper()
	signer := ecKey(t, elliptic.P521())
	name := pkix.Name{CommonName: "CA"}
	for i := range n {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: name, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, i}, Value: []byte{5, 0}}},
		}
		der := must(x509.CreateCertificate(rand.Reader, c, c, signer.Public(), signer))(t)
		text = append(text, pemOf("CERTIFICATE", der)...)
	}
	return text, signer
}

// TestAChainHasOneWay: a chain of certificates that could have issued each other
// is refused before any path is looked for.
func TestAChainHasOneWay(t *testing.T) {
	text, key := lookAlikes(t, 10)
	for kind, spec := range map[Kind]obj{
		KindHashedRekord: hashedRekordV1(t, key, ECDSAP521SHA512, text, "x"),
		KindRekord:       rekordV1Of(t, key, ECDSAP521SHA256, text, "x"),
	} {
		_, err := NewRekorV1(proposalOf(t, kind, "0.0.1", spec))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), "its certificates 1 and 2 have the same subject") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestAKeyIsReadUpToALimit, whatever it is.
func TestAKeyIsReadUpToALimit(t *testing.T) {
	huge := bytes.Repeat([]byte{0x30}, 2*MaxCanonical+1)
	for _, v := range []Verifier{{PublicKey: huge}, {Certificate: huge}} {
		_, err := NewHashedRekord(HashedRekord{Digest: make([]byte, 32), Signature: []byte{1}, Verifier: v})
		if !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
	}
}

// TestKeyIDIsOnlyAHint: one that names another key, or nothing, decides nothing.
func TestKeyIDIsOnlyAHint(t *testing.T) {
	by := parties(t, ECDSAP256SHA256, 2)
	env := string(envelopeBy(t, []byte("payload"), true, by...))
	sum := func(p party) string { s := sha256.Sum256(spkiOf(t, p.Public())); return hex.EncodeToString(s[:]) }
	crossed := strings.NewReplacer(sum(by[0]), sum(by[1]), sum(by[1]), sum(by[0])).Replace(env)
	junk := strings.NewReplacer(sum(by[0]), "key", sum(by[1]), base64.StdEncoding.EncodeToString([]byte("x"))).Replace(env)
	want := must(NewDSSE(DSSE{Envelope: []byte(env), Verifiers: verifiersBy(t, by...)}))(t).LeafHash()
	for _, text := range []string{crossed, junk} {
		if e := must(NewDSSE(DSSE{Envelope: []byte(text), Verifiers: verifiersBy(t, by...)}))(t); e.LeafHash() != want {
			t.Errorf("%s makes another entry", text)
		}
	}
}
