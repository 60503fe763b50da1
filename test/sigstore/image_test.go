package sigstore

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// images is a registry for the life of a test.
type images struct {
	t    *testing.T
	host string
}

func newImages(t *testing.T, referrers bool) images {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return images{t, strings.TrimPrefix(server.URL, "http://")}
}

// push makes up an image, and returns its name by digest.
func (r images) push(repository string) string {
	r.t.Helper()
	image, err := random.Image(512, 1)
	if err != nil {
		r.t.Fatal(err)
	}
	tag, err := name.NewTag(r.host + "/" + repository + ":latest")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		r.t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		r.t.Fatal(err)
	}
	return tag.Context().Digest(digest.String()).String()
}

func TestImages(t *testing.T) {
	registries := map[string]images{"cosign3": newImages(t, true), "cosign2": newImages(t, true)}
	flows(t, func(f flow) {
		r := registries[f.program]
		repository := strings.ToLower(f.api + "/" + strings.ReplaceAll(f.name, " ", "-"))
		image, unsigned := r.push(repository), r.push(repository)
		f.must(append(f.signFlags("sign"), image)...)
		f.must(append(f.verifyFlags("verify"), image)...)
		f.refused("no signatures found|no valid bundles exist", append(f.verifyFlags("verify"), unsigned)...)

		f.must(append(f.signFlags("attest"), "--predicate", "predicate.json", "--type", "slsaprovenance1", image)...)
		verify := append(f.verifyFlags("verify-attestation"), "--type", "slsaprovenance1")
		f.must(append(verify, image)...)
		f.refused("no matching attestations|no valid bundles exist", append(verify, unsigned)...)
	})
}
