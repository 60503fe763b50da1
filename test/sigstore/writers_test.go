package sigstore

import (
	"strings"
	"syscall"
	"testing"
)

// protect gives a world a policy by which the token in the file token alone may write.
func protect(t *testing.T) *world {
	t.Helper()
	w := newFolder(t)
	hash := strings.TrimSpace(w.must("logserver", "writers", "token", "token"))
	w.write("writers.yaml", `{"principals": [{"name": "ci", "tokens": ["`+hash+`"]}], "rules": [{"name": "r", "principals": ["ci"]}]}`)
	w.serve([]string{"--writers", w.path("writers.yaml")})
	w.must("logcli", "trust", "export", "--url", w.url, "--dir", "trust")
	w.must("cosign3", "generate-key-pair")
	w.write("app.txt", "app\n")
	return w
}

// passing starts logcli proxy with the token, and returns its URL.
func (w *world) passing() string {
	w.t.Helper()
	var out buffer
	cmd := w.program([]string{"logcli", "proxy", "--url", w.url, "--token-file", "token", "--listen", anyPort})
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	return "http://localhost:" + said(w.t, &out, `http://127\.0\.0\.1:(\d+) is`)
}

// TestTokenAsPassword: cosign sends the password in a signing config's URL to Rekor v2,
// and tells why it is refused without.
func TestTokenAsPassword(t *testing.T) {
	w := protect(t)
	sign := func(services, bundle string) []string {
		return []string{"cosign3", "sign-blob", "--yes", "--key", "cosign.key", "--signing-config", services, "--trusted-root", "trust/trusted_root.json", "--bundle", bundle, "app.txt"}
	}
	w.refused("send a token", sign("trust/signing_config.json", "refused.json")...)
	token := strings.TrimSpace(w.read("token"))
	w.write("services.json", strings.ReplaceAll(w.read("trust/signing_config.json"), "http://localhost", "http://x:"+token+"@localhost"))
	w.must(sign("services.json", "bundle.json")...)
	if strings.Contains(w.read("bundle.json"), token) {
		t.Error("the bundle has the token")
	}
	w.must("cosign3", "verify-blob", "--key", "cosign.pub", "--trusted-root", "trust/trusted_root.json", "--bundle", "bundle.json", "app.txt")
}

// TestProxy: clients of Rekor v1 and v2 write through logcli proxy.
func TestProxy(t *testing.T) {
	w := protect(t)
	proxy := w.passing()
	uploads := w.uploads()["hashedrekord"]
	key := "REKOR_REKOR_SERVER_PUBLIC_KEY=" + w.read("trust/rekor-v1.pem")
	w.refused("send a token", append([]string{key, "rekor-cli", "upload", "--rekor_server", w.url}, uploads...)...)
	w.must(append([]string{key, "rekor-cli", "upload", "--rekor_server", proxy}, uploads...)...)
	w.write("services.json", strings.ReplaceAll(w.read("trust/signing_config.json"), w.url, proxy))
	w.must("cosign3", "sign-blob", "--yes", "--key", "cosign.key", "--signing-config", "services.json", "--trusted-root", "trust/trusted_root.json", "--bundle", "bundle.json", "app.txt")
	sign := object{"do": "sign", "file": "app.txt", "bundle": "js.json", "url": proxy, "api": 1, "type": "message", "key": "cli.pem", "publicKey": "cli.pub", "times": 1}
	w.must(w.js(sign)...)
}
