//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"indelible/mirror"
)

// mirrored is a mirror that is pushed to.
type mirrored struct {
	t         *testing.T
	dir, addr string
	logKey    string
	cmd       *exec.Cmd
}

func (m *mirrored) start() {
	m.t.Helper()
	m.cmd = exec.Command(filepath.Join(bins, "logcli"), "mirror", "serve", m.dir, "--name", "mirror.example/m1", "--log-key", m.logKey, "--listen", m.addr)
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, "the mirror serves", func() error { _, err := m.about(); return err })
}

func (m *mirrored) stop(with syscall.Signal) {
	m.t.Helper()
	m.cmd.Process.Signal(with)
	if err := m.cmd.Wait(); err != nil && with == syscall.SIGTERM {
		m.t.Errorf("the mirror ends with %v", err)
	}
}

// about is the policy of a log that needs this mirror.
func (m *mirrored) about() (policy string, err error) {
	res, err := http.Get("http://" + m.addr + "/mirror.v0.json")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	var says struct {
		Keys []string `json:"verifier_keys"`
	}
	if err == nil {
		err = json.Unmarshal(data, &says)
	}
	if err != nil || len(says.Keys) == 0 {
		return "", fmt.Errorf("%s: %w", data, err)
	}
	return fmt.Sprintf("witness m1 %s http://%s\ngroup all-of-them all m1\nquorum all-of-them\n", says.Keys[0], m.addr), nil
}

// What a log with a mirror in its quorum has answered is at the mirror: its
// database, all but the first backup, may be lost. While the mirror is away nothing
// is answered, and when it is back, killed in between, it catches up.
func TestTheDatabaseIsLost(t *testing.T) {
	s, backup := onSQLite(t)
	s.start()
	s.ready()
	b := &behind{server: s, ledger: newLedger(t), had: 1}
	b.ledger.add(s.client(s.vkey()), "before")
	m := &mirrored{t: t, dir: filepath.Join(t.TempDir(), "mirror"), addr: freeAddrs(t, 1)[0], logKey: s.vkey()[0].String()}
	s.stop()
	restore := backup()
	m.start()
	policy, err := m.about()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "--witness-policy", file, "--mirrors", "m1", "--add-timeout", "3s")
	s.start()
	s.ready()
	c := s.client(s.vkey())
	b.ledger.addUpTo(c, 700)

	m.stop(syscall.SIGKILL)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	if got, err := c.Add(ctx, rawEntry(t, "while it is away")); err == nil {
		t.Errorf("entry %d was answered without the mirror", got.Index)
	}
	cancel()
	m.start()
	b.ledger.add(c, "while it is away")
	b.ledger.addUpTo(c, 1500)
	b.has = int64(b.ledger.len())

	s.kill()
	restore()
	b.mirror = filepath.Join(m.dir, mirror.Folder(origin))
	if out, code := b.restore(b.mirror); code != 0 || !strings.Contains(out, fmt.Sprintf(" to %d. It contains all that is known to be signed.", b.has)) {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	b.goesOn(t)
	must(t, nil, "logserver", append([]string{"fsck"}, b.args...)...)
	m.stop(syscall.SIGTERM)
}
