//go:build unix

package e2e

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"indelible/keys"
)

// The commands of docs/audit.md, run as they are written, with a stand-in for
// each public log. The sections share a folder, a home and a log with some
// entries; each has a shell of its own, with INDELIBLE_URL set to that log.
func TestAuditGuide(t *testing.T) {
	s := newServer(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", origin, "--rekor-v2")
	s.start()
	s.ready()
	u := newUser(t, s)
	for _, name := range []string{"a", "b", "c"} {
		u.exits(0, "", "add", "--kind", "raw", u.file(name, name))
	}
	if err := os.RemoveAll(filepath.Join(u.dir, "config")); err != nil { // the auditor is somebody else
		t.Fatal(err)
	}
	key := s.vkey()[0]
	fingerprint, err := keys.Fingerprint(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "HOME="+u.dir, "XDG_STATE_HOME="+filepath.Join(u.dir, "state"), "FINGERPRINT="+fingerprint, "GOSUMDB="+sumDB(t), "GOTOOLCHAIN=local")
	// What stands in for what: the text of the guide, and of the test.
	standIns := strings.NewReplacer(
		"https://log.example.com", "http://"+s.http,
		"https://log2025-1.rekor.sigstore.dev/api/v2", "http://"+s.http+"/api/v2",
		"127.0.0.1:8092", freeAddrs(t, 1)[0],
		"log2025-1.rekor.sigstore.dev+cf119915+AbfK5adZJxsI323FwGD2AJJ9F4i89cfDuLdGJBIYntuO", key.String(),
	)
	for _, section := range guide(t, "../../docs/audit.md") {
		t.Run(section.title, func(t *testing.T) {
			sh := strings.Join(section.sh, "")
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", standIns.Replace(sh))
			cmd.Dir, cmd.Env = u.dir, append(append(os.Environ(), u.env...), "PATH="+bins+":/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s\n%s", err, sh, out)
			}
		})
	}
}

// sumDB starts a checksum database with some modules, and returns the GOSUMDB that
// names it.
func sumDB(t *testing.T) string {
	t.Helper()
	secret, vkey, err := note.GenerateKey(rand.Reader, "sum.example")
	if err != nil {
		t.Fatal(err)
	}
	ops := sumdb.NewTestServer(secret, func(path, version string) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s h1:abc=\n%s %s/go.mod h1:def=\n", path, version, path, version), nil
	})
	for i := range 300 {
		if _, err := ops.Lookup(t.Context(), module.Version{Path: "example.com/m", Version: fmt.Sprintf("v1.0.%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	for _, path := range sumdb.ServerPaths {
		mux.Handle(path, sumdb.NewServer(ops))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return vkey + " " + server.URL
}
