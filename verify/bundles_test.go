package verify

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"indelible/entry"
)

// A file with several bundles is good if one of them is, and the artifact finds it.
func TestSeveralBundles(t *testing.T) {
	good := newStatement(t, "hashedrekord")
	other := newStatement(t, "dsse")
	bad := bytes.Replace(good.data(), []byte(`"treeSize":"4"`), []byte(`"treeSize":"5"`), 1)
	trust := good.trust
	list := func(all ...[]byte) []byte {
		return slices.Concat([]byte(`{"attestations":[{"predicateType":"x","bundle":`), bytes.Join(all, []byte(`},{"bundle":`)), []byte(`}]}`))
	}
	lines := func(all ...[]byte) []byte { return bytes.Join(all, []byte("\n")) }
	envelope := []byte(`{"payloadType":"x","payload":"","signatures":[]}`)
	for name, c := range map[string]struct {
		data  []byte
		check string // that fails
		says  string
	}{
		"lines":                   {lines(other.data(), good.data()), "", "number 2 of the file's 2 bundles"},
		"lines, one not a bundle": {lines(envelope, good.data(), nil), "", "number 2 of the file's 2"},
		"a list":                  {list(other.data(), bad, good.data()), "", "number 3 of the file's 3"},
		"a list of one":           {list(good.data()), "", "version 0.3"},
		"several lists":           {lines(list(other.data()), list(good.data())), "", "number 2 of the file's 2"},
		"one is changed":          {lines(envelope, bad), "checkpoint", "treeSize is 5"},
		"no bundle in the list":   {list([]byte("{}"), []byte("null")), "bundle", "has no mediaType"},
		"cut off":                 {lines(good.data(), good.data()[:9]), "bundle", "has more after its end"},
		"too many":                {bytes.Repeat([]byte("{}\n"), maxBundles+1), "bundle", "has more after its end"},
		"a number before it":      {append([]byte("0"), good.data()...), "bundle", "bundle"},
		"an empty list":           {[]byte(`{"attestations":[]}`), "bundle", "has no mediaType"},
	} {
		r, err := VerifyBundle(strings.NewReader("artifact"), c.data, trust)
		if err != nil {
			t.Fatal(err)
		}
		detail := r.Checks[0].Detail
		if f := r.Failed(); f != nil {
			detail = f.Detail
		}
		if f := r.Failed(); r.Verified != (c.check == "") || f != nil && f.Name != c.check || !strings.Contains(detail, c.says) {
			t.Errorf("%s: %+v", name, r.Checks)
		}
	}
	r, err := VerifyBundle(strings.NewReader("else"), lines(good.data(), other.data()), trust)
	if last := r.Checks[len(r.Checks)-1]; err != nil || r.Failed().Name != "artifact" || last.State != Warned || !strings.Contains(last.Detail, "none of the file's 2 bundles") {
		t.Errorf("%v: %+v", err, r.Checks)
	}
	// Of those about the artifact, the first that fails last is shown.
	r, _ = VerifyBundle(strings.NewReader("artifact"), lines([]byte("{}"), bad), trust)
	if f := r.Failed(); f.Name != "checkpoint" {
		t.Errorf("%+v", r.Checks)
	}
	origins, err := BundleOrigins(lines(envelope, good.data(), other.data()))
	if err != nil || !slices.Equal(origins, []string{origin}) {
		t.Errorf("%q, %v", origins, err)
	}
}

// The digest of an artifact stands for it, where it is the digest that was signed.
func TestDigestAlone(t *testing.T) {
	sum, other := sha256.Sum256([]byte("artifact")), sha256.Sum256([]byte("else"))
	for _, s := range []*signedIn{newSigned(t, newKey(t), nil), newStatement(t, "dsse")} {
		for _, c := range []struct {
			sum  [32]byte
			good bool
		}{{sum, true}, {other, false}} {
			r, err := VerifyBundleOf(c.sum, s.data(), s.trust)
			if err != nil || r.Verified != c.good || !c.good && r.Failed().Name != "artifact" {
				t.Errorf("%v: %+v", err, r)
			}
		}
	}
	s := newSigned(t, newKey(t), nil)
	if _, err := VerifyBundleOf(sum, s.data(), Trust{}); err == nil {
		t.Error("nobody is trusted")
	}
	v := bundled{digests: digests{sha256: sum[:]}}
	v.parsed.HashedRekord = &entry.HashedRekordBody{Algorithm: "SHA2_512", Digest: make([]byte, 64)}
	if err := v.matchSubject(); err == nil || !strings.Contains(err.Error(), "give the artifact itself") {
		t.Error(err)
	}
}
