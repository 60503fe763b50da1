// Package oracle holds the entries that this product makes against those that
// Rekor v1 and v2 make of the same requests. A module of its own, so that what it
// needs never reaches users.
package oracle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	pbdsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/dsse"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/entry"
)

// signer is a key, and how it signs digests.
type signer struct {
	details v1.PublicKeyDetails
	key     crypto.Signer
	hash    crypto.Hash
	opts    crypto.SignerOpts
}

func signers(t testing.TB) []signer {
	t.Helper()
	var all []signer
	add := func(d v1.PublicKeyDetails, key crypto.Signer, err error, hash crypto.Hash, opts crypto.SignerOpts) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, signer{d, key, hash, opts})
	}
	for _, c := range []struct {
		d     v1.PublicKeyDetails
		curve elliptic.Curve
		hash  crypto.Hash
	}{
		{v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, elliptic.P256(), crypto.SHA256},
		{v1.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384, elliptic.P384(), crypto.SHA384},
		{v1.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512, elliptic.P521(), crypto.SHA512},
	} {
		key, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		add(c.d, key, err, c.hash, c.hash)
	}
	for bits, d := range map[int]v1.PublicKeyDetails{
		2048: v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256, 3072: v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256,
		4096: v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256,
	} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		add(d, key, err, crypto.SHA256, crypto.SHA256)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add(v1.PublicKeyDetails_PKIX_ED25519_PH, ed, err, crypto.SHA512, &ed25519.Options{Hash: crypto.SHA512})
	return all
}

func spki(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func certificate(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "<&>ö"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func registry(t testing.TB) *signature.AlgorithmRegistryConfig {
	t.Helper()
	var all []v1.PublicKeyDetails
	for d := range v1.PublicKeyDetails_name {
		if _, err := signature.GetAlgorithmDetails(v1.PublicKeyDetails(d)); err == nil {
			all = append(all, v1.PublicKeyDetails(d))
		}
	}
	r, err := signature.NewAlgorithmRegistryConfig(all)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func canonical(t testing.TB, e *pb.Entry, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	data, err := protojson.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	data, err = jsoncanonicalizer.Transform(data)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// verifiers returns a key as both sides want it: bare, or in a certificate.
func verifiers(t testing.TB, s signer, cert bool) (*pb.Verifier, entry.Verifier) {
	t.Helper()
	if cert {
		der := certificate(t, s.key)
		return &pb.Verifier{KeyDetails: s.details, Verifier: &pb.Verifier_X509Certificate{X509Certificate: &v1.X509Certificate{RawBytes: der}}},
			entry.Verifier{Certificate: der}
	}
	der := spki(t, s.key.Public())
	return &pb.Verifier{KeyDetails: s.details, Verifier: &pb.Verifier_PublicKey{PublicKey: &pb.PublicKey{RawBytes: der}}},
		entry.Verifier{PublicKey: der}
}

func TestRekor(t *testing.T) {
	all := signers(t) // once, since RSA keys take their time
	t.Run("hashedrekord", func(t *testing.T) { testHashedRekord(t, all) })
	t.Run("dsse", func(t *testing.T) { testDSSE(t, all) })
	t.Run("changed", func(t *testing.T) { testChanged(t, all) })
}

func testHashedRekord(t *testing.T, all []signer) {
	reg := registry(t)
	for _, s := range all {
		for i := range 20 {
			theirs, ours := verifiers(t, s, i%2 == 1)
			digest := make([]byte, s.hash.Size())
			rand.Read(digest)
			sig, err := s.key.Sign(rand.Reader, digest, s.opts)
			if err != nil {
				t.Fatal(err)
			}
			e, err := hashedrekord.ToLogEntry(&pb.HashedRekordRequestV002{Digest: digest, Signature: &pb.Signature{Content: sig, Verifier: theirs}}, reg)
			want := canonical(t, e, err)
			got, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest, Signature: sig, Verifier: ours})
			if err != nil {
				t.Fatalf("%s: %v", s.details, err)
			}
			if !bytes.Equal(got.Canonical(), want) {
				t.Fatalf("%s:\nours   %s\ntheirs %s", s.details, got.Canonical(), want)
			}
			if p, err := entry.Parse(want); err != nil || p.HashedRekord == nil || p.HashedRekord.Verify() != nil {
				t.Fatalf("%s: their entry does not parse: %v", s.details, err)
			}
		}
	}
}

// testChanged changes a bit of a request, or the key details. What is taken all
// the same, Rekor takes too, and makes the same of it.
func testChanged(t *testing.T, all []signer) {
	reg := registry(t)
	taken := 0
	for _, s := range all {
		for i := range 40 {
			theirs, ours := verifiers(t, s, i%2 == 1)
			digest := make([]byte, s.hash.Size())
			rand.Read(digest)
			sig, err := s.key.Sign(rand.Reader, digest, s.opts)
			if err != nil {
				t.Fatal(err)
			}
			ours.KeyDetails = entry.KeyDetails(s.details.String())
			switch data := [][]byte{digest, sig, ours.PublicKey, ours.Certificate, nil}[i%5]; {
			case len(data) > 0:
				data[(i*7919)%len(data)] ^= 1 << (i % 8) // the same memory in both requests
			default:
				theirs.KeyDetails = all[i%len(all)].details
				ours.KeyDetails = entry.KeyDetails(theirs.KeyDetails.String())
			}
			got, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest, Signature: sig, Verifier: ours})
			if err != nil {
				continue
			}
			taken++
			e, err := hashedrekord.ToLogEntry(&pb.HashedRekordRequestV002{Digest: digest, Signature: &pb.Signature{Content: sig, Verifier: theirs}}, reg)
			if want := canonical(t, e, err); !bytes.Equal(got.Canonical(), want) {
				t.Fatalf("%s:\nours   %s\ntheirs %s", s.details, got.Canonical(), want)
			}
		}
	}
	if taken == 0 {
		t.Fatal("none was taken: nothing was compared")
	}
}

func testDSSE(t *testing.T, all []signer) {
	reg := registry(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all = append(slices.Clone(all), signer{v1.PublicKeyDetails_PKIX_ED25519, ed, 0, crypto.Hash(0)})
	for i := range 40 {
		payload := bytes.Repeat([]byte{byte(i), '<', 0xff}, i)
		env := map[string]any{"payloadType": "application/vnd.in-toto+json", "payload": base64.StdEncoding.EncodeToString(payload)}
		pbenv := &pbdsse.Envelope{Payload: payload, PayloadType: "application/vnd.in-toto+json"}
		pae := entry.PAE(pbenv.PayloadType, payload)
		var theirs []*pb.Verifier
		var ours []entry.Verifier
		var sigs []map[string]string
		for n := range 1 + i%3 {
			s := all[(i+n)%len(all)]
			if s.details == v1.PublicKeyDetails_PKIX_ED25519_PH {
				continue // an Ed25519 key in an envelope signs the message
			}
			digest := pae
			if s.hash != 0 {
				h := s.hash.New()
				h.Write(pae)
				digest = h.Sum(nil)
			}
			sig, err := s.key.Sign(rand.Reader, digest, s.opts)
			if err != nil {
				t.Fatal(err)
			}
			v, w := verifiers(t, s, (i+n)%2 == 1)
			theirs, ours = append(theirs, v), append(ours, w)
			pbenv.Signatures = append(pbenv.Signatures, &pbdsse.Signature{Sig: sig})
			sigs = append(sigs, map[string]string{"sig": base64.StdEncoding.EncodeToString(sig), "keyid": ""})
		}
		if len(sigs) == 0 {
			continue
		}
		env["signatures"] = sigs
		text, err := json.Marshal(env)
		if err != nil {
			t.Fatal(err)
		}
		e, err := dsse.ToLogEntry(&pb.DSSERequestV002{Envelope: pbenv, Verifiers: theirs}, reg)
		want := canonical(t, e, err)
		got, err := entry.NewDSSE(entry.DSSE{Envelope: text, Verifiers: ours})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Canonical(), want) {
			t.Fatalf("ours   %s\ntheirs %s", got.Canonical(), want)
		}
		p, err := entry.Parse(want)
		if err != nil || p.DSSE == nil || p.DSSE.VerifyEnvelope(text) != nil {
			t.Fatalf("their entry does not parse: %v", err)
		}
		if sum := sha256.Sum256(payload); !bytes.Equal(p.DSSE.PayloadDigest, sum[:]) {
			t.Fatal("another payload digest")
		}
	}
}
