// Command release makes what is published of a release, and logs it: programs,
// the lists of what they are made of (CycloneDX), and SHA256SUMS, each with a
// .tlog-proof beside it.
//
//	cd tools && go run ./release -out ../dist/release -url https://log.example.com -key release.key
//
// Without -url, it runs a log of its own for as long as it takes. The log's
// database, key and register stay in the folder that -log names, and the next
// release goes on with them.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"indelible/tools/internal/build"
)

// release is what is asked for.
type release struct {
	root, out string
	url, key  string // the log, and the key that signs; empty: own ones
	own       string // the folder of the own log
	programs  []string
	targets   []string
	logcli    string // the program for this machine
}

func main() {
	log.SetFlags(0)
	r := release{root: "..", programs: []string{"logserver", "logwitness", "logcli"}, targets: []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}}
	flag.StringVar(&r.out, "out", "../dist/release", "folder to write to; what it holds is replaced")
	flag.StringVar(&r.url, "url", "", "URL of the log; default: one of its own")
	flag.StringVar(&r.key, "key", "", "file of the signing key; default: that of logcli, which makes it if it is missing")
	flag.StringVar(&r.own, "log", "../dist/release-log", "folder of its own log")
	flag.Parse()
	if err := r.run(context.Background(), os.Stdout); err != nil {
		log.Fatalln("release:", err)
	}
}

func (r *release) run(ctx context.Context, w io.Writer) error {
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	tools, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tools)
	here := build.Target{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if r.logcli, err = build.Program(ctx, r.root, "logcli", here, tools); err != nil {
		return err
	}
	if err := r.programsOf(ctx); err != nil {
		return err
	}
	if err := sums(r.out); err != nil {
		return err
	}
	args := []string{"--url", r.url}
	if r.url == "" {
		url, vkey, stop, err := r.ownLog(ctx, here, tools)
		if err != nil {
			return err
		}
		defer stop()
		args = []string{"--url", url, "--log-key", vkey}
	}
	return r.logAll(ctx, args, w)
}

// programsOf builds all programs for all systems. On Windows, logcli alone runs.
func (r *release) programsOf(ctx context.Context) error {
	for _, target := range r.targets {
		t, err := build.ParseTarget(target)
		if err != nil {
			return err
		}
		for _, name := range r.programs {
			if t.OS == "windows" && name != "logcli" {
				continue
			}
			if err := r.program(ctx, name, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *release) program(ctx context.Context, name string, t build.Target) error {
	file, err := build.Program(ctx, r.root, name, t, r.out)
	if err != nil {
		return err
	}
	sbom, err := build.SBOM(file)
	if err != nil {
		return err
	}
	named := filepath.Join(r.out, name+"_"+t.OS+"_"+t.Arch)
	if err := os.WriteFile(named+".cdx.json", sbom, 0o644); err != nil {
		return err
	}
	return os.Rename(file, named+filepath.Ext(file))
}

// files are those of a folder, sorted.
func files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, err
}

// sums writes SHA256SUMS, as sha256sum does.
func sums(dir string) error {
	names, err := files(dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(data), name)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(text.String()), 0o644)
}

// ownLog runs a log until stop, and copies its vkey to the release.
func (r *release) ownLog(ctx context.Context, here build.Target, tools string) (url, vkey string, stop func() error, err error) {
	program, err := build.Program(ctx, r.root, "logserver", here, tools)
	if err != nil {
		return "", "", nil, err
	}
	cmd := exec.CommandContext(ctx, program, "--data-dir", r.own, "--register", filepath.Join(r.own, "register"),
		"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "error")
	cmd.Stderr = os.Stderr
	banner, err := cmd.StdoutPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", "", nil, err
	}
	stop = func() error { return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()) }
	for lines := bufio.NewScanner(banner); url == "" && lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "HTTP" {
			url = f[1]
		}
	}
	if url == "" {
		return "", "", nil, errors.Join(errors.New("the log did not start"), cmd.Wait())
	}
	go io.Copy(io.Discard, banner)
	vkey = filepath.Join(r.out, "log.vkey")
	text, err := os.ReadFile(filepath.Join(r.own, "log.key.vkey"))
	if err == nil {
		err = os.WriteFile(vkey, text, 0o644)
	}
	if err != nil {
		return "", "", nil, errors.Join(err, stop())
	}
	return url, vkey, stop, nil
}

// logAll logs every file, and verifies its proof. args name the log.
func (r *release) logAll(ctx context.Context, args []string, w io.Writer) error {
	names, err := files(r.out)
	if err != nil {
		return err
	}
	add := append([]string{"add"}, args...)
	if r.key != "" {
		add = append(add, "--key", r.key)
	}
	verify := append([]string{"verify"}, args[2:]...)
	if r.key != "" {
		verify = append(verify, "--signer", r.key+".pub")
	}
	for _, name := range names {
		if name == "log.vkey" {
			continue
		}
		for _, command := range [][]string{add, verify} {
			cmd := exec.CommandContext(ctx, r.logcli, append(slices.Clone(command), filepath.Join(r.out, name))...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("logcli %s %s: %w\n%s", command[0], name, err, out)
			}
		}
		fmt.Fprintln(w, name)
	}
	return nil
}
