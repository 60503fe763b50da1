// Command images makes container images of the programs, without a container
// engine: a folder for each, in the OCI image layout, with all systems in one
// index.
//
//	cd tools && go run ./images -out ../dist/images
//
// An image holds its program, the certificates of public authorities, and a list
// of what the program is made of (/usr/share/sbom). It has no shell and no other
// file. The same commit gives the same digest.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"indelible/tools/internal/build"
)

// program is what the images of the programs differ in.
type program struct {
	name    string
	args    []string
	env     []string
	ports   map[string]struct{}
	volumes []string // folders for what stays
	folder  string   // the working directory
}

// programs are those that there are images of. In a container, the loopback
// address reaches nobody, so the ports listen on all addresses.
func programs() []program {
	port := func(numbers ...string) map[string]struct{} {
		ports := map[string]struct{}{}
		for _, n := range numbers {
			ports[n+"/tcp"] = struct{}{}
		}
		return ports
	}
	return []program{
		{
			name: "logserver", ports: port("8080", "8081", "8082"), folder: "/",
			volumes: []string{"/var/lib/indelible", "/var/lib/indelible-register"},
			env: []string{
				"INDELIBLE_HTTP=:8080", "INDELIBLE_GRPC=:8081", "INDELIBLE_ADMIN=:8082",
				"INDELIBLE_DATA_DIR=/var/lib/indelible", "INDELIBLE_REGISTER=/var/lib/indelible-register/register",
			},
		},
		{
			name: "logwitness", args: []string{"serve"}, ports: port("8090", "8091"), folder: "/",
			volumes: []string{"/var/lib/logwitness", "/var/lib/logwitness-register"},
			env: []string{
				"INDELIBLE_LISTEN=:8090", "INDELIBLE_ADMIN=:8091", "INDELIBLE_KEY=/var/lib/logwitness/witness.key",
				"INDELIBLE_DATA_DIR=/var/lib/logwitness", "INDELIBLE_REGISTER=/var/lib/logwitness-register/register",
			},
		},
		{name: "logcli", folder: "/files", volumes: []string{"/files"}},
	}
}

func main() {
	log.SetFlags(0)
	out := flag.String("out", "../dist/images", "folder to write to")
	only := flag.String("programs", "logserver,logwitness,logcli", "which programs")
	targets := flag.String("platforms", "linux/amd64,linux/arm64", "which systems")
	flag.Parse()
	if err := run(context.Background(), "..", *out, strings.Split(*only, ","), strings.Split(*targets, ","), os.Stdout); err != nil {
		log.Fatalln("images:", err)
	}
}

// run makes the images of the programs named in only, and prints digests and sizes.
func run(ctx context.Context, root, out string, only, platforms []string, w io.Writer) error {
	for _, name := range only {
		p, err := find(name)
		if err != nil {
			return err
		}
		index, err := images(ctx, root, p, platforms)
		if err != nil {
			return fmt.Errorf("image of %s: %w", name, err)
		}
		if err := write(filepath.Join(out, name), index); err != nil {
			return fmt.Errorf("image of %s: %w", name, err)
		}
		if err := describe(w, name, index); err != nil {
			return err
		}
	}
	return nil
}

func find(name string) (program, error) {
	for _, p := range programs() {
		if p.name == name {
			return p, nil
		}
	}
	return program{}, fmt.Errorf("there is no image of %q; give logserver, logwitness or logcli", name)
}

// images makes an index of a program's images.
func images(ctx context.Context, root string, p program, platforms []string) (v1.ImageIndex, error) {
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		t, err := build.ParseTarget(platform)
		if err != nil {
			return nil, err
		}
		img, err := built(ctx, root, p, t, dir)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: t.OS, Architecture: t.Arch}}})
	}
	return index, nil
}

// built builds a program and makes its image.
func built(ctx context.Context, root string, p program, t build.Target, dir string) (v1.Image, error) {
	file, err := build.Program(ctx, root, p.name, t, dir)
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sbom, err := build.SBOM(file)
	if err != nil {
		return nil, err
	}
	version, err := build.Version(file)
	if err != nil {
		return nil, err
	}
	return image(p, binary, sbom, t, version)
}

// write replaces a folder by an index.
func write(dir string, index v1.ImageIndex) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return to.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"}))
}

// describe prints an index's digest, and the size of each of its images: what is
// transferred.
func describe(w io.Writer, name string, index v1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s\n", name, digest)
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range manifest.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		m, err := img.Manifest()
		if err != nil {
			return err
		}
		size := m.Config.Size
		for _, l := range m.Layers {
			size += l.Size
		}
		fmt.Fprintf(w, "  %s  %.1f MB\n", d.Platform, float64(size)/1e6)
	}
	return nil
}
