package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAPIGuide runs the examples of docs/api.md as they are written, one after the
// other, in one folder.
func TestAPIGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	log, dir := newLog(t), t.TempDir()
	newSigner(t, nil).add(t, log, "one", "two", "three")
	if err := os.WriteFile(filepath.Join(dir, "app.tgz"), []byte("an app"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := map[string][]string{"sh": {"bash", "-euo", "pipefail", "-c"}, "python": {"python3", "-c"}, "js": {"node", "--input-type=module", "-e"}}
	examples := regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	var said strings.Builder
	for _, e := range examples {
		command := append(run[e[1]], e[2])
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LOG="+log, "PATH="+bin+":"+os.Getenv("PATH"), "XDG_CONFIG_HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, e[2], out)
		}
		said.Write(out)
	}
	for _, want := range []string{"Verified: app.tgz is in log log.example, number 3.", "entry 0 is in the tree of 4", "3 hashedrekord 20"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing says %q: %s", want, said.String())
		}
	}
	if len(examples) != 4 {
		t.Errorf("%d examples", len(examples))
	}
}
