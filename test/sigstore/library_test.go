package sigstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// same signs once, and says the same again: a retried upload.
type same struct {
	*sign.EphemeralKeypair
	signature, digest []byte
}

func (s *same) SignData(ctx context.Context, data []byte) ([]byte, []byte, error) {
	if s.signature != nil {
		return s.signature, s.digest, nil
	}
	var err error
	s.signature, s.digest, err = s.EphemeralKeypair.SignData(ctx, data)
	return s.signature, s.digest, err
}

func newKeypair(t *testing.T, algorithm common.PublicKeyDetails) *same {
	t.Helper()
	key, err := sign.NewEphemeralKeypair(&sign.EphemeralKeypairOptions{Algorithm: algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return &same{EphemeralKeypair: key}
}

// material is the root of trust, and a key.
type material struct {
	root.TrustedMaterial
	key root.TimeConstrainedVerifier
}

func (m material) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) { return m.key, nil }

func (w *world) material(file string, key *same) material {
	w.t.Helper()
	trusted, err := root.NewTrustedRootFromPath(w.path(file))
	if err != nil {
		w.t.Fatal(err)
	}
	return trusting(w.t, trusted, key)
}

func trusting(t *testing.T, trusted *root.TrustedRoot, key *same) material {
	t.Helper()
	details, err := signature.GetAlgorithmDetails(key.GetSigningAlgorithm())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifierFromAlgorithmDetails(key.GetPublicKey(), details, options.WithED25519ph())
	if err != nil {
		t.Fatal(err)
	}
	return material{trusted, root.NewExpiringKey(verifier, time.Time{}, time.Time{})}
}

// certifier gives certificates of an authority.
type certifier struct{ *authority }

func (c certifier) GetCertificate(_ context.Context, key sign.Keypair, _ *sign.CertificateProviderOptions) ([]byte, error) {
	cert, err := c.issue(key.GetPublicKey())
	if err != nil {
		return nil, err
	}
	return cert.Raw, nil
}

var _ sign.CertificateProvider = certifier{}

func algorithms() []common.PublicKeyDetails {
	return []common.PublicKeyDetails{
		common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
		common.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384,
		common.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512,
		common.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256,
		common.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256,
		common.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256,
		common.PublicKeyDetails_PKIX_ED25519_PH,
	}
}

// plain says of an algorithm that Rekor v1's kind dsse knows it: sigstore-go
// itself refuses to upload envelopes that were signed over other digests.
func plain(algorithm common.PublicKeyDetails) bool {
	return algorithm == common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256 || algorithm >= common.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256 && algorithm <= common.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256
}

const statement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}],"predicateType":"https://example.com/p","predicate":{}}`

// contents are what is signed.
func contents() map[string]sign.Content {
	return map[string]sign.Content{
		"blob":      &sign.PlainData{Data: []byte("a blob\n")},
		"statement": &sign.DSSEData{Data: []byte(statement), PayloadType: "application/vnd.in-toto+json"},
	}
}

func (w *world) rekor(api uint32) []sign.Transparency {
	return []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: w.url, Version: api})}
}

func TestLibraryKeys(t *testing.T) {
	w := newWorld(t)
	for _, api := range []uint32{1, 2} {
		for _, algorithm := range algorithms() {
			for what, content := range contents() {
				if api == 1 && what == "statement" && !plain(algorithm) {
					continue
				}
				t.Run(fmt.Sprintf("v%d/%s/%s", api, algorithm, what), func(t *testing.T) {
					w, key := w.in(t), newKeypair(t, algorithm)
					b := w.sign(content, key, sign.BundleOptions{TransparencyLogs: w.rekor(api)})
					w.verify(b, what, w.material("trust/trusted_root.json", key), verify.WithKey(), verify.WithTransparencyLog(1), verify.WithNoObserverTimestamps())
				})
			}
		}
	}
}

func TestLibraryCertificates(t *testing.T) {
	w := newWorld(t)
	w.signers()
	a := newAuthority(t)
	w.certificates(a)
	who, err := verify.NewShortCertificateIdentity(issuer, "", identity, "")
	if err != nil {
		t.Fatal(err)
	}
	stamp := []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: a.url + "/api/v1/timestamp"})}
	for _, test := range []struct {
		api     uint32
		options sign.BundleOptions
		time    verify.VerifierOption
	}{
		{1, sign.BundleOptions{}, verify.WithIntegratedTimestamps(1)},
		{1, sign.BundleOptions{TimestampAuthorities: stamp}, verify.WithSignedTimestamps(1)},
		{2, sign.BundleOptions{TimestampAuthorities: stamp}, verify.WithSignedTimestamps(1)},
	} {
		for what, content := range contents() {
			t.Run(fmt.Sprintf("v%d/stamped %t/%s", test.api, test.options.TimestampAuthorities != nil, what), func(t *testing.T) {
				w, key := w.in(t), newKeypair(t, common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
				options := test.options
				options.TransparencyLogs, options.CertificateProvider = w.rekor(test.api), certifier{a}
				b := w.sign(content, key, options)
				w.verify(b, what, w.material("authority.json", key), verify.WithCertificateIdentity(who), verify.WithTransparencyLog(1), test.time)
			})
		}
	}
}

// sign makes a bundle, and uploads the same twice.
func (w *world) sign(content sign.Content, key *same, options sign.BundleOptions) *bundle.Bundle {
	w.t.Helper()
	if options.CertificateProvider != nil {
		options.CertificateProvider = &once{CertificateProvider: options.CertificateProvider}
	}
	var index [2]int64
	var b *bundle.Bundle
	for i := range index {
		pb, err := sign.Bundle(content, key, options)
		if err != nil {
			w.t.Fatal(err)
		}
		index[i] = pb.GetVerificationMaterial().GetTlogEntries()[0].GetLogIndex()
		if b, err = bundle.NewBundle(pb); err != nil {
			w.t.Fatal(err)
		}
	}
	if index[0] != index[1] {
		w.t.Errorf("the same upload was number %d, and is number %d", index[0], index[1])
	}
	return b
}

// once asks for one certificate.
type once struct {
	sign.CertificateProvider
	der []byte
}

func (o *once) GetCertificate(ctx context.Context, key sign.Keypair, options *sign.CertificateProviderOptions) (der []byte, err error) {
	if o.der == nil {
		o.der, err = o.CertificateProvider.GetCertificate(ctx, key, options)
	}
	return o.der, err
}

// verify verifies a bundle offline, and that another artifact is refused.
func (w *world) verify(b *bundle.Bundle, what string, m root.TrustedMaterial, policy verify.PolicyOption, options ...verify.VerifierOption) {
	w.t.Helper()
	v, err := verify.NewVerifier(m, options...)
	if err != nil {
		w.t.Fatal(err)
	}
	artifact, reason := "a blob\n", "could not verify message"
	if what == "statement" {
		artifact, reason = "test", "provided artifact digests do not match"
	}
	if _, err := v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader([]byte(artifact))), policy)); err != nil {
		w.t.Error(err)
	}
	if _, err := v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader([]byte("another"))), policy)); err == nil || !strings.Contains(err.Error(), reason) {
		w.t.Errorf("another artifact: %v, and not %s", err, reason)
	}
}
