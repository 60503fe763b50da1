package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"indelible/tools/internal/build"
)

// user is who runs the programs: a user and a group that have no other use.
const user = 65532

// file is a file or, without data, a folder of an image.
type file struct {
	path  string
	mode  int64
	owner int
	data  []byte
}

// layer packs files, by which time does not show.
func layer(files []file) (v1.Layer, error) {
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.data)), Uid: f.owner, Gid: f.owner, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if f.data == nil {
			h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := tw.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil },
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithMediaType(types.OCILayer),
	)
}

// base is what all images have below the program.
func base() []file {
	return []file{
		{path: "etc", mode: 0o755},
		{path: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/:/sbin/nologin\nindelible:x:65532:65532:Indelible:/home/indelible:/sbin/nologin\n")},
		{path: "etc/group", mode: 0o644, data: []byte("root:x:0:\nindelible:x:65532:\n")},
		{path: "etc/ssl", mode: 0o755},
		{path: "etc/ssl/certs", mode: 0o755},
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: authorities()},
		{path: "home", mode: 0o755},
		{path: "home/indelible", mode: 0o700, owner: user},
		{path: "tmp", mode: 0o1777},
		{path: "usr", mode: 0o755},
		{path: "usr/bin", mode: 0o755},
		{path: "usr/share", mode: 0o755},
		{path: "usr/share/sbom", mode: 0o755},
		{path: "var", mode: 0o755},
		{path: "var/lib", mode: 0o755},
	}
}

// authorities are Mozilla's, as the Go project publishes them. An authority that
// is trusted only for older certificates is left out, since a file of PEM cannot
// say that.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}

// image makes the image of a program for one system.
func image(p program, binary, sbom []byte, t build.Target, version string) (v1.Image, error) {
	lower, err := layer(base())
	if err != nil {
		return nil, err
	}
	files := []file{
		{path: "usr/bin/" + p.name, mode: 0o755, data: binary},
		{path: "usr/share/sbom/" + p.name + ".cdx.json", mode: 0o644, data: sbom},
	}
	volumes := map[string]struct{}{}
	for _, dir := range p.volumes {
		files = append(files, file{path: dir[1:], mode: 0o700, owner: user})
		volumes[dir] = struct{}{}
	}
	upper, err := layer(files)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, lower, upper); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = t.OS, t.Arch, v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{"/usr/bin/" + p.name}, Cmd: p.args, WorkingDir: p.folder,
		Env: append([]string{"PATH=/usr/bin", "HOME=/home/indelible"}, p.env...), Volumes: volumes, ExposedPorts: p.ports,
		Labels: map[string]string{"org.opencontainers.image.title": p.name, "org.opencontainers.image.licenses": "Apache-2.0"},
	}
	if version != "" {
		config.Config.Labels["org.opencontainers.image.version"] = version
	}
	return mutate.ConfigFile(img, config)
}
