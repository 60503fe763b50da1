package monitor_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"indelible/entry"
	"indelible/mirror/source"
	"indelible/monitor"
)

const record = "example.com/team/lib v1.2.3 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" +
	"example.com/team/lib v1.2.3/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"

// leafOf is the MerkleTreeLeaf of a certificate (0), or of a TBSCertificate (1).
func leafOf(kind byte, der []byte) []byte {
	leaf := binary.BigEndian.AppendUint64([]byte{0, 0}, 1_700_000_000_000)
	leaf = append(leaf, 0, kind)
	if kind == 1 {
		leaf = append(leaf, make([]byte, 32)...)
	}
	leaf = append(leaf, byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
	return append(append(leaf, der...), 0, 0)
}

func tbsOf(t testing.TB, cert []byte) []byte {
	t.Helper()
	return must(x509.ParseCertificate(cert))(t).RawTBSCertificate
}

func checkFacts(t *testing.T, format source.Format, data []byte, want ...monitor.Fact) {
	t.Helper()
	got, err := monitor.Facts(nil, format, data)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: %v\nnot %v", err, got, want)
	}
}

// The facts of an entry are those that crypto/x509 reads.
func TestFactsOfSignatures(t *testing.T) {
	ca, key := newFulcio(t), newKey(t)
	san, issuer := "https://github.com/Acme/x/.github/workflows/r.yml@refs/heads/main", "https://issuer.example/Path"
	digest := fact(monitor.ByDigest, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("x"))))
	facts := []monitor.Fact{
		digest,
		{By: monitor.ByKey, Value: fingerprint(t, key), Signer: 1},
		{By: monitor.ByIdentity, Value: san, Signer: 1},
		{By: monitor.ByIssuer, Value: issuer, Signer: 1},
	}
	cert := ca.issue(t, key, san, issuer)
	// The names stand after the issuer where the extensions do.
	got := must(monitor.Facts(nil, source.Tiles, signed(t, key, cert, "x")))(t)
	slices.SortFunc(got, func(a, b monitor.Fact) int { return slices.Index(facts, a) - slices.Index(facts, b) })
	if !slices.Equal(got, facts) {
		t.Errorf("%v\nnot %v", got, facts)
	}
	checkFacts(t, source.RekorV1, signed(t, key, nil, "x"), facts[:2]...)
}

// Two signers are told apart, in an envelope and in a kind of Rekor v1's.
func TestFactsOfEnvelopes(t *testing.T) {
	a, b := newKey(t), newKey(t)
	chain := newFulcio(t)
	certA := chain.issue(t, a, "a@example.com", "https://a.example")
	certB := chain.issue(t, b, "b@example.com", "https://b.example")
	envelope := envelopeBy(t, a, b)
	e := must(entry.NewDSSE(entry.DSSE{Envelope: envelope, Verifiers: []entry.Verifier{{Certificate: certA}, {Certificate: certB}}}))(t)
	facts := must(monitor.Facts(nil, source.Tiles, e.Canonical()))(t)
	for identity, issuers := range map[string][2]string{
		"a@example.com": {"https://a.example", "https://b.example"}, "b@example.com": {"https://b.example", "https://a.example"},
	} {
		own := monitor.Pattern{Identity: exact(identity), Issuer: exact(issuers[0])}
		other := monitor.Pattern{Identity: exact(identity), Issuer: exact(issuers[1])}
		if got := matcher(t, own, other).Match(facts); !slices.Equal(got, []monitor.Pattern{own}) {
			t.Errorf("%s: %v", identity, got)
		}
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certA})
	proposal := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"proposedContent":{"envelope":%q,"verifiers":[%q]}}}`,
		envelopeBy(t, a), base64Of(text))
	v1 := must(entry.NewRekorV1(proposal))(t)
	facts = must(monitor.Facts(nil, source.RekorV1, v1.Canonical()))(t)
	if got := matcher(t, monitor.Pattern{Identity: exact("a@example.com"), Issuer: exact("https://a.example")}).Match(facts); len(got) != 1 {
		t.Errorf("dsse 0.0.1: %v", facts)
	}
}

// Nothing that an entry does not prove is compared, and what cannot be read is
// told from what says nothing.
func TestFactsOfOtherBytes(t *testing.T) {
	if _, err := monitor.Facts(nil, source.Tiles, []byte("some log's own entry")); !errors.Is(err, monitor.ErrOpaque) {
		t.Error(err)
	}
	for _, unread := range []string{
		`{"apiVersion":"0.0.1","kind":"rpm","spec":{"package":{"hash":{"algorithm":"sha256","value":"00"}}}}`,
		`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{}}}}`,
	} {
		if _, err := monitor.Facts(nil, source.Tiles, []byte(unread)); err == nil || errors.Is(err, monitor.ErrOpaque) {
			t.Errorf("%s: %v", unread, err)
		}
	}
}

// A certificate's names are read as crypto/x509 reads them, in a certificate and in
// what is logged of a precertificate.
func TestFactsOfCertificates(t *testing.T) {
	key := newKey(t)
	userName := must(asn1.Marshal("jane!example"))(t)
	other := slices.Concat(must(asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}))(t), []byte{0xa0, byte(len(userName))}, userName)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"a.b"}, CommonName: "old.example.com"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"www.example.com", "*.example.org"}, EmailAddresses: []string{"jane@example.com"}, URIs: []*url.URL{{Scheme: "https", Host: "x.example"}},
		IsCA: true, BasicConstraintsValid: true, // a critical extension
	}
	cert := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)
	facts := []monitor.Fact{
		fact(monitor.ByKey, fingerprint(t, key)), fact(monitor.ByDomain, "old.example.com"),
		fact(monitor.ByDomain, "www.example.com"), fact(monitor.ByIdentity, "www.example.com"),
		fact(monitor.ByDomain, "*.example.org"), fact(monitor.ByIdentity, "*.example.org"),
		fact(monitor.ByIdentity, "jane@example.com"), fact(monitor.ByIdentity, "https://x.example"),
	}
	checkFacts(t, source.StaticCT, leafOf(0, cert), facts...)
	checkFacts(t, source.StaticCT, leafOf(1, tbsOf(t, cert)), facts...)

	names := must(asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: other}}))(t)
	tmpl = &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now(), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}}
	cert = must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)
	checkFacts(t, source.StaticCT, leafOf(0, cert), facts[0], fact(monitor.ByIdentity, "jane!example"))
}

// Leaves that are cut off anywhere, or say that more is there, are no certificates.
func TestDamagedLeaves(t *testing.T) {
	cert := newFulcio(t).issue(t, newKey(t), "jane@example.com", "https://issuer.example")
	for _, leaf := range [][]byte{leafOf(0, cert), leafOf(1, tbsOf(t, cert))} {
		for n := range len(leaf) - 2 {
			if facts, err := monitor.Facts(nil, source.StaticCT, leaf[:n]); err == nil {
				t.Fatalf("%d of %d bytes: %v", n, len(leaf), facts)
			}
		}
		for _, at := range []int{0, 1, 10} {
			bad := slices.Clone(leaf)
			bad[at] = 7
			if _, err := monitor.Facts(nil, source.StaticCT, bad); err == nil {
				t.Errorf("byte %d is 7", at)
			}
		}
	}
}

func TestFactsOfModules(t *testing.T) {
	checkFacts(t, source.SumDB, []byte(record), fact(monitor.ByModule, "example.com/team/lib"))
	for _, bad := range []string{"", "\n", "a v1", "a v1 h1:x\nb v1/go.mod h1:x\n", "a v1 x\n"} {
		if facts, err := monitor.Facts(nil, source.SumDB, []byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, facts)
		}
	}
}
