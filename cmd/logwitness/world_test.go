//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/internal/testkit"
	"indelible/merkle"
	"indelible/witness"
)

// binary is the program that TestMain built.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "logwitness")
	if err == nil {
		binary = filepath.Join(dir, "logwitness")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// server is the program, which can be started again and again.
type server struct {
	t             testing.TB
	dir           string
	args          []string
	listen, admin string
	verifier      checkpoint.Verifier // of its Ed25519 key
	cmd           *exec.Cmd
	out           *buffer
	done          chan struct{}
}

type buffer = testkit.Buffer

func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	return testkit.Addrs(t, n)
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	testkit.Eventually(t, what, f)
}

// newServer prepares a witness of logs, with a key; more are further arguments.
func newServer(t testing.TB, logs []*tree, more ...string) *server {
	t.Helper()
	addrs := freeAddrs(t, 2)
	s := &server{t: t, dir: t.TempDir(), listen: addrs[0], admin: addrs[1]}
	vkey := mustRun(t, "keygen", "--name", "w.example/1", "--out", s.path("key"))
	var err error
	if s.verifier, err = checkpoint.ParseVerifier(strings.TrimSpace(vkey)); err != nil {
		t.Fatal(err)
	}
	s.writeList(logs)
	s.args = append([]string{
		"serve", "--listen", s.listen, "--admin", s.admin, "--data-dir", s.path("data"), "--key", s.path("key"), "--logs", s.path("logs"),
	}, more...)
	t.Cleanup(func() {
		s.signal(syscall.SIGKILL)
		if t.Failed() && s.out != nil {
			t.Logf("logwitness %s:\n%s", strings.Join(s.args, " "), tail(s.out.String()))
		}
	})
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) writeList(logs []*tree) {
	s.t.Helper()
	text := "logs/v0\n"
	for _, l := range logs {
		text += fmt.Sprintf("vkey %s\norigin %s\nqpd 2000000000\n", l.key.Verifier(), l.origin)
	}
	// At once, so that half a list is never read.
	if err := errors.Join(os.WriteFile(s.path("logs.new"), []byte(text), 0o600), os.Rename(s.path("logs.new"), s.path("logs"))); err != nil {
		s.t.Fatal(err)
	}
}

func tail(s string) string { return testkit.Tail(s) }

func (s *server) start() {
	s.t.Helper()
	s.out, s.done = new(buffer), make(chan struct{})
	s.cmd = exec.Command(binary, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	eventually(s.t, "ready", func() error {
		select {
		case <-s.done:
			s.t.Fatalf("logwitness ended:\n%s", tail(s.out.String()))
		default:
		}
		_, err := get("http://" + s.admin + "/readyz")
		return err
	})
}

// says waits until the program has said all of it: that comes by a pipe, after its
// answers.
func (s *server) says(parts ...string) {
	s.t.Helper()
	eventually(s.t, "it is said", func() error { return contains(s.out.String(), parts...) })
}

func (s *server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	select {
	case <-s.done:
	default:
		s.cmd.Process.Signal(sig)
		<-s.done
	}
}

func (s *server) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("exit code %d after SIGTERM:\n%s", code, tail(s.out.String()))
	}
}

// refuses starts the program, which must end with an error that says all of it.
func (s *server) refuses(says ...string) {
	s.t.Helper()
	out, code := runProgram(s.t, s.args...)
	if code != 1 {
		s.t.Fatalf("exit code %d", code)
	}
	for _, want := range says {
		if !strings.Contains(out, want) {
			s.t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

func runProgram(t testing.TB, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	out, code := runProgram(t, args...)
	if code != 0 {
		t.Fatalf("logwitness %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func get(url string) (string, error) {
	res, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", res.StatusCode, body)
	}
	return string(body), err
}

// tree is a log in one of its possible states.
type tree struct {
	origin string
	key    *checkpoint.KeySigner
	leaves []merkle.Hash
}

// keyOf makes a key of a word.
func keyOf(word string) ed25519.PrivateKey {
	seed := merkle.LeafHash([]byte(word))
	return ed25519.NewKeyFromSeed(seed[:])
}

func newTree(t testing.TB, origin string) *tree {
	t.Helper()
	key, err := checkpoint.NewSigner(origin, keyOf(origin))
	if err != nil {
		t.Fatal(err)
	}
	return &tree{origin: origin, key: key}
}

// with is the tree with more leaves, which the words make.
func (tr *tree) with(words ...string) *tree {
	next := &tree{tr.origin, tr.key, slices.Clone(tr.leaves)}
	for _, word := range words {
		next.leaves = append(next.leaves, merkle.LeafHash([]byte(word)))
	}
	return next
}

func (tr *tree) size() int64 { return int64(len(tr.leaves)) }

func root(leaves []merkle.Hash) merkle.Hash {
	edge, _ := merkle.Edge{}.Append(leaves)
	return edge.Root()
}

func (tr *tree) note(t testing.TB) []byte {
	t.Helper()
	text := checkpoint.Checkpoint{Origin: tr.origin, Size: tr.size(), Root: root(tr.leaves)}.Text()
	blob, err := tr.key.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	line := checkpoint.Signature{Name: tr.key.Name(), KeyID: tr.key.KeyHash(), Blob: blob}
	return checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{line}}.Marshal()
}

// proof is RFC 6962's PROOF(m, D[n]).
func proof(m int, d []merkle.Hash, whole bool) []merkle.Hash {
	switch {
	case m == 0 || m == len(d) && whole:
		return nil
	case m == len(d):
		return []merkle.Hash{root(d)}
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	if m <= k {
		return append(proof(m, d[:k], whole), root(d[k:]))
	}
	return append(proof(m-k, d[k:], false), root(d[:k]))
}

// body asks for tr, from a size.
func (tr *tree) body(t testing.TB, old int64) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof(int(min(old, tr.size())), tr.leaves, true) {
		fmt.Fprintln(&b, base64.StdEncoding.EncodeToString(h[:]))
	}
	b.WriteByte('\n')
	b.Write(tr.note(t))
	return b.Bytes()
}

// add asks the witness to cosign tr. A 200 is checked.
func (s *server) add(tr *tree, old int64) (status int, body string, err error) {
	s.t.Helper()
	res, err := http.Post("http://"+s.listen+"/add-checkpoint", "", bytes.NewReader(tr.body(s.t, old)))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", err
	}
	if res.StatusCode == http.StatusOK {
		signatures, err := checkpoint.ParseSignatures(answer)
		if err != nil {
			s.t.Error(err)
		}
		_, added, err := checkpoint.AddCosignatures(tr.note(s.t), []checkpoint.Verifier{s.verifier}, signatures...)
		if err != nil || len(added) != 1 {
			s.t.Errorf("%d cosignatures in %q, %v", len(added), answer, err)
		}
	}
	return res.StatusCode, string(answer), nil
}

// want is add that must be answered so.
func (s *server) want(tr *tree, old int64, status int, says string) {
	s.t.Helper()
	code, body, err := s.add(tr, old)
	if err != nil || code != status || !strings.Contains(body, says) {
		s.t.Errorf("from %d to %d: %d %s %v; want %d %s", old, tr.size(), code, body, err, status, says)
	}
}

// cosigned is what the witness serves; the empty tree if that is nothing yet.
func (s *server) cosigned(origin string) (checkpoint.Checkpoint, error) {
	text, err := get("http://" + s.listen + "/" + witness.OriginHash(origin) + "/checkpoint")
	if err != nil && strings.HasPrefix(err.Error(), strconv.Itoa(http.StatusNotFound)) {
		return checkpoint.Checkpoint{Origin: origin, Root: merkle.EmptyRoot()}, nil
	}
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	note, err := checkpoint.ParseNote([]byte(text))
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	return checkpoint.ParseText(note.Text)
}
