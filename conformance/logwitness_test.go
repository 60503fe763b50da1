package conformance_test

import (
	"bufio"
	"crypto/ed25519"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/conformance"
)

// program is cmd/logwitness, run as a process in a folder.
type program struct{ binary, dir string }

func buildProgram(t *testing.T) program {
	t.Helper()
	p := program{filepath.Join(t.TempDir(), "logwitness"), t.TempDir()}
	if out, err := exec.Command("go", "build", "-o", p.binary, "indelible/cmd/logwitness").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

// keygen makes a key, and returns its vkey.
func (p program) keygen(t *testing.T, file string, args ...string) checkpoint.Verifier {
	t.Helper()
	cmd := exec.Command(p.binary, append([]string{"keygen", "--name", "witness.example/w1", "--out", file}, args...)...)
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(p.dir, file+".vkey"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := checkpoint.ParseVerifier(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// serve runs the witness; kill ends it at once.
func (p program) serve(t *testing.T) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(p.binary, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", "data", "--key", "ed.key", "--key", "ml.key", "--logs", "logs")
	cmd.Dir = p.dir
	said, err := os.OpenFile(filepath.Join(p.dir, "said"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
		read.Close()
		said.Close()
	}
	t.Cleanup(kill)
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 4 && words[0] == "witness" {
			return words[3], kill
		}
	}
	why, _ := os.ReadFile(said.Name())
	t.Fatalf("it does not begin:\n%s", why)
	return "", kill
}

// Our program keeps every rule, and goes on from where it was killed.
func TestLogwitness(t *testing.T) {
	p := buildProgram(t)
	keys := []checkpoint.Verifier{p.keygen(t, "ed.key"), p.keygen(t, "ml.key", "--mldsa")}
	log, err := conformance.NewLog(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "logs"), []byte("logs/v0\n"+log.LogList()), 0o600); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for run, untested := range []int{len(unseen), 5 + len(unseen)} {
		url, kill := p.serve(t)
		r, err := conformance.Witness(t.Context(), conformance.Config{Submission: url, Log: log, Keys: keys}, func(conformance.Result) {})
		kill()
		if failed := inState(r, conformance.Failed); err != nil || len(failed) > 0 || len(inState(r, conformance.NotTested)) != untested || r.Before != size {
			t.Errorf("run %d, from size %d, which was %d: failed %q, %v", run, r.Before, size, failed, err)
			explain(t, r)
		}
		if slices.Contains(inState(r, conformance.NotTested), "subtree") {
			t.Error("it does not sign subtrees")
		}
		size = r.After
	}
}
