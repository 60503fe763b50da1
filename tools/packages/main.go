// Command packages makes packages for Debian and its like (.deb), and for Fedora
// and its like (.rpm), of each program: with systemd units, manual pages and
// completions.
//
//	cd tools && go run ./packages -version 1.2.3 -out ../dist/packages
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"

	"indelible/tools/internal/build"
)

func main() {
	log.SetFlags(0)
	out := flag.String("out", "../dist/packages", "folder to write to")
	version := flag.String("version", "", "version of the packages, such as 1.2.3; default: that of the commit")
	only := flag.String("programs", "logserver,logwitness,logcli", "which programs")
	archs := flag.String("archs", "amd64,arm64", "which processors")
	flag.Parse()
	for _, name := range strings.Split(*only, ",") {
		for _, arch := range strings.Split(*archs, ",") {
			if err := run(context.Background(), "..", *out, name, arch, *version, os.Stdout); err != nil {
				log.Fatalf("packages: %s for %s: %v", name, arch, err)
			}
		}
	}
}

// description says what a program is.
func description(name string) (string, error) {
	switch name {
	case "logserver":
		return "transparency log on SQLite, MySQL or MariaDB", nil
	case "logwitness":
		return "witness for transparency logs", nil
	case "logcli":
		return "client of transparency logs: add, verify, audit", nil
	}
	return "", fmt.Errorf("there is no program %q; give logserver, logwitness or logcli", name)
}

// run makes the packages of one program for one processor.
func run(ctx context.Context, root, out, name, arch, version string, w io.Writer) error {
	about, err := description(name)
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp("", "packages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	list, built, err := contents(ctx, root, stage, name, arch)
	if err != nil {
		return err
	}
	if version == "" {
		version = built
	}
	if version == "" {
		return fmt.Errorf("the program has no version, since it was not built from a commit: give -version")
	}
	info := &nfpm.Info{
		Name: "indelible-" + name, Arch: arch, Platform: "linux", Version: version, Section: "utils", Priority: "optional",
		Maintainer: "The Indelible maintainers <maintainers@indelible.invalid>", Description: about, License: "Apache-2.0", MTime: when(ctx, root),
		Overridables: nfpm.Overridables{Contents: list},
	}
	if name != "logcli" {
		info.Scripts.PostInstall = filepath.Join(root, "deploy/packages/postinstall")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for format, p := range map[string]nfpm.Packager{"deb": deb.Default, "rpm": rpm.DefaultRPM} {
		if err := write(p, format, info, out, w); err != nil {
			return err
		}
	}
	return nil
}

func write(p nfpm.Packager, format string, info *nfpm.Info, out string, w io.Writer) error {
	fresh := *info // it is changed
	own := nfpm.WithDefaults(&fresh)
	if err := nfpm.PrepareForPackager(own, format); err != nil {
		return err
	}
	var data bytes.Buffer
	if err := p.Package(own, &data); err != nil {
		return err
	}
	path := filepath.Join(out, p.ConventionalFileName(own))
	fmt.Fprintf(w, "%s  %.1f MB\n", filepath.Base(path), float64(data.Len())/1e6)
	return os.WriteFile(path, data.Bytes(), 0o644)
}

// when is the commit's time, which the packages' files have, so that the same
// commit gives the same packages.
func when(ctx context.Context, root string) time.Time {
	cmd := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct")
	cmd.Dir = root
	out, err := cmd.Output()
	seconds, bad := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil || bad != nil {
		seconds = 0 // it was not checked out with git
	}
	return time.Unix(seconds, 0).UTC()
}

// contents builds the program and what comes with it into stage, and lists it.
func contents(ctx context.Context, root, stage, name, arch string) (list files.Contents, version string, err error) {
	program, err := build.Program(ctx, root, name, build.Target{OS: "linux", Arch: arch}, filepath.Join(stage, arch))
	if err != nil {
		return nil, "", err
	}
	if version, err = build.Version(program); err != nil {
		return nil, "", err
	}
	sbom, err := build.SBOM(program)
	if err != nil {
		return nil, "", err
	}
	add := func(from, to string, mode os.FileMode) {
		list = append(list, &files.Content{Source: from, Destination: to, FileInfo: &files.ContentFileInfo{Mode: mode}})
	}
	save := func(data []byte, to string) error {
		file := filepath.Join(stage, filepath.Base(to))
		add(file, to, 0o644)
		return os.WriteFile(file, data, 0o644)
	}
	add(program, "/usr/bin/"+name, 0o755)
	add(filepath.Join(root, "LICENSE"), "/usr/share/doc/indelible-"+name+"/copyright", 0o644)
	if err := save(sbom, "/usr/share/doc/indelible-"+name+"/"+name+".cdx.json"); err != nil {
		return nil, "", err
	}
	if arch != runtime.GOARCH || runtime.GOOS != "linux" {
		if program, err = build.Program(ctx, root, name, build.Target{OS: runtime.GOOS, Arch: runtime.GOARCH}, stage); err != nil {
			return nil, "", err
		}
	}
	if err := documents(ctx, program, name, when(ctx, root), save); err != nil {
		return nil, "", err
	}
	if name != "logcli" {
		list = append(list, service(filepath.Join(root, "deploy/packages"), name)...)
	}
	return list, version, nil
}

// documents makes manual pages and completions by a program that runs here.
func documents(ctx context.Context, program, name string, date time.Time, save func([]byte, string) error) error {
	says := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stderr = os.Stderr
		return cmd.Output()
	}
	commands, err := says("describe")
	if err != nil {
		return err
	}
	pages, err := manual(commands, date)
	if err != nil {
		return err
	}
	for page, text := range pages {
		if err := save(text, "/usr/share/man/man1/"+page); err != nil {
			return err
		}
	}
	for shell, to := range map[string]string{
		"bash": "/usr/share/bash-completion/completions/" + name, "zsh": "/usr/share/zsh/vendor-completions/_" + name, "fish": "/usr/share/fish/vendor_completions.d/" + name + ".fish",
	} {
		script, err := says("completion", shell)
		if err != nil {
			return err
		}
		if err := save(script, to); err != nil {
			return err
		}
	}
	return nil
}

// service is what makes a service of a program.
func service(from, name string) files.Contents {
	file := func(source, to, kind string) *files.Content {
		return &files.Content{Source: filepath.Join(from, source), Destination: to, Type: kind, FileInfo: &files.ContentFileInfo{Mode: 0o644}}
	}
	unit := "indelible-" + name
	return files.Contents{
		file(unit+".service", "/usr/lib/systemd/system/"+unit+".service", ""),
		file(unit+".sysusers", "/usr/lib/sysusers.d/"+unit+".conf", ""),
		file(unit+".tmpfiles", "/usr/lib/tmpfiles.d/"+unit+".conf", ""),
		file(name+".yaml", "/etc/indelible/"+name+".yaml", files.TypeConfigNoReplace),
	}
}
