package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/entry"
)

// rekorReads reports whether Sigstore's readers would see an entry in bytes:
// those of Rekor v2 unmarshal the JSON of the protobuf message and look at its
// spec, and those of Rekor v1 ask its packages.
func rekorReads(data []byte) bool {
	if _, err := rekorReader(data); err == nil {
		return true
	}
	var e pb.Entry
	return (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &e) == nil && e.GetSpec().GetSpec() != nil
}

// unverified are ways to write an entry, the first its canonical bytes, with a
// signature that nobody verified.
func unverified(t testing.TB) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, key, crypto.SHA256, crypto.SHA256}
	theirs, _ := verifiers(t, s, false)
	digest := make([]byte, s.hash.Size())
	sig, err := s.key.Sign(rand.Reader, digest, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	e, err := hashedrekord.ToLogEntry(&pb.HashedRekordRequestV002{Digest: digest, Signature: &pb.Signature{Content: sig, Verifier: theirs}}, registry(t))
	if err != nil {
		t.Fatal(err)
	}
	e.GetSpec().GetHashedRekordV002().Signature.Content[9] ^= 1
	body := string(canonical(t, e, nil))
	out := []string{body, protojson.Format(e)}
	protoNames, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var spec struct{ Spec json.RawMessage }
	if err := json.Unmarshal([]byte(body), &spec); err != nil {
		t.Fatal(err)
	}
	return append(out, string(protoNames), " "+body+"\n", `{"spec":`+string(spec.Spec)+"}",
		strings.ReplaceAll(body, "kind", `\u006bind`), strings.ReplaceAll(body, "hashedRekord", `hashedR\u0065kord`))
}

// Nothing that Sigstore's readers take for an entry is taken unverified, as
// something opaque.
func FuzzRaw(f *testing.F) {
	for _, body := range unverified(f) {
		if !rekorReads([]byte(body)) {
			f.Errorf("not a case: %s", body)
		}
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"spec":{"dsse_v002":{}}}`))
	for _, p := range onePerKind(f) {
		e, err := entry.NewRekorV1(p)
		if err != nil {
			f.Fatal(err)
		}
		if !rekorReads(e.Canonical()) {
			f.Errorf("not a case: %s", e.Canonical())
		}
		f.Add(e.Canonical())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := entry.NewRaw(data); err == nil && rekorReads(data) {
			t.Fatalf("%q was taken", data)
		}
	})
}
