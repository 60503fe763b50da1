//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"indelible/checkpoint"
)

func writeSecret(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command runs the program in this process.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, func(string) (string, bool) { return "", false }, &out, io.Discard)
	return out.String(), err
}

func TestKeygen(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []struct {
		flags []string
		want  byte
	}{{nil, checkpoint.CosignatureV1Ed25519}, {[]string{"--mldsa"}, checkpoint.CosignatureV1MLDSA44}} {
		path := filepath.Join(dir, fmt.Sprint("key", kind.want))
		args := append([]string{"keygen", "--name", "w.example/1", "--out", path}, kind.flags...)
		if kind.flags != nil { // it makes a key that is missing
			args = append(args, "--if-missing")
		}
		out, err := command(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		vkey, err := checkpoint.ParseVerifier(strings.TrimSpace(out))
		if err != nil || vkey.Name() != "w.example/1" || vkey.Algorithm() != kind.want {
			t.Errorf("%s %v", out, err)
		}
		c, err := loadCosigner(path, "")
		if err != nil || !c.Verifier().Equal(vkey) {
			t.Errorf("%v %v", c, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info.Mode(), err)
		}
		if again, err := command(t, append(args, "--if-missing")...); err != nil || again != out {
			t.Errorf("--if-missing: %s%v", again, err)
		}
		other := append([]string{"keygen", "--name", "w.example/2", "--out", path, "--if-missing"}, kind.flags...)
		if out, err := command(t, other...); err == nil || !strings.Contains(err.Error(), "name and key of a witness never change") {
			t.Errorf("--if-missing with another name: %s%v", out, err)
		}
		before, _ := os.ReadFile(path)
		args = slices.DeleteFunc(args, func(a string) bool { return a == "--if-missing" })
		if _, err := command(t, args...); err == nil {
			t.Error("a key was overwritten")
		}
		if err := os.Remove(vkeyFile(path)); err != nil {
			t.Fatal(err)
		}
		if _, err := command(t, args...); !errors.Is(err, os.ErrExist) {
			t.Error(err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Error("the key changed")
		}
		if _, err := loadCosigner(path, ""); err == nil || !strings.Contains(err.Error(), "--name") {
			t.Error(err)
		}
		if c, err := loadCosigner(path, "w.example/1"); err != nil || !c.Verifier().Equal(vkey) {
			t.Error(c, err)
		}
	}
	if _, err := command(t, "keygen", "--name", "two words", "--out", filepath.Join(dir, "x")); err == nil {
		t.Error("a name of two words")
	}
}

func TestRefusedSettings(t *testing.T) {
	dir := t.TempDir()
	key, other, open := filepath.Join(dir, "key"), filepath.Join(dir, "other"), filepath.Join(dir, "dsn")
	for _, k := range []string{key, other} {
		if _, err := command(t, "keygen", "--name", "w.example/1", "--out", k); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(open, []byte("u:p@tcp(h)/d"), 0o644); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("logs/v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"keygen --name NAME", []string{"--key", filepath.Join(dir, "none")}},
		{"second key of one type", []string{"--key", key, "--key", other}},
		{"never change", []string{"--key", key, "--name", "another"}},
		{"--name", []string{"--key", key, "--name", "two words"}},
		{"give a key", []string{"--key", ""}},
		{"--mysql-dsn-file", []string{"--storage", "mysql"}},
		{"give --storage mysql", []string{"--mysql-dsn-file", "dsn"}},
		{"--mysql-dsn-file: . is a directory", []string{"--key", key, "--storage", "mysql", "--mysql-dsn-file", "."}},
		{"chmod 600", []string{"--key", key, "--storage", "mysql", "--mysql-dsn-file", open}},
		{"both --tls-cert", []string{"--tls-cert", "x"}},
		{"without a slash", []string{"--public-url", "https://w.example/"}},
		{"begins with logs/v0", []string{"--key", key, "--logs", list}},
		{"no such file", []string{"--key", key, "--logs", list + "x"}},
		{"not one of", []string{"--storage", "oracle"}},
		{"a scheme that is not known here", []string{"--key", "pkcs11:token=x"}},
		{"a scheme that is not known here", []string{"--key", key, "--register", "mysql:dsn"}},
		{"a scheme that is not known here", []string{"--storage", "mysql", "--mysql-dsn-file", "vault:x"}},
	} {
		args := append([]string{"serve", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, c.args...)
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	for _, args := range [][]string{
		{"keygen", "--name", "w.example/1", "--out", "pkcs11:token=x"},
		{"accept", "--log", "x", "--checkpoint", "vault:x"},
	} {
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), "a scheme that is not known here") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// What it says when it starts is enough to use it.
func TestServe(t *testing.T) {
	logs := manyTrees(t, 2)
	s := newServer(t, logs[:1])
	mldsa := mustRun(t, "keygen", "--name", "w.example/1", "--mldsa", "--out", s.path("mldsa"))
	s.args = append(s.args, "--key", s.path("mldsa"))
	s.start()
	s.says("For the policy", "\n\n", strings.TrimSpace(mldsa), "/sign-subtree", s.admin)
	var policy string
	for line := range strings.Lines(s.out.String()) {
		if strings.HasPrefix(line, "witness ") && policy == "" {
			policy = line
		}
	}
	p, err := checkpoint.ParsePolicy([]byte(policy + "quorum w.example/1\n"))
	if err != nil || !p.Witnesses[0].Key.Equal(s.verifier) || p.Witnesses[0].URL != "http://"+s.listen {
		t.Errorf("%q: %v", policy, err)
	}
	const forAll, forSome = "# Ed25519: for Tessera and rekor-tiles, and for all others\nwitness w.example/1 %s ", "# ML-DSA-44: for Indelible, and others that take ML-DSA; not for Tessera and rekor-tiles, which refuse it\nwitness w.example/1 %s "
	s.says(fmt.Sprintf(forAll, s.verifier), fmt.Sprintf(forSome, strings.TrimSpace(mldsa)))
	if help := mustRun(t, "keygen", "--help"); !strings.Contains(help, "Tessera and rekor-tiles refuse a policy that has it") {
		t.Error(help)
	}
	one := logs[0].with("a", "b", "c")
	s.want(one, 0, 200, "w.example/1")
	s.want(one.with("d"), 0, 409, "3\n")
	s.want(logs[1].with("a"), 0, 404, "unknown log")
	eventually(t, "counted", func() error {
		metrics, err := get("http://" + s.admin + "/metrics")
		if err == nil {
			err = contains(metrics, "indelible_witness_cosigned_total 1\n", "indelible_witness_logs 1\n",
				`indelible_witness_refused_total{reason="conflict"} 1`, `indelible_witness_requests_total{status="404",what="add-checkpoint"} 1`)
		}
		return err
	})
	s.stop()
	if out := mustRun(t, "licenses"); !strings.Contains(out, "github.com/spf13/cobra") {
		t.Error(out)
	}
	for _, flag := range []string{"version", "--version"} {
		if out := mustRun(t, flag); !strings.HasPrefix(out, "logwitness ") || !strings.Contains(out, runtime.Version()) {
			t.Error(out)
		}
	}
	for _, flag := range []string{"--logs", "--feed"} {
		err := run(t.Context(), serving(flag, "nosuch"), func(string) (string, bool) { return "", false }, io.Discard, io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), flag+": open nosuch") {
			t.Error(err)
		}
	}
}

func contains(text string, parts ...string) error {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return fmt.Errorf("it does not say %q:\n%s", p, text)
		}
	}
	return nil
}

// A list that changes while the witness runs adds logs, and takes none away.
func TestList(t *testing.T) {
	logs := manyTrees(t, 3)
	s := newServer(t, logs[:1])
	s.start()
	s.want(logs[0].with("a"), 0, 200, "")
	key, err := checkpoint.NewSigner(logs[0].origin, keyOf("another"))
	if err != nil {
		t.Fatal(err)
	}
	forged := &tree{origin: logs[0].origin, key: key}
	own := newTree(t, "w.example/1")
	s.writeList([]*tree{forged, logs[1], own})
	eventually(t, "the log of the new list", func() error {
		if code, body, err := s.add(logs[1].with("a"), 0); err != nil || code != 200 && code != 409 {
			return fmt.Errorf("%d %s %w", code, body, err)
		}
		return nil
	})
	s.says("a list cannot change it", "logwitness accept --log log0.example --vkey", "nobody could tell")
	s.want(forged.with("a", "b"), 0, 403, "")
	s.want(logs[0].with("a", "b"), 1, 200, "")
	// One that cannot be read changes nothing.
	if err := os.WriteFile(s.path("logs"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.says("was not read again")
	s.want(logs[0].with("a", "b", "c"), 2, 200, "")
	// What was refused does not keep the witness from starting.
	s.writeList([]*tree{forged, own, logs[2]})
	s.stop()
	s.start()
	s.want(logs[2].with("a"), 0, 200, "")
	s.want(logs[0].with("a", "b", "c"), 3, 200, "")
	s.stop()
}

// The witness's own database restored from an older copy: it goes on from what
// the register knows, with a proof, and from nothing else.
func TestRestored(t *testing.T) {
	logs := manyTrees(t, 1)
	s := newServer(t, logs)
	five := logs[0].with("a", "b", "c", "d", "e")
	nine := five.with("f", "g", "h", "i")
	s.start()
	s.want(five, 0, 200, "")
	s.stop()
	copyDatabase(t, s, s.path("data"), s.path("backup"))
	s.start()
	s.want(nine, 5, 200, "")
	s.signal(syscall.SIGKILL)
	copyDatabase(t, s, s.path("backup"), s.path("data"))
	s.start()
	goesOn := func() {
		t.Helper()
		s.says("restored from an older copy")
		s.want(five.with("F", "G"), 5, 409, "9\n")
		s.want(five.with("F", "G", "H", "I", "J"), 9, 422, "does not extend")
		s.want(five.with("F", "G", "H", "I"), 9, 422, "")
		s.want(five, 5, 409, "9\n")
	}
	goesOn()
	s.want(nine.with("j"), 9, 200, "")
	s.stop()
	// Without its database, it knows from the register alone.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(s.path("data/witness.db" + suffix))
	}
	s.start()
	s.want(five.with("F", "G"), 5, 409, "10\n")
	s.want(five.with("F", "G"), 0, 409, "10\n")
	s.want(nine.with("j", "k"), 10, 200, "")
	s.stop()
}

// copyDatabase copies the database as an operator would, who stopped the witness.
func copyDatabase(t *testing.T, s *server, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"witness.db", "witness.db-wal", "witness.db-shm"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			os.Remove(filepath.Join(to, name))
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A register that is gone, damaged or another's: each is named, with the way out.
func TestRegister(t *testing.T) {
	logs := manyTrees(t, 1)
	s, other := newServer(t, logs), newServer(t, logs)
	one := logs[0].with("a", "b", "c")
	for _, w := range []*server{s, other} {
		w.start()
		w.want(one, 0, 200, "")
		w.stop()
	}
	path := s.path("data/register")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again := append([]string{"register", "new"}, s.args[1:]...)

	anothers, err := os.ReadFile(other.path("data/register"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(anothers)
	s.refuses("another database's register", "--register")
	put(bytes.Replace(whole, []byte(" 3 "), []byte(" 2 "), 1))
	s.refuses("corrupt", "line 2", "restore its newest copy", "register new")
	if out, code := runProgram(t, again...); code != 1 || !strings.Contains(out, "move it away") {
		t.Errorf("%d %s", code, out)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.refuses("is gone", "put it back", "register new")
	if out := mustRun(t, again...); !strings.Contains(out, "made from the database") {
		t.Error(out)
	}
	s.start()
	s.want(one.with("d"), 0, 409, "3\n")
	s.want(one.with("d"), 3, 200, "")
	// While it runs, no other process has its database, whatever its ports.
	s.args = append(s.args, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	s.refuses("another process uses the database")
	s.stop()
	// The old register is another's now.
	put(whole)
	s.refuses("another database's register")
}
