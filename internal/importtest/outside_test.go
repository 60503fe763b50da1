package importtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Another module imports this one as README.md says, with nothing from a network.
func TestOtherModule(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)As a library.*?```sh\n(.*?)```").FindSubmatch(readme)
	if commands == nil {
		t.Fatal("README.md does not say how another module imports this one")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nimport \"indelible/merkle\"\n\nfunc main() { println(merkle.HashSize) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sh := "go mod init example.com/other\n" + strings.Replace(string(commands[1]), "../indelible", root, 1) + "go run .\n"
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", sh)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "32\n") {
		t.Errorf("%v\n%s\n%s", err, sh, out)
	}
}
