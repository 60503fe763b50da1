//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
		if out, err := exec.Command(filepath.Join(bins, "logcli"), "--url", "http://"+s.http, "add", "--kind", "raw", u.file(name, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	// What stands in for what: the text of the guide, and of the test.
	standIns := strings.NewReplacer("https://log.example.com", "http://"+s.http)
	for _, section := range guide(t, "../../docs/audit.md") {
		t.Run(section.title, func(t *testing.T) {
			for _, sh := range section.sh {
				cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", standIns.Replace(sh))
				cmd.Dir, cmd.Env = u.dir, append(append(os.Environ(), u.env...), "PATH="+bins+":/usr/local/bin:/usr/bin:/bin")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s\n%s", err, sh, out)
				}
			}
		})
	}
}
