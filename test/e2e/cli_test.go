//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// user is a person with a home of their own.
type user struct {
	t   *testing.T
	dir string
	env []string
}

func newUser(t *testing.T, s *server) *user {
	t.Helper()
	u := &user{t: t, dir: t.TempDir()}
	u.env = []string{"XDG_CONFIG_HOME=" + filepath.Join(u.dir, "config"), "INDELIBLE_URL=http://" + s.http}
	return u
}

func (u *user) file(name, content string) string {
	u.t.Helper()
	path := filepath.Join(u.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		u.t.Fatal(err)
	}
	return path
}

func (u *user) read(name string) string {
	u.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		u.t.Fatal(err)
	}
	return string(data)
}

// exits runs logcli and checks its exit code and what it says.
func (u *user) exits(code int, says string, args ...string) string {
	u.t.Helper()
	out, got := run(u.t, u.env, "logcli", args...)
	if got != code || !strings.Contains(out, says) {
		u.t.Errorf("logcli %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, says, out)
	}
	return out
}

func running(t *testing.T) *server {
	t.Helper()
	s := newSQLite(t)
	s.start()
	s.ready()
	return s
}

// The newcomer's commands, on SQLite and on MariaDB.
func TestNewcomer(t *testing.T) {
	for name, server := range map[string]func() *server{
		"sqlite": func() *server { return newSQLite(t) },
		"mariadb": func() *server {
			return newServer(t, mysqlArgs(t, newMariaDB(t), "log")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := server()
			s.start()
			s.ready()
			eventually(t, "the server says what it is", func() error { // what it says comes by a pipe
				if said := s.out.String(); !strings.Contains(said, "http://"+s.http) || !strings.Contains(said, "logcli add") || !strings.Contains(said, origin+"+") || !strings.Contains(said, "  database  ") {
					return fmt.Errorf("it says:\n%s", said)
				}
				return nil
			})
			u := newUser(t, s)
			f := u.file("README.md", "hello\n")
			out := u.exits(0, "number 0", "add", f)
			for _, announced := range []string{"signer.key", "Remembered the log's key"} {
				if !strings.Contains(out, announced) {
					t.Errorf("add does not announce %q:\n%s", announced, out)
				}
			}
			s.kill() // verify needs no server
			u.exits(0, "Verified:", "verify", f)
		})
	}
}

func TestTheWholeTour(t *testing.T) {
	s := running(t)
	u := newUser(t, s)
	a, b, c := u.file("a", "a"), u.file("b", "b"), u.file("c", "c")
	u.exits(0, "number 0", "add", a)
	u.exits(0, "was in log "+origin+" already, number 0", "add", a) // the same key, the same file: the same entry
	old := u.file("old", u.exits(0, origin, "checkpoint"))
	u.exits(0, "number 2", "add", b, c)
	u.exits(0, "Verified", "verify", b)
	u.exits(0, "has only grown", "consistency", old)
	u.exits(1, "mixed up", "consistency", u.file("new", u.exits(0, origin, "checkpoint")), "--to", old)
	u.exits(3, "is no checkpoint", "consistency", a)
	u.exits(2, "for this name and key it is", "checkpoint", "--log-key", strings.Replace(s.vkey()[0].String(), "+", "+0", 1))
	u.exits(0, "is sound: 3 entries", "fsck")
	u.exits(0, "hashedrekord", "get", "1")
	u.exits(0, "index      0 of 3", "get", leafHash(u, a))
	u.exits(0, "Entry 0 of 3", "prove", a)
	u.exits(0, "signed by log log.example at size 3", "verify", a)
	u.exits(0, "c2sp.org/tlog-proof@v1", "prove", "2")
	raw := u.file("raw", "opaque")
	u.exits(0, "number 3", "add", "--kind", "raw", raw)
	u.exits(0, "not signed", "verify", "--any-signer", raw)
	u.exits(1, "nobody signed", "verify", raw)
	u.exits(0, "logcli", "completion", "bash")
	u.exits(0, "fingerprint", "keygen", filepath.Join(u.dir, "k"))
	u.exits(0, "other.example+", "keygen", "--origin", "other.example", filepath.Join(u.dir, "l"))
	u.exits(3, "exists", "keygen", filepath.Join(u.dir, "k"))
	u.exits(0, `"treeSize":6`, "add", "--key", filepath.Join(u.dir, "k"), "-o", "json", u.file("d", "d"), u.file("e", "e"))
}

// leafHash reads the leaf hash of a proof's entry from JSON.
func leafHash(u *user, file string) string {
	u.t.Helper()
	var v struct{ LeafHash string }
	if err := json.Unmarshal([]byte(u.exits(0, "", "verify", "-o", "json", file)), &v); err != nil {
		u.t.Fatal(err)
	}
	return v.LeafHash
}

func TestJSON(t *testing.T) {
	s := running(t)
	u := newUser(t, s)
	f := u.file("f", "f")
	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"add", f}},
		{0, []string{"verify", f}},
		{0, []string{"get", "0"}},
		{0, []string{"checkpoint"}},
		{0, []string{"fsck"}},
		{0, []string{"version"}},
		{3, []string{"get", "99"}},
		{2, []string{"get", "nonsense"}},
		{2, []string{"nonsense"}},
		{3, []string{"verify", f + "x"}},
	} {
		out := u.exits(c.code, "", append(c.args, "-o", "json")...)
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Errorf("%v: %v:\n%s", c.args, err, out)
		}
	}
}

func TestWhatDoesNotVerify(t *testing.T) {
	s := running(t)
	u, stranger := newUser(t, s), newUser(t, s)
	f := u.file("f", "artifact")
	u.exits(0, "", "add", f)
	proof := u.read(f + ".tlog-proof")

	// The artifact changed.
	u.file("f", "artefact")
	u.exits(1, "the artifact check failed", "verify", f)

	// A changed artifact, signed and logged by somebody else.
	forged := stranger.file("f", "artefact")
	stranger.exits(0, "", "add", forged)
	u.exits(1, "the signer check failed", "verify", "--proof", forged+".tlog-proof", f)
	u.file("f", "artifact")

	// Another log's key.
	key := u.exits(0, "", "keygen", "--origin", origin, "-o", "json", filepath.Join(u.dir, "otherlog"))
	var made struct{ Vkey string }
	if err := json.Unmarshal([]byte(key), &made); err != nil {
		t.Fatal(err)
	}
	u.exits(1, "the checkpoint check failed", "verify", "--log-key", made.Vkey, f)

	// The proof with any byte changed. Every byte would take minutes by the
	// binary; package verify's tests do that.
	for i := 0; i < len(proof); i += len(proof) / 25 {
		bad := []byte(proof)
		bad[i] ^= 1
		u.file("f.tlog-proof", string(bad))
		u.exits(1, "", "verify", f)
	}
	u.file("f.tlog-proof", proof)
	u.exits(0, "", "verify", f)

	// Whom to trust, said in every way.
	fresh := newUser(t, s)
	vkey := s.vkey()[0].String()
	fresh.exits(2, "no log is trusted", "verify", f)
	fresh.exits(2, "no signer is trusted", "verify", "--log-key", vkey, f)
	policy := fresh.file("policy", "log "+vkey+"\nquorum none\n")
	fingerprint := signerFingerprint(u)
	fresh.exits(0, "Verified", "verify", "--log-key", vkey, "--signer", fingerprint, f)
	fresh.exits(0, "the policy asks for none", "verify", "--policy", policy, "--signer", fingerprint, f)
	fresh.exits(1, "the signer check failed", "verify", "--log-key", vkey, "--signer", "SHA256:"+strings.Repeat("0", 64), f)
	fresh.exits(2, "neither a vkey", "verify", "--log-key", "nonsense", "--signer", fingerprint, f)
	if entries, err := os.ReadDir(filepath.Join(fresh.dir, "config")); err == nil && len(entries) > 0 {
		t.Error("verify wrote something")
	}
}

// signerFingerprint finds a user's own key in what verify says of it.
func signerFingerprint(u *user) string {
	u.t.Helper()
	own := must(u.t, u.env, "logcli", "verify", "-o", "json", filepath.Join(u.dir, "f"))
	_, rest, ok := strings.Cut(own, "key SHA256:")
	if !ok {
		u.t.Fatalf("no fingerprint in %s", own)
	}
	return "SHA256:" + rest[:64]
}

// A log that comes back with another key under the old name is not the log
// that was remembered.
func TestALogThatChangedItsKey(t *testing.T) {
	s := running(t)
	u := newUser(t, s)
	u.exits(0, "", "add", u.file("f", "f"))
	other := running(t)
	u.env[1] = "INDELIBLE_URL=http://" + other.http
	u.exits(1, "not the log that you used before", "add", u.file("g", "g"))
	if _, err := os.Stat(filepath.Join(u.dir, "g.tlog-proof")); err == nil {
		t.Error("a proof was written")
	}
}
