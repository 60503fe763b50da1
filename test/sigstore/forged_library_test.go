package sigstore

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// given is all that sigstore-go's verifier is told.
type given struct {
	bundle, root object
	artifact     string
	api          uint32
	identity     string // the expected one's, or "" for a signature by key
	key          *same
	authority    *authority
}

// stampOf is a timestamp of the bundle's signature, by its authority, of any time.
func (g *given) stampOf(when time.Time) []byte {
	var sig string
	if m, ok := g.bundle["messageSignature"].(object); ok {
		sig = m["signature"].(string)
	} else {
		sig = envelope(g.bundle)["signatures"].([]any)[0].(object)["sig"].(string)
	}
	digest := sha256.Sum256(must1(base64.StdEncoding.DecodeString(sig)))
	return must1(g.authority.stamp(&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true}, when))
}

// clone is a copy to change.
func clone(v object) (c object) {
	if err := json.Unmarshal(must1(json.Marshal(v)), &c); err != nil {
		panic(err)
	}
	return c
}

// verify has sigstore-go verify, offline.
func (g *given) verify(t *testing.T) error {
	t.Helper()
	trusted, err := root.NewTrustedRootFromJSON(must1(json.Marshal(g.root)))
	if err != nil {
		t.Fatal(err)
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(must1(json.Marshal(g.bundle))); err != nil {
		return err
	}
	v, err := verify.NewVerifier(trusting(t, trusted, g.key), g.demands()...)
	if err != nil {
		t.Fatal(err)
	}
	policy := verify.WithKey()
	if g.identity != "" {
		policy = verify.WithCertificateIdentity(must1(verify.NewShortCertificateIdentity(issuer, "", g.identity, "")))
	}
	_, err = v.Verify(b, verify.NewPolicy(verify.WithArtifact(strings.NewReader(g.artifact)), policy))
	return passedOver(err, b, trusted)
}

// demands are an entry in the log, and all times that there are.
func (g *given) demands() []verify.VerifierOption {
	list := []verify.VerifierOption{verify.WithTransparencyLog(1)}
	if g.identity != "" {
		list = append(list, verify.WithSignedTimestamps(1))
	}
	switch {
	case g.api == 1:
		list = append(list, verify.WithIntegratedTimestamps(1))
	case g.identity == "":
		list = append(list, verify.WithNoObserverTimestamps())
	}
	return list
}

// passedOver adds to an error what Verify keeps for itself: why it passed over
// an entry.
func passedOver(err error, b *bundle.Bundle, trusted *root.TrustedRoot) error {
	if err == nil || !strings.Contains(err.Error(), noEntry) {
		return err
	}
	for _, entry := range must1(b.TlogEntries()) {
		if trusted.RekorLogs()[hex.EncodeToString([]byte(entry.LogKeyID()))] == nil {
			return fmt.Errorf("%w: no log has this id", err)
		}
		err = fmt.Errorf("%w: %w", err, tlog.VerifySET(entry, trusted.RekorLogs()))
	}
	return err
}

// signed has sigstore-go sign, and the log take it in. As the log grows between
// any two, no proof is empty.
func (w *world) signed(api uint32, content sign.Content, artifact string, certified bool, a *authority) given {
	w.t.Helper()
	key := newKeypair(w.t, common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
	g := given{artifact: artifact, api: api, key: key, authority: a}
	options := sign.BundleOptions{TransparencyLogs: w.rekor(api)}
	if certified {
		g.identity, options.CertificateProvider = identity, certifier{a}
		options.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: a.url + "/api/v1/timestamp"})}
	}
	if err := json.Unmarshal(must1(w.sign(content, key, options).MarshalJSON()), &g.bundle); err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(w.read("authority.json")), &g.root); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// pair is what is verified, and another: of another artifact and, for the
// forger's use, with the authorities of somebody else.
func (w *world) pair(api uint32, what string, certified bool, a *authority, others object) (g, other given) {
	w.t.Helper()
	of := map[string][2]sign.Content{
		"blob":      {&sign.PlainData{Data: []byte("true\n")}, &sign.PlainData{Data: []byte("false\n")}},
		"statement": {about("true\n"), about("false\n")},
	}[what]
	other = w.signed(api, of[1], "false\n", certified, a)
	w.signed(api, of[1], "false\n", certified, a)
	g = w.signed(api, of[0], "true\n", certified, a)
	other.root = others
	return g, other
}

// about is a statement about a file of this content.
func about(content string) *sign.DSSEData {
	text := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"%x"}}],"predicateType":"https://example.com/p","predicate":{}}`, sha256.Sum256([]byte(content)))
	return &sign.DSSEData{Data: []byte(text), PayloadType: "application/vnd.in-toto+json"}
}

// TestForgeriesAndLibrary has sigstore-go refuse forgeries offline, each for what
// was forged.
func TestForgeriesAndLibrary(t *testing.T) {
	w := newWorld(t)
	w.keyPair("leaf", newKey())
	var others object
	w.certificates(newAuthority(t))
	if err := json.Unmarshal([]byte(w.read("authority.json")), &others); err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	w.certificates(a)
	for _, api := range []uint32{1, 2} {
		for _, what := range []string{"blob", "statement"} {
			for _, certified := range []bool{false, true} {
				g, other := w.pair(api, what, certified, a, others)
				for _, l := range liesAbout(api, what, certified) {
					t.Run(fmt.Sprintf("v%d/%s/certified %t/%s", api, what, certified, l.name), func(t *testing.T) { l.refused(t, g, other) })
				}
			}
		}
	}
}

// refused tells the library a lie, and that it is the lie which it refuses: what
// was changed is a copy, and the original verifies.
func (l lie) refused(t *testing.T, g, other given) {
	t.Helper()
	if err := g.verify(t); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	changed := g
	changed.bundle, changed.root = clone(g.bundle), clone(g.root)
	l.change(&changed, &other)
	err, reason := changed.verify(t), l.reason(g.api)
	switch {
	case reason == accepted && err != nil:
		t.Errorf("it is refused: %v", err)
	case reason != accepted && (err == nil || !regexp.MustCompile(`(?s)`+reason).MatchString(err.Error())):
		t.Errorf("%v, which should be: %s", err, reason)
	}
}
