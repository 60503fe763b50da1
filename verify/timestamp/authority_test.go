package timestamp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digitorus/timestamp"
)

const opensslTime = 1795270959 // of what is in testdata

// stamper is a timestamp authority: its chain, its own certificate first, and keys.
type stamper struct {
	t     testing.TB
	noon  int64               // an hour after its certificate begins and before it ends; now, as the library signs by the clock
	chain []*x509.Certificate // own, between, root
	keys  []*ecdsa.PrivateKey
}

// newStamper makes one. change changes the template of its own certificate.
func newStamper(t testing.TB, change func(*x509.Certificate)) stamper {
	t.Helper()
	s := stamper{t: t, noon: time.Now().Unix()}
	parent := s.certify(s.template("root"), nil, nil)
	between := s.certify(s.template("between"), parent, s.keys[0])
	own := s.template("timestamps")
	own.IsCA, own.KeyUsage = false, x509.KeyUsageDigitalSignature
	own.ExtraExtensions = []pkix.Extension{usages(true, x509OID(8))}
	if change != nil {
		change(own)
	}
	s.chain = []*x509.Certificate{s.certify(own, between, s.keys[1]), between, parent}
	slices.Reverse(s.keys)
	return s
}

func (s *stamper) template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(s.noon-3600, 0), NotAfter: time.Unix(s.noon+3600, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

// x509OID is an extended key usage of X.509's; 8 is timestamping, 3 code signing.
func x509OID(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, n} }

func usages(critical bool, list ...asn1.ObjectIdentifier) pkix.Extension {
	value, err := asn1.Marshal(list)
	if err != nil {
		panic(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: value}
}

func (s *stamper) certify(c, parent *x509.Certificate, by *ecdsa.PrivateKey) *x509.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keys = append(s.keys, key)
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// stamp is a timestamp of some bytes, in a response.
func (s *stamper) stamp(at int64, data string, change func(*timestamp.Timestamp)) []byte {
	s.t.Helper()
	stamp := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, Time: time.Unix(at, 0), Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true,
	}
	if change != nil {
		change(&stamp)
	}
	h := stamp.HashAlgorithm.New()
	h.Write([]byte(data))
	stamp.HashedMessage = h.Sum(nil)
	response, err := stamp.CreateResponseWithOpts(s.chain[0], s.keys[0], crypto.SHA256)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

func (s *stamper) authority(chain ...*x509.Certificate) *Authority {
	s.t.Helper()
	a, err := New(chain)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func TestStamped(t *testing.T) {
	s, other := newStamper(t, nil), newStamper(t, nil)
	without := func(s *timestamp.Timestamp) { s.AddTSACertificate = false }
	by := func(h crypto.Hash) func(*timestamp.Timestamp) {
		return func(s *timestamp.Timestamp) { s.HashAlgorithm = h }
	}
	whole, above, root := s.authority(s.chain...), s.authority(s.chain[1:]...), s.authority(s.chain[2])
	for name, c := range map[string]struct {
		a        *Authority
		response []byte
		reason   string // for which it is refused
	}{
		"the authority's own":                 {whole, s.stamp(s.noon, "sig", nil), ""},
		"any of the chain":                    {above, s.stamp(s.noon, "sig", nil), ""},
		"its certificate left out":            {whole, s.stamp(s.noon, "sig", without), ""},
		"its certificate left out everywhere": {above, s.stamp(s.noon, "sig", without), "does not have its signer's certificate"},
		"the one between left out":            {root, s.stamp(s.noon, "sig", nil), "does not lead to the trusted authority"},
		"SHA-384":                             {whole, s.stamp(s.noon, "sig", by(crypto.SHA384)), ""},
		"SHA-512":                             {whole, s.stamp(s.noon, "sig", by(crypto.SHA512)), ""},
		"of something else":                   {whole, s.stamp(s.noon, "other", nil), "it is of something else"},
		"another authority's":                 {whole, other.stamp(s.noon, "sig", nil), "not by the trusted authority"},
		"another authority's, of its name":    {above, other.stamp(s.noon, "sig", nil), "does not lead to the trusted authority"},
		"another's, its certificate left out": {whole, other.stamp(s.noon, "sig", without), "does not verify"},
		"the last second":                     {whole, s.stamp(s.noon+3600, "sig", nil), ""},
		"after the authority's certificate":   {whole, s.stamp(s.noon+3601, "sig", nil), "does not lead to the trusted authority"},
		"before the authority's certificate":  {whole, s.stamp(s.noon-3601, "sig", nil), "does not lead to the trusted authority"},
		"of a time before 1970":               {whole, s.stamp(-1, "sig", nil), "does not lead to the trusted authority"},
	} {
		t.Run(name, func(t *testing.T) { stamped(t, c.a, c.response, c.reason) })
	}
}

// stamped demands that a response is good, or refused for a reason.
func stamped(t *testing.T, a *Authority, response []byte, reason string) {
	t.Helper()
	at, err := a.Stamped(response, []byte("sig"))
	switch {
	case reason == "" && (err != nil || at < 1):
		t.Errorf("%d, %v", at, err)
	case reason != "" && (err == nil || !strings.Contains(err.Error(), reason)):
		t.Errorf("%d, %v: not refused for %q", at, err, reason)
	}
}

// A chain that has expired since vouches for what it stamped before.
func TestChainThatExpired(t *testing.T) {
	var a *Authority
	var response []byte
	synctest.Test(t, func(t *testing.T) { // in which it is the year 2000
		s := newStamper(t, nil)
		a, response = s.authority(s.chain...), s.stamp(s.noon, "sig", nil)
	})
	if !time.Now().After(a.root.NotAfter) {
		t.Fatal("the chain has not expired")
	}
	stamped(t, a, response, "")
}

// What was stamped by SHA-1 may be two things.
func TestSHA1(t *testing.T) {
	sum := sha1.Sum([]byte("sig"))
	if err := isOf(&timestamp.Timestamp{HashAlgorithm: crypto.SHA1, HashedMessage: sum[:]}, []byte("sig")); err == nil || !strings.Contains(err.Error(), "SHA-1") {
		t.Error(err)
	}
}

func TestPeriod(t *testing.T) {
	s := newStamper(t, nil)
	response := s.stamp(s.noon, "sig", nil)
	for _, c := range []struct {
		from, until int64
		good        bool
	}{{s.noon, s.noon, true}, {s.noon + 1, 0, false}, {0, s.noon - 1, false}, {s.noon, 0, true}, {0, s.noon, true}} {
		a := s.authority(s.chain...)
		a.From, a.Until = c.from, c.until
		reason := ""
		if !c.good {
			reason = "the authority is trusted from"
		}
		stamped(t, a, response, reason)
	}
}

// A certificate that is for anything else beside timestamps is no authority's.
func TestUsage(t *testing.T) {
	for reason, change := range map[string]func(*x509.Certificate){
		"not for timestamps alone":  func(c *x509.Certificate) { c.ExtraExtensions = nil },
		"not for timestamps  alone": func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{usages(true, x509OID(8), x509OID(3))} },
		"not for timestamps alone,": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{usages(true, x509OID(8), asn1.ObjectIdentifier{1, 2, 3})}
		},
		"as critical": func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{usages(false, x509OID(8))} },
	} {
		s := newStamper(t, change)
		stamped(t, s.authority(s.chain...), s.stamp(s.noon, "sig", nil), strings.ReplaceAll(reason, "  ", " "))
		stamped(t, s.authority(s.chain[1:]...), s.stamp(s.noon, "sig", nil), strings.ReplaceAll(reason, "  ", " "))
	}
}

func TestNew(t *testing.T) {
	s, other := newStamper(t, nil), newStamper(t, nil)
	for reason, chain := range map[string][]*x509.Certificate{
		"needs a certificate":                     nil,
		"certificate 1 of":                        {s.chain[2], s.chain[1]},
		"certificate 2 of":                        {s.chain[0], s.chain[1], other.chain[2]},
		"is not signed by number 2 (its own must": {s.chain[0], s.chain[2]},
	} {
		if _, err := New(chain); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v: not refused for %q", err, reason)
		}
	}
	// One that is trusted by its own certificate alone.
	stamped(t, s.authority(s.chain[0]), s.stamp(s.noon, "sig", nil), "")
	stamped(t, s.authority(s.chain[0]), other.stamp(s.noon, "sig", nil), "not by the trusted authority")
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openssl's authority has RSA keys; its timestamps of "signature" are as openssl ts
// made them.
func openssl(t testing.TB) *Authority {
	t.Helper()
	var chain []*x509.Certificate
	for block, rest := pem.Decode(read(t, "openssl.pem")); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	a, err := New(chain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOpenSSL(t *testing.T) {
	a := openssl(t)
	for _, name := range []string{"openssl.tsr", "openssl-without-certificate.tsr"} {
		if at, err := a.Stamped(read(t, name), []byte("signature")); err != nil || at != opensslTime {
			t.Errorf("%s: %d, %v", name, at, err)
		}
		if _, err := a.Stamped(read(t, name), []byte("signatur")); err == nil {
			t.Errorf("%s is of anything", name)
		}
	}
}

// TestEveryByteOfAResponseCounts changes a bit of each byte of real responses. What is good
// then says the same: nobody signs the outermost numbers.
func TestEveryByteOfAResponseCounts(t *testing.T) {
	a := openssl(t)
	for _, name := range []string{"openssl.tsr", "openssl-without-certificate.tsr"} {
		response := read(t, name)
		for i := range response {
			changed := slices.Clone(response)
			changed[i] ^= 1 << (i % 8)
			if at, err := a.Stamped(changed, []byte("signature")); err == nil && at != opensslTime {
				t.Fatalf("%s: byte %d: %d", name, i, at)
			}
		}
	}
}

// FuzzStamped replaces a part of a real response, or all of it. What is good then is
// of the same time.
func FuzzStamped(f *testing.F) {
	a := openssl(f)
	list := [][]byte{read(f, "openssl.tsr"), read(f, "openssl-without-certificate.tsr")}
	for i := range list {
		f.Add(uint8(i), uint16(0), uint16(0), []byte{})
		f.Add(uint8(i), uint16(0), uint16(4), []byte{0x30, 0x80})
	}
	f.Add(uint8(0), uint16(0), uint16(1<<15), slices.Repeat([]byte{0x30, 0x80}, 1000))
	f.Fuzz(func(t *testing.T, which uint8, from, to uint16, put []byte) {
		data := list[int(which)%len(list)]
		start := min(int(from), len(data))
		end := min(max(start, int(to)), len(data))
		at, err := a.Stamped(slices.Concat(data[:start], put, data[end:]), []byte("signature"))
		if err == nil && at != opensslTime {
			t.Fatalf("%d", at)
		}
	})
}
