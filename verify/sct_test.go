package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
)

// ctLog is a CT log of a test's own.
type ctLog struct {
	t   testing.TB
	key crypto.Signer
}

func (l ctLog) trusted(valid Period) CTLog {
	l.t.Helper()
	id := sha256.Sum256(spkiOf(l.t, l.key.Public()))
	return CTLog{Name: "https://ct.example", Key: l.key.Public(), ID: id[:], Valid: valid}
}

// sct promises, at a time, to publish a certificate, given as it is without SCTs.
func (l ctLog) sct(cert, issuer *x509.Certificate, at time.Time, extensions ...byte) []byte {
	l.t.Helper()
	alg, id, by := byte(3), l.trusted(Period{}).ID, sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	if _, isRSA := l.key.(*rsa.PrivateKey); isRSA {
		alg = 1
	}
	tail := append(binary.BigEndian.AppendUint16(nil, uint16(len(extensions))), extensions...)
	now := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	size := binary.BigEndian.AppendUint32(nil, uint32(len(cert.RawTBSCertificate)))[1:]
	digest := sha256.Sum256(slices.Concat([]byte{0, 0}, now, []byte{0, 1}, by[:], size, cert.RawTBSCertificate, tail))
	sig, err := l.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		l.t.Fatal(err)
	}
	return slices.Concat([]byte{0}, id, now, tail, []byte{4, alg}, binary.BigEndian.AppendUint16(nil, uint16(len(sig))), sig)
}

func extension(t testing.TB, list []byte) pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: sctList(), Value: value}
}

// listOf is the TLS list of SCTs.
func listOf(scts ...[]byte) (list []byte) {
	for _, s := range scts {
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(s))), s...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
}

// published is a bundle that a certificate with SCTs signed, which are made of the
// certificate as it is without.
type published struct {
	ca   authority
	log  ctLog
	from time.Time
	make func(...pkix.Extension) *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newPublished(t testing.TB) published {
	from := time.Unix(1_700_000_000, 0)
	p := published{ca: newAuthority(t, from.Add(-time.Hour), from.Add(time.Hour)), log: ctLog{t, newKey(t)}, from: from, key: newKey(t)}
	p.make = func(more ...pkix.Extension) *x509.Certificate {
		return p.ca.issue(&x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(10 * time.Minute), EmailAddresses: []string{"dev@example.com"}, ExtraExtensions: more,
		}, p.key.Public())
	}
	return p
}

// with has the bundle signed by a certificate with this list.
func (p published) with(t testing.TB, list []byte) *signedIn {
	t.Helper()
	cert := p.make(extension(t, list))
	s := newRekorV1(t, p.key, cert.Raw, p.from.Unix())
	s.trust.Signers = []Signer{{Identity: "dev@example.com", Roots: p.ca.pool(), CTLogs: []CTLog{p.log.trusted(Period{From: 1_600_000_000, Until: p.from.Unix()})}}}
	return s
}

func TestSCT(t *testing.T) {
	p := newPublished(t)
	bare, other := p.make(), newAuthority(t, p.from, p.from)
	good := p.log.sct(bare, p.ca.cert, p.from)
	stranger := ctLog{t, newKey(t)}.sct(bare, p.ca.cert, p.from)
	changed := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] ^= b
		return c
	}
	for name, c := range map[string]struct {
		list   []byte
		reason string // for which it is refused
	}{
		"good":                  {listOf(good), ""},
		"with extensions":       {listOf(p.log.sct(bare, p.ca.cert, p.from, 1, 2, 3)), ""},
		"beside a stranger's":   {listOf(stranger, good), ""},
		"beside a new version":  {listOf([]byte{1, 2}, good), ""},
		"beside a bad one":      {listOf(changed(len(good)-1, 1), good), ""},
		"a stranger's":          {listOf(stranger), "no trusted CT log has the id"},
		"of a new version":      {listOf([]byte{1, 2}), "number 1: its version is 1"},
		"of another time":       {listOf(changed(40, 1)), `number 1: the signature of CT log "https://ct.example" does not verify`},
		"of another hash":       {listOf(changed(43, 1)), "does not verify"},
		"of another algorithm":  {listOf(changed(44, 2)), "does not verify"},
		"changed":               {listOf(changed(len(good)-1, 1)), "does not verify"},
		"of another issuer":     {listOf(p.log.sct(bare, other.cert, p.from)), "does not verify"},
		"of another":            {listOf(p.log.sct(p.ca.shortLived(p.key, 3, p.from), p.ca.cert, p.from)), "does not verify"},
		"before the period":     {listOf(p.log.sct(bare, p.ca.cert, time.Unix(1_599_999_999, 999e6))), "is trusted from 1600000000 to 1700000000, and the SCT is of 1599999999"},
		"after the period":      {listOf(p.log.sct(bare, p.ca.cert, p.from.Add(time.Second))), "the SCT is of 1700000001"},
		"an empty list":         {listOf(), "is not as RFC 6962 has it"},
		"nothing":               {nil, "is not as RFC 6962 has it"},
		"more after the list":   {append(listOf(good), 0), "is not as RFC 6962 has it"},
		"a cut SCT":             {listOf(good[:len(good)-1]), "number 1 is no SCT"},
		"an SCT with more":      {listOf(append(bytes.Clone(good), 0)), "number 1 is no SCT"},
		"an empty SCT":          {listOf(nil), "number 1 is no SCT"},
		"a length beyond":       {[]byte{0, 2, 0, 9}, "is not as RFC 6962 has it"},
		"more than are counted": {listOf(slices.Repeat([][]byte{stranger}, maxSCTs+1)...), "more than 16"},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.with(t, c.list)
			if c.reason != "" {
				s.fails("sct", c.reason)
				return
			}
			if r := s.verifies(); !strings.HasSuffix(states(r), "signer passed, sct passed") || !strings.Contains(r.Checks[len(r.Checks)-1].Detail, `CT log "https://ct.example" promised to publish the certificate, at 1700000000 (in seconds`) {
				t.Errorf("%+v", r.Checks)
			}
		})
	}
}

// Whose SCTs are asked for, and when.
func TestSCTIsAskedFor(t *testing.T) {
	p := newPublished(t)
	bare := p.make()
	none := newRekorV1(t, p.key, bare.Raw, p.from.Unix())
	asks := p.with(t, listOf(p.log.sct(bare, p.ca.cert, p.from)))
	none.trust.Signers = asks.trust.Signers
	none.fails("sct", "the certificate has no SCT")
	// An authority without CT logs of its own, or the key itself, asks for none.
	none.trust.Signers = append(none.trust.Signers, Signer{Identity: "dev@example.com", Roots: p.ca.pool()})
	if r := none.verifies(); !strings.HasSuffix(states(r), "signer passed, sct not checked") {
		t.Error(states(r))
	}
	none.trust.Signers = []Signer{{Fingerprint: fingerprintOf(t, p.key)}}
	if r := none.verifies(); !strings.HasSuffix(states(r), "signer passed, sct not checked") {
		t.Error(states(r))
	}
	// A CT log whose key is not read proves nothing.
	asks.trust.Signers[0].CTLogs[0].Key = nil
	asks.fails("sct", "is of a kind that is not read")
	// An RSA key, a name that is listed twice, and a log that another period names.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.log.key = key
	byRSA := p.with(t, listOf(p.log.sct(bare, p.ca.cert, p.from)))
	byRSA.trust.Signers[0].CTLogs = []CTLog{p.log.trusted(Period{Until: 1}), p.log.trusted(Period{})}
	byRSA.verifies()
}

// A proof file's certificate must have an SCT, too.
func TestSCTOfProofFiles(t *testing.T) {
	p := newPublished(t)
	cert := p.make(extension(t, listOf(p.log.sct(p.make(), p.ca.cert, p.from))))
	for name, c := range map[string]*x509.Certificate{"passed": cert, "failed": p.make()} {
		proof, log := prove(t, signed(t, p.key, "artifact", c.Raw))
		trust := Trust{Logs: []checkpoint.Verifier{log}, Signers: []Signer{{Identity: "dev@example.com", Roots: p.ca.pool(), CTLogs: []CTLog{p.log.trusted(Period{})}}}}
		r, err := Verify(strings.NewReader("artifact"), proof, trust)
		if err != nil || !strings.Contains(states(r), "signer passed, sct "+name) || r.Verified != (name == "passed") {
			t.Errorf("%v, %+v", err, r)
		}
	}
}

// A certificate is rebuilt to the byte, as the CT log saw it, wherever in it the SCTs
// stand; and nothing that is no certificate is rebuilt.
func TestWithoutSCTs(t *testing.T) {
	p := newPublished(t)
	want := p.make(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}).RawTBSCertificate
	for i, more := range [][]pkix.Extension{
		{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}, extension(t, []byte("scts"))},
		{extension(t, []byte("scts")), {Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}},
	} {
		got, err := withoutSCTs(p.make(more...).RawTBSCertificate)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d: %x, %v", i, got, err)
		}
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x30, 2, 0xa3, 0}, {0x30, 4, 0xa3, 2, 0x30, 5}, {0x30, 6, 0xa3, 4, 0x30, 2, 5, 0}} {
		if got, err := withoutSCTs(bad); err == nil {
			t.Errorf("%x: %x", bad, got)
		}
	}
}

// FuzzSCTs: whatever stands in a certificate's extension, a list that is read has as
// many SCTs as it may, and none that no CT log signed is good.
func FuzzSCTs(f *testing.F) {
	p := newPublished(f)
	bare := p.make()
	f.Add(listOf(ctLog{f, newKey(f)}.sct(bare, p.ca.cert, p.from)))
	f.Add([]byte{0, 2, 0, 0})
	signer := Signer{CTLogs: []CTLog{p.log.trusted(Period{})}}
	f.Fuzz(func(t *testing.T, list []byte) {
		cert := *bare
		cert.Extensions = []pkix.Extension{extension(t, list)}
		scts, err := sctsOf(&cert)
		if (err == nil) != (len(scts) > 0) || len(scts) > maxSCTs {
			t.Fatalf("%d, %v", len(scts), err)
		}
		if c := signer.promised(&cert, [][]*x509.Certificate{{bare, p.ca.cert}}); c.State != Failed {
			t.Fatal(fmt.Sprint(c))
		}
	})
}
