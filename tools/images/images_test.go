package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// stored is the only image of a program that run wrote.
func stored(t *testing.T, dir string) (v1.Hash, v1.Image) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := index.IndexManifest()
	if err != nil || len(outer.Manifests) != 1 {
		t.Fatalf("%+v, %v", outer, err)
	}
	inner, err := index.ImageIndex(outer.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	images, err := inner.IndexManifest()
	if err != nil || len(images.Manifests) != 1 || images.Manifests[0].Platform.String() != "linux/amd64" {
		t.Fatalf("%+v, %v", images, err)
	}
	img, err := inner.Image(images.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return outer.Manifests[0].Digest, img
}

// content is every file of an image.
func content(t *testing.T, img v1.Image) map[string]*tar.Header {
	t.Helper()
	files := map[string]*tar.Header{}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(h.Name, ".cdx.json") || strings.HasSuffix(h.Name, ".crt") {
				text, err := io.ReadAll(tr)
				if err != nil {
					t.Fatal(err)
				}
				h.PAXRecords = map[string]string{"text": string(text)}
			}
			files[h.Name] = h
		}
	}
	return files
}

// The same commit gives the same digest, whatever the folders are called. The
// image has the program, authorities and the list of modules, and nothing else;
// its user is not root.
func TestImage(t *testing.T) {
	var digests []v1.Hash
	for range 2 {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		var out bytes.Buffer
		if err := run(t.Context(), "../..", dir, []string{"logcli"}, []string{"linux/amd64"}, &out); err != nil {
			t.Fatal(err)
		}
		digest, img := stored(t, filepath.Join(dir, "logcli"))
		digests = append(digests, digest)
		if !strings.HasPrefix(out.String(), "logcli "+digest.String()+"\n  linux/amd64  ") {
			t.Errorf("printed: %s", &out)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "images-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		checkImage(t, img)
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds: %s and %s", digests[0], digests[1])
	}
}

func checkImage(t *testing.T, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.OS != "linux" || config.Architecture != "amd64" {
		t.Errorf("%+v", config)
	}
	size := int64(0)
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range manifest.Layers {
		size += l.Size
	}
	if size > 14e6 {
		t.Errorf("the image of logcli has %d bytes", size)
	}
	files := content(t, img)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name].Typeflag == tar.TypeReg {
			names = append(names, name)
		}
		if files[name].Mode&0o022 != 0 && name != "tmp/" {
			t.Errorf("%s can be written by others: %o", name, files[name].Mode)
		}
	}
	if want := []string{"etc/group", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/bin/logcli", "usr/share/sbom/logcli.cdx.json"}; !slices.Equal(names, want) {
		t.Errorf("files: %q", names)
	}
	if n := strings.Count(files["etc/ssl/certs/ca-certificates.crt"].PAXRecords["text"], "BEGIN CERTIFICATE"); n < 100 {
		t.Errorf("%d authorities", n)
	}
	checkSBOM(t, files["usr/share/sbom/logcli.cdx.json"].PAXRecords["text"])
}

// checkSBOM compares a list with what go.mod requires.
func checkSBOM(t *testing.T, text string) {
	t.Helper()
	var bom struct {
		BomFormat, SpecVersion string
		Components             []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal([]byte(text), &bom); err != nil || bom.BomFormat != "CycloneDX" || bom.SpecVersion != "1.6" {
		t.Fatalf("SBOM: %v\n%s", err, text)
	}
	required, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, c := range bom.Components {
		found[c.Name] = c.Name == "std" || strings.Contains(string(required), c.Name+" "+c.Version) && c.Purl == "pkg:golang/"+c.Name+"@"+c.Version
		if !found[c.Name] {
			t.Errorf("go.mod does not require %+v", c)
		}
	}
	for _, name := range []string{"std", "github.com/spf13/cobra", "github.com/sigstore/protobuf-specs"} {
		if !found[name] {
			t.Errorf("the SBOM lacks %s", name)
		}
	}
}

// What is not an image or a system is refused.
func TestRefused(t *testing.T) {
	for says, args := range map[string][2]string{"there is no image of": {"logserv", "linux/amd64"}, "it must be OS/ARCH": {"logcli", "linux"}} {
		err := run(t.Context(), "../..", t.TempDir(), []string{args[0]}, []string{args[1]}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
