// Package build builds the programs for other systems, and says what is in them.
package build

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Target is a system to build for.
type Target struct{ OS, Arch string }

// ParseTarget reads a target that is written as linux/amd64.
func ParseTarget(s string) (Target, error) {
	system, arch, ok := strings.Cut(s, "/")
	if !ok || system == "" || arch == "" {
		return Target{}, fmt.Errorf("target %q: it must be OS/ARCH, such as linux/amd64", s)
	}
	return Target{system, arch}, nil
}

func (t Target) String() string { return t.OS + "/" + t.Arch }

// Program builds a program of the module in folder root into dir, and returns its
// file. The program is static and holds no path of this machine: one commit gives
// the same bytes everywhere.
func Program(ctx context.Context, root, name string, t Target, dir string) (file string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	file = filepath.Join(dir, name)
	if t.OS == "windows" {
		file += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./cmd/"+name)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.OS, "GOARCH="+t.Arch, "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s for %s: %w\n%s", name, t, err, stderr.Bytes())
	}
	return file, nil
}

// Version returns the version that a program's file was built as, without the v;
// empty if it was not built from a version control system.
func Version(file string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(version(info.Main.Version), "v"), nil
}

func version(v string) string {
	if v == "(devel)" {
		return ""
	}
	return v
}

// SBOM lists the modules in a program's file, in CycloneDX's JSON. The same file
// gives the same list.
func SBOM(file string) ([]byte, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		BOMRef: "program", Type: cdx.ComponentTypeApplication,
		Name: filepath.Base(info.Path), Version: version(info.Main.Version),
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}}
	modules := components(info)
	var refs []string
	for _, m := range modules {
		refs = append(refs, m.BOMRef)
	}
	bom.Components = &modules
	bom.Dependencies = &[]cdx.Dependency{{Ref: "program", Dependencies: &refs}}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write the SBOM of %s: %w", file, err)
	}
	return out.Bytes(), nil
}

// components are the standard library and the modules, sorted.
func components(info *debug.BuildInfo) []cdx.Component {
	all := []cdx.Component{module("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		all = append(all, module(m.Path, m.Version))
	}
	slices.SortFunc(all, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	return all
}

func module(path, version string) cdx.Component {
	url := "pkg:golang/" + path + "@" + version
	return cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
}
