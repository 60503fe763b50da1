package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// blocks returns the code blocks of a guide whose fence says what language they
// are in.
func blocks(guide, language string) []string {
	var found []string
	for i, part := range strings.Split(guide, "```") {
		if text, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			found = append(found, text)
		}
	}
	return found
}

// The guide's files prove what it says, and its commands print what it shows.
func TestEvidenceGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := blocks(string(guide), "")
	for i, name := range []string{"fork.evidence", "log.vkey"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[i]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "logcli"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	consoles := blocks(string(guide), "console")
	if len(consoles) < 3 {
		t.Fatalf("%d console blocks", len(consoles))
	}
	for _, block := range consoles {
		if got := session(t, dir, block); got != block {
			t.Errorf("the guide shows:\n%s\nand it is:\n%s", block, got)
		}
	}
}

// session runs the commands of a block in a shell, and returns the block as it
// would have been.
func session(t *testing.T, dir, block string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(block) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + dir + ":" + dir + "/bin:" + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "HOME=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		b.WriteString(line + string(out))
	}
	return b.String()
}
