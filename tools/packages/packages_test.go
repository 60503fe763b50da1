package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sassoftware/go-rpmutils"
)

// packaged makes a program's packages, and unpacks that for Debian.
func packaged(t *testing.T, name string) (root, rpm string) {
	t.Helper()
	dir, root := t.TempDir(), t.TempDir()
	if err := run(t.Context(), "../..", dir, name, runtime.GOARCH, "1.2.3", io.Discard); err != nil {
		t.Fatal(err)
	}
	find := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		return found[0]
	}
	command(t, "dpkg-deb", "-x", find("indelible-"+name+"_1.2.3_*.deb"), root)
	return root, find("indelible-" + name + "-1.2.3-1.*.rpm")
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The package of the server has all that a service needs; systemd takes its unit,
// and finds it hardened; and what it holds starts, tells systemd so, is asked for
// its health, and stops.
func TestServer(t *testing.T) {
	root, rpm := packaged(t, "logserver")
	in := func(path string) string { return filepath.Join(root, path) }
	sameFiles(t, root, rpm)
	for path, says := range map[string]string{
		"usr/share/man/man1/logserver.1":                       "INDELIBLE_HTTP",
		"usr/share/man/man1/logserver-guard-status.1":          "logserver-guard(1)",
		"usr/share/bash-completion/completions/logserver":      "__complete",
		"usr/share/zsh/vendor-completions/_logserver":          "#compdef logserver",
		"usr/share/fish/vendor_completions.d/logserver.fish":   "complete -c logserver",
		"usr/share/doc/indelible-logserver/copyright":          "Apache License",
		"usr/share/doc/indelible-logserver/logserver.cdx.json": "CycloneDX",
		"usr/lib/sysusers.d/indelible-logserver.conf":          "u indelible",
		"usr/lib/tmpfiles.d/indelible-logserver.conf":          "/etc/indelible/credentials 0700",
	} {
		if text, err := os.ReadFile(in(path)); err != nil || !strings.Contains(string(text), says) {
			t.Errorf("%s does not say %q: %v", path, says, err)
		}
	}
	checkUnit(t, root, "indelible-logserver.service")
	if out := command(t, in("usr/bin/logserver"), "__complete", "--storage", ""); !strings.HasPrefix(out, "sqlite\nmysql\n:4\n") {
		t.Errorf("completion of --storage: %s", out)
	}

	socket := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	data := t.TempDir()
	admin := free(t)
	cmd := exec.Command(in("usr/bin/logserver"), "serve", "--config", in("etc/indelible/logserver.yaml"), "--origin", "log.example",
		"--data-dir", data, "--register", filepath.Join(data, "register"), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", admin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &out, append(os.Environ(), "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	await := func(state string) {
		t.Helper()
		told.SetReadDeadline(time.Now().Add(2 * time.Minute))
		got := make([]byte, 64)
		if n, err := told.Read(got); err != nil || string(got[:n]) != state {
			t.Fatalf("systemd is told %q, %v, not %q\n%s", got[:n], err, state, &out)
		}
	}
	await("READY=1")
	command(t, in("usr/bin/logserver"), "health", "--admin", admin)
	signal(t, cmd, syscall.SIGHUP)
	await("RELOADING=1")
	await("READY=1")
	signal(t, cmd, syscall.SIGTERM)
	await("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}

func signal(t *testing.T, cmd *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	return on.Addr().String()
}

// checkUnit has systemd read a unit that was unpacked.
func checkUnit(t *testing.T, root, unit string) {
	t.Helper()
	file := filepath.Join(root, "usr/lib/systemd/system", unit)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(t.TempDir(), unit) // its programs are not installed
	text = bytes.ReplaceAll(text, []byte("=/usr/bin/log"), []byte("="+root+"/usr/bin/log"))
	if err := os.WriteFile(here, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := command(t, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", here); strings.Contains(out, unit) {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	if out := command(t, "systemd-analyze", "security", "--offline=yes", "--threshold=20", here); !strings.Contains(out, "OK") {
		t.Errorf("systemd-analyze security: %s", out)
	}
}

// sameFiles compares what was unpacked with the list of the other package.
func sameFiles(t *testing.T, root, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := rpmutils.ReadRpm(f)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := r.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]int{}
	for _, l := range listed {
		modes[l.Name()] = l.Mode() & 0o777
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if name := strings.TrimPrefix(path, root); err == nil && modes[name] != int(info.Mode().Perm()) {
			t.Errorf("%s: mode %o in .rpm, %o in .deb", name, modes[name], info.Mode().Perm())
		}
		return err
	})
	if err != nil || len(modes) < 10 {
		t.Errorf("%d files: %v", len(modes), err)
	}
}

// The witness's unit is one that systemd takes too, and its settings are ones
// that the witness takes.
func TestWitness(t *testing.T) {
	root, _ := packaged(t, "logwitness")
	checkUnit(t, root, "indelible-logwitness.service")
	program, settings := filepath.Join(root, "usr/bin/logwitness"), filepath.Join(root, "etc/indelible/logwitness.yaml")
	out, err := exec.Command(program, "serve", "--config", settings, "--key", filepath.Join(root, "none"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0").CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || !strings.Contains(string(out), "there is no key") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What cannot be packaged is refused.
func TestRefused(t *testing.T) {
	if err := run(t.Context(), "../..", t.TempDir(), "logserv", "amd64", "1", io.Discard); err == nil || !strings.Contains(err.Error(), "there is no program") {
		t.Error(err)
	}
}
