package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
)

// Two signatures can be good of the same digest by the same key: the log has one.
func TestAnotherGoodSignature(t *testing.T) {
	key := newKey(t)
	s, again := newSigned(t, key, nil), newSigned(t, key, nil)
	s.bundle["messageSignature"] = again.bundle["messageSignature"]
	s.fails("entry", "its signature is not the bundle's")
	again.verifies()

	message := again.bundle["messageSignature"].(obj)
	der, err := base64.StdEncoding.DecodeString(message["signature"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	sig.S.Sub(key.Params().N, sig.S) // of ECDSA's, this is as good
	if der, err = asn1.Marshal(sig); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256([]byte(again.artifact)); !ecdsa.VerifyASN1(&key.PublicKey, sum[:], der) {
		t.Fatal("the other signature is not good")
	}
	message["signature"] = b64(der)
	again.fails("entry", "its signature is not the bundle's")
}

// Of two signatures that were logged a bundle would show one.
func TestLoggedWithTwoSignatures(t *testing.T) {
	s := newStatement(t, entry.KindDSSE)
	env := s.bundle["dsseEnvelope"].(obj)
	payload, err := base64.StdEncoding.DecodeString(env["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var sigs []any
	var verifiers []entry.Verifier
	for _, key := range []*ecdsa.PrivateKey{newKey(t), newKey(t)} {
		sigs = append(sigs, obj{"sig": b64(signWith(t, key, entry.PAE(inToto, payload)))})
		verifiers = append(verifiers, entry.Verifier{PublicKey: spkiOf(t, key.Public())})
		s.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, key)}}
	}
	env["signatures"] = sigs
	text, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.NewDSSE(entry.DSSE{Envelope: text, Verifiers: verifiers})
	if err != nil {
		t.Fatal(err)
	}
	s.logIt("dsse", e.Canonical())
	s.fails("bundle", "2 signatures; an envelope in a bundle has one")
	for _, sig := range sigs {
		env["signatures"] = []any{sig}
		s.fails("entry", "it has 2 signatures, and the envelope one")
	}
}

// Rekor v1's checkpoints may go on after three lines, which its key signs. No
// other's may: a witness's ML-DSA-44 cosignature says nothing of such lines.
func TestExtensionLines(t *testing.T) {
	const line = "Timestamp: 1700000000000000000\n"
	s := newRekorV1(t, newKey(t), nil, 1_700_000_000)
	name := fmt.Sprintf("%s - %d", hostName, tree)
	plain := s.checkpoint()["envelope"].(string)
	s.checkpoint()["envelope"] = s.note(name, s.signerV1(), s.root(), line, "Other: line\n")
	s.verifies()
	for _, added := range []string{strings.Replace(plain, "\n\n", "\n"+line+"\n", 1), strings.Replace(s.checkpoint()["envelope"].(string), line, "", 1)} {
		s.checkpoint()["envelope"] = added
		s.fails("checkpoint", "no log that you trust signed")
	}

	s = newSigned(t, newKey(t), nil)
	s.checkpoint()["envelope"] = s.note(origin, s.log, s.root(), line)
	s.fails("checkpoint", "no log that you trust signed")
	s.witnessedByMLDSA(line)
	s.fails("checkpoint", "no log that you trust signed")
	s.witnessedByMLDSA("")
	s.verifies()
}

// witnessedByMLDSA has a witness cosign the checkpoint with lines after it.
func (s *signedIn) witnessedByMLDSA(extension string) {
	s.t.Helper()
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := checkpoint.NewCosigner("w.example", key)
	if err != nil {
		s.t.Fatal(err)
	}
	sig, err := w.CosignExtended(checkpoint.Checkpoint{Origin: origin, Size: 4, Root: s.root()}, []byte(extension), 1_700_000_000)
	if err != nil {
		s.t.Fatal(err)
	}
	s.trust.Logs = nil
	if s.trust.Policy, err = checkpoint.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s\nquorum w\n", s.log.Verifier(), w.Verifier())); err != nil {
		s.t.Fatal(err)
	}
	s.checkpoint()["envelope"] = s.note(origin, s.log, s.root(), extension) + string(checkpoint.MarshalSignatures([]checkpoint.Signature{sig}))
}

// A policy that asks for no witnesses takes no time from them either.
func TestQuorumOfNone(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	s := newSigned(t, key, ca.shortLived(key, 2, from).Raw)
	s.witnessed(from.Unix(), from.Unix(), from.Unix())
	s.trust.Policy.Quorum = "none"
	if r := s.verifies(); r.Time != 0 || !strings.Contains(states(r), "witnesses not checked, inclusion passed, time not checked") {
		t.Errorf("%d, %s", r.Time, states(r))
	}
	s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
	s.fails("signer", "nothing proves that it signed by then")
}

// A key is of its kind: no witness's signs for a log, nor one of Rekor v2's for
// Rekor v1, whose checkpoints ECDSA signs.
func TestKeysOfOtherKinds(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	s.witnessed(100, 100, 100)
	text, lines, _ := strings.Cut(s.checkpoint()["envelope"].(string), "\n\n")
	_, lines, _ = strings.Cut(lines, "\n")
	s.checkpoint()["envelope"] = text + "\n\n" + lines
	s.fails("checkpoint", "no log that you trust signed")

	s = newSigned(t, newKey(t), nil)
	s.entry()["logId"] = obj{"keyId": b64(hashOf(spkiOf(t, s.log.Verifier().PublicKey())))}
	s.fails("checkpoint", "logId is")

	s = newRekorV1(t, newKey(t), nil, 1)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := checkpoint.NewSigner(hostName, key)
	if err != nil {
		t.Fatal(err)
	}
	s.checkpoint()["envelope"] = s.note(fmt.Sprintf("%s - %d", hostName, tree), signer, s.root())
	s.fails("checkpoint", "no log that you trust signed")
	s.trust.BareKeys = []crypto.PublicKey{pub}
	s.fails("checkpoint", "its ECDSA key")
	s.trust.BareKeys = append(s.trust.BareKeys, s.rekorV1.Public())
	s.fails("checkpoint", "no log that you trust signed")
}

func hashOf(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// Another entry's checkpoint and proof are good, but not of this one.
func TestProofOfAnotherEntry(t *testing.T) {
	s := newSigned(t, newKey(t), nil)
	other := newSigned(t, newKey(t), nil)
	proof := other.inclusion()
	s.entry()["inclusionProof"], s.entry()["logId"], s.trust.Logs = proof, other.entry()["logId"], other.trust.Logs
	s.fails("inclusion", "does not lead from the entry to the checkpoint")
	proof["logIndex"], s.entry()["logIndex"] = strconv.Itoa(4), strconv.Itoa(4)
	s.fails("inclusion", "")
}

// A bundle brings certificates of its own, and with them the work of them.
func TestCertificatesThatAreMuchWork(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	leaf := ca.shortLived(key, 2, from)
	for bits, reason := range map[uint]string{maxRSA: "", maxRSA + 1: "an RSA key of 8193 bits"} {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		large := ca.issue(&x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: from, NotAfter: from.Add(time.Hour)}, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
		s := newRekorV1(t, key, leaf.Raw, from.Unix())
		s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: ca.pool()}}
		s.bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
		delete(s.material(), "certificate")
		s.material()["x509CertificateChain"] = obj{"certificates": []any{obj{"rawBytes": b64(leaf.Raw)}, obj{"rawBytes": b64(large.Raw)}}}
		if reason == "" {
			s.verifies()
		} else {
			s.fails("bundle", reason)
		}
	}
}

// A certificate for something else than signing code is of no signer of a bundle.
func TestCertificateForAnotherUsage(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	ca, key := newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), newKey(t)
	for usage, reason := range map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageCodeSigning: "", x509.ExtKeyUsageAny: "",
		x509.ExtKeyUsageServerAuth: "incompatible key usage", x509.ExtKeyUsageTimeStamping: "incompatible key usage",
	} {
		cert := ca.issue(&x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(time.Hour), DNSNames: []string{"build.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		}, key.Public())
		s := newRekorV1(t, key, cert.Raw, from.Unix())
		s.trust.Signers = []Signer{{Identity: "build.example.com", Roots: ca.pool()}}
		if reason == "" {
			s.verifies()
		} else {
			s.fails("signer", reason)
		}
	}
}
