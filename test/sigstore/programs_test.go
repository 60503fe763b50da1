package sigstore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bin is where TestMain puts the programs: logserver, logcli, logwitness, vault, cosign3,
// cosign2, rekor-cli and node. It is first in the clients' PATH.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sigstore")
	if err == nil {
		bin = dir
		err = programs()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The libraries that are tested here, in this process, are to reach nothing
	// either.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Setenv(name, "http://127.0.0.1:1")
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// programs builds our programs in their own module, and has Go's build cache
// give the others.
func programs() error {
	if err := sigstoreJS(); err != nil {
		return err
	}
	if _, err := output("../..", "go", "build", "-o", bin, "./cmd/logserver", "./cmd/logcli", "./cmd/logwitness", "./keys/kms/kmstest/vault"); err != nil {
		return err
	}
	for _, p := range []struct{ name, module, tool string }{
		{"cosign3", "cosign3", "cosign"},
		{"cosign2", "cosign2", "cosign"},
		{"rekor-cli", ".", "rekor-cli"},
	} {
		path, err := output(p.module, "go", "tool", "-n", p.tool)
		if err != nil {
			return err
		}
		if err := os.Symlink(strings.TrimSpace(path), filepath.Join(bin, p.name)); err != nil {
			return err
		}
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return err
	}
	return os.Symlink(node, filepath.Join(bin, "node"))
}

func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, exit.Stderr)
	}
	return string(out), err
}
