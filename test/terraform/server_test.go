package terraform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"indelible/internal/freeport"
)

// configCheck runs logserver config check. The folder /run/indelible, which containers
// write before it starts, is one of the test's.
func configCheck(t *testing.T, args []string, env map[string]string) (string, error) {
	t.Helper()
	var both bytes.Buffer
	run := t.TempDir()
	for _, f := range []string{"database-ca.pem", "log.key"} {
		if err := os.WriteFile(filepath.Join(run, f), certificate(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), shared.logserver, append([]string{"config", "check"}, args...)...)
	c.Dir, c.Env = t.TempDir(), []string{"HOME=" + t.TempDir()}
	for k, v := range env {
		c.Env = append(c.Env, k+"="+strings.ReplaceAll(v, "/run/indelible/", run+"/"))
	}
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	return both.String(), err
}

func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// logAt starts a log as the modules do, with a key that logcli made before, and returns its URL and vkey.
func logAt(t *testing.T) (url, vkey string) {
	t.Helper()
	dir := t.TempDir()
	addrs, err := freeport.Addrs(3)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"HOME=" + dir, "INDELIBLE_DATA_DIR=" + dir, "INDELIBLE_ORIGIN=log.example.com",
		"INDELIBLE_HTTP=" + addrs[0], "INDELIBLE_GRPC=" + addrs[1], "INDELIBLE_ADMIN=" + addrs[2],
	}
	start := func(args ...string) *exec.Cmd {
		c := exec.Command(shared.logserver, args...)
		c.Env = env
		return c
	}
	made, err := output(exec.Command(shared.logcli, "keygen", "--origin", "log.example.com", filepath.Join(dir, "log.key")))
	if err != nil {
		t.Fatal(err)
	}
	_, vkey, _ = strings.Cut(string(made), "vkey")
	vkey = strings.TrimSpace(vkey)
	if _, err := output(start(initCommand...)); err != nil {
		t.Fatal(err)
	}
	server := start("serve")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		server.Wait()
	})
	url = "http://" + addrs[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return url, vkey
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("the server is not ready")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// The module trust against a real server: its outputs are the log's, and a log with
// another key is refused.
func TestTrustOfARealLog(t *testing.T) {
	url, vkey := logAt(t)
	dir := filepath.Join(tree(t), "trust")
	mustRun(t, dir, nil, "init", "-input=false")
	apply := []string{"apply", "-auto-approve", "-input=false", "-no-color"}
	before := mustRun(t, dir, []string{"TF_VAR_vkey=" + vkey, "TF_VAR_url=http://127.0.0.1:1", "TF_VAR_initialized=false"}, apply...)
	if !strings.Contains(string(before), vkey) {
		t.Errorf("before the log is there its vkey is not known: %s", before)
	}
	mustRun(t, dir, []string{"TF_VAR_vkey=" + vkey, "TF_VAR_url=" + url, "TF_VAR_initialized=true"}, apply...)
	var outputs map[string]struct{ Value string }
	if err := json.Unmarshal(mustRun(t, dir, nil, "output", "-json"), &outputs); err != nil {
		t.Fatal(err)
	}
	if outputs["vkey"].Value != vkey {
		t.Errorf("vkey is %q, and the log's is %q", outputs["vkey"].Value, vkey)
	}
	response, err := http.Get(url + "/trust/trusted_root.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var served bytes.Buffer
	if _, err := served.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if outputs["trusted_root"].Value != served.String() || !strings.Contains(served.String(), outputs["spki"].Value) {
		t.Errorf("trusted_root is %q, with key %s, and the log serves %s", outputs["trusted_root"].Value, outputs["spki"].Value, &served)
	}

	_, other := logAt(t)
	_, err = run(t, dir, []string{"TF_VAR_vkey=" + other, "TF_VAR_url=" + url, "TF_VAR_initialized=true"}, apply...)
	if err == nil || !strings.Contains(err.Error(), "does not have the key of vkey") {
		t.Errorf("a log with another key: %v", err)
	}
}

// The alarm on a poisoned log looks for words that the server says.
func TestPoisonIsSaidSo(t *testing.T) {
	said, err := os.ReadFile("../../cmd/logserver/serve.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(said, []byte(`logger.Error("THE LOG IS POISONED`)) {
		t.Error("the server's words have changed: look for POISONED in deploy/terraform")
	}
}
