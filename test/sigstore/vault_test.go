package sigstore

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	vaultToken = "s.token-of-the-log"
	cannotSign = "the log's key for Rekor v1 cannot sign at present"
)

// newVault runs a stand-in for Vault that has a key, for the programs that the
// test starts. It returns the address, and what ends it.
func newVault(t *testing.T, key string) (url string, end func()) {
	t.Helper()
	t.Setenv("VAULT_TOKEN", vaultToken)
	cmd := exec.Command(filepath.Join(bin, "vault"), key)
	stdin := must1(cmd.StdinPipe())
	stdout := must1(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() { stdin.Close(); cmd.Wait() }
	t.Cleanup(end)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(line)
	t.Setenv("VAULT_ADDR", url)
	return url, end
}

// vaultKey asks Vault itself for the public key.
func vaultKey(t *testing.T, url, name string) string {
	t.Helper()
	req := must1(http.NewRequest(http.MethodGet, url+"/v1/transit/keys/"+name, nil))
	req.Header.Set("X-Vault-Token", vaultToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Data struct {
			Keys map[string]struct {
				PublicKey string `json:"public_key"`
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Data.Keys["1"].PublicKey
}

// vaultCommands are those of the guide: how the key is made, the log, and its
// server is started.
func vaultCommands(t *testing.T) (key string, init, serve []string) {
	t.Helper()
	sections := guide(t)
	i := slices.IndexFunc(sections, func(s section) bool { return s.title == "Rekor v1's key in a key management service" })
	if i < 0 {
		t.Fatal("the guide has no section about key management services")
	}
	lines := strings.Split(strings.TrimSpace(sections[i].text), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "logserver init ") || !strings.HasPrefix(lines[2], "logserver --") {
		t.Fatalf("the guide's commands are %q, and not of vault, logserver init and logserver", lines)
	}
	key, found := strings.CutPrefix(lines[0], "vault write -f transit/keys/")
	key, curve, _ := strings.Cut(key, " ")
	if !found || curve != "type=ecdsa-p256" {
		t.Fatalf("the guide makes the key by %q, which the stand-in does not do", lines[0])
	}
	return key, strings.Fields(lines[1]), strings.Fields(lines[2])
}

// TestKeyInVault has cosign and rekor-cli use a log whose key for Rekor v1 never
// leaves Vault, by the guide's commands: they trust the key that Vault shows.
func TestKeyInVault(t *testing.T) {
	name, init, serve := vaultCommands(t)
	url, end := newVault(t, name)
	w := newFolder(t)
	data := filepath.Join(t.TempDir(), "log")
	w.must(append(append([]string{"VAULT_ADDR=" + url, "VAULT_TOKEN=" + vaultToken}, init...), "--data-dir", data)...)
	w.serve(append(serve[1:], "--data-dir", data))
	w.must("logcli", "trust", "export", "--url", w.url, "--dir", "trust")
	if shown, exported := vaultKey(t, url, name), w.read("trust/rekor-v1.pem"); shown != exported {
		t.Errorf("the log's key for Rekor v1 is\n%sand not Vault's\n%s", exported, shown)
	}
	if files, err := filepath.Glob(filepath.Join(data, "*v1*")); err != nil || files != nil {
		t.Errorf("%v: there are files %q of the key", err, files)
	}

	w.must("cosign3", "generate-key-pair")
	w.write("other", "other\n")
	for _, program := range []string{"cosign2", "cosign3"} {
		l := legacy{w, program, legacySigners()[0]}
		l.blob()
	}
	w.must(w.rekorCLI("loginfo")...)
	for _, index := range []string{"0", "1"} {
		w.must(w.rekorCLI("get", "--log-index", index)...)
		w.must(w.rekorCLI("verify", "--log-index", index)...)
	}
	w.vaultAway(end)
}

// vaultAway ends Vault: what it signed is served and verified, and for what is
// new the log says why it is not, to those who show it.
func (w *world) vaultAway(end func()) {
	w.t.Helper()
	end()
	w.must(w.rekorCLI("verify", "--log-index", "0")...)
	for program, says := range map[string]string{"cosign2": "giving up after 4 attempt(s)", "cosign3": cannotSign} {
		l := legacy{w, program, legacySigners()[0]}
		w.must(l.verifies("verify-blob", "--bundle", "b", "cosign3")...)
		w.trouble(says, l.signs("sign-blob", "--bundle", "c", "other")...)
	}
	w.trouble(cannotSign, w.rekorCLI("upload", w.uploads()["rekord"]...)...)
}
