//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands of docs/witness.md, run as they are written, except for the ports.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/witness.md")
	if err != nil {
		t.Fatal(err)
	}
	dir, addrs := t.TempDir(), freeAddrs(t, 2)
	listen, admin := addrs[0], addrs[1]
	env := append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "INDELIBLE_LISTEN="+listen, "INDELIBLE_ADMIN="+admin)
	shell := func(script string) *exec.Cmd {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.NewReplacer("127.0.0.1:8090", listen, "127.0.0.1:8091", admin).Replace(script))
		cmd.Dir, cmd.Env = dir, env
		return cmd
	}
	var witness *exec.Cmd
	var said buffer
	stop := func() {
		if witness == nil {
			return
		}
		witness.Process.Signal(os.Interrupt)
		if err := witness.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, said.String())
		}
		witness = nil
	}
	t.Cleanup(stop)
	blocks := blocksOf(string(guide), "sh")
	if len(blocks) != 6 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	for _, block := range blocks {
		switch {
		case strings.HasPrefix(block, "logwitness serve"):
			witness = shell("exec " + block)
			witness.Stdout, witness.Stderr = &said, &said
			if err := witness.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the witness is ready", func() error { _, err := get("http://" + admin + "/readyz"); return err })
			continue
		case strings.HasPrefix(block, "logwitness register new"):
			stop()
			if err := os.Remove(filepath.Join(dir, "logwitness-data/register")); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := shell(block).CombinedOutput(); err != nil {
			t.Fatalf("%s%v\n%s", block, err, out)
		} else if strings.Contains(block, "readyz") && !strings.HasPrefix(string(out), "ok\n") {
			t.Errorf("%s%s", block, out)
		}
	}
	for _, line := range []string{"  logs        1\n", "\nwitness witness.example.com/w1 witness.example.com/w1+"} {
		eventually(t, "said, by a pipe", func() error { return contains(said.String(), line) })
		if !strings.Contains(string(guide), line) {
			t.Errorf("the guide does not say %q", line)
		}
	}
	// The file of settings is one that is read.
	for _, yaml := range blocksOf(string(guide), "yaml") {
		if err := os.WriteFile(filepath.Join(dir, "w.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx := shell("timeout 180 logwitness register new --config w.yaml")
		var exit *exec.ExitError
		if out, err := ctx.CombinedOutput(); !errors.As(err, &exit) || !strings.Contains(string(out), "/mnt/other-disk/register") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// blocksOf returns a page's blocks of code in a language.
func blocksOf(page, language string) []string {
	var blocks []string
	for _, part := range strings.Split(page, "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		blocks = append(blocks, block+"\n")
	}
	return blocks
}
