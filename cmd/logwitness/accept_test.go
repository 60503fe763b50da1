//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"indelible/checkpoint"
	"indelible/witness"
	"indelible/witness/register"
)

// accept runs logwitness accept with the settings of the server.
func (s *server) accept(origin string, more ...string) (string, int) {
	s.t.Helper()
	args := append([]string{"accept", "--log", origin}, s.args[1:]...)
	return runProgram(s.t, append(args, more...)...)
}

// handIn writes a tree's checkpoint, and the proof that it extends a size.
func (s *server) handIn(tr *tree, old int64) []string {
	s.t.Helper()
	var hashes bytes.Buffer
	for _, h := range proof(int(old), tr.leaves, true) {
		fmt.Fprintln(&hashes, base64.StdEncoding.EncodeToString(h[:]))
	}
	if err := errors.Join(os.WriteFile(s.path("checkpoint"), tr.note(s.t), 0o600), os.WriteFile(s.path("hashes"), hashes.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	return []string{"--checkpoint", s.path("checkpoint"), "--proof", s.path("hashes")}
}

// A log whose key changed: the list cannot do it, and says what can.
func TestAcceptKey(t *testing.T) {
	logs := manyTrees(t, 1)
	s := newServer(t, logs)
	three := logs[0].with("a", "b", "c")
	s.start()
	s.want(three, 0, 200, "")
	key, err := checkpoint.NewSigner(three.origin, keyOf("the next key"))
	if err != nil {
		t.Fatal(err)
	}
	moved := &tree{three.origin, key, three.leaves}
	s.want(moved.with("d"), 3, 403, "")
	vkey := key.Verifier().String()
	if out, code := s.accept(three.origin, append(s.handIn(moved.with("d"), 3), "--vkey", vkey)...); code != 1 || !strings.Contains(out, "another process uses") {
		t.Errorf("beside the running witness: %d %s", code, out)
	}
	s.stop()
	for says, args := range map[string][]string{
		"must take another origin": append(s.handIn(&tree{three.origin, key, logs[0].with("A", "B", "C", "D").leaves}, 3), "--vkey", vkey),
		"does not know a log":      {"--log", "other.example", "--url", "http://127.0.0.1:1"},
		"at least one of":          nil,
		"--vkey":                   {"--vkey", "nonsense", "--url", "http://127.0.0.1:1"},
	} {
		if out, code := s.accept(three.origin, args...); code != 1 || !strings.Contains(out, says) {
			t.Errorf("%s: %d %s", says, code, out)
		}
	}
	out, code := s.accept(three.origin, append(s.handIn(moved.with("d"), 3), "--vkey", vkey)...)
	if err := contains(out, "goes on from size 4", vkey, "— w.example/1 "); err != nil || code != 0 {
		t.Fatal(code, err)
	}
	s.writeList([]*tree{moved})
	s.start()
	s.want(three.with("d", "e"), 4, 403, "")
	s.want(moved.with("d", "e"), 3, 409, "4\n")
	s.want(moved.with("d", "e"), 4, 200, "")
	s.stop()
	if strings.Contains(s.out.String(), "refused") {
		t.Error(s.out.String())
	}
}

// The database and the register contradict each other: nothing is cosigned, the
// way out is named, and it goes on from the register's tree alone.
func TestAcceptAfterContradiction(t *testing.T) {
	logs := manyTrees(t, 2)
	s := newServer(t, logs)
	three, other := logs[0].with("a", "b", "c"), logs[0].with("A", "B", "C")
	s.start()
	s.want(three, 0, 200, "")
	s.want(logs[1].with("x"), 0, 200, "")
	s.stop()
	putInRegister(t, s, map[*tree]bool{other: true, logs[1].with("x"): true})
	s.start()
	s.says("contradict each other", "logwitness accept", three.origin)
	s.want(three.with("d"), 3, 500, "ask again")
	s.want(other.with("D"), 3, 500, "ask again")
	s.want(logs[1].with("x", "y"), 1, 200, "")
	s.says("two checkpoints of one size", "way out")
	s.stop()
	var shows atomic.Pointer[tree]
	shows.Store(three.with("d"))
	url := tiled(t, &shows)
	if out, code := s.accept(three.origin, "--url", url); code != 1 || !strings.Contains(out, "must take another origin") {
		t.Errorf("%d %s", code, out)
	}
	shows.Store(other.with("D", "E"))
	if out, code := s.accept(three.origin, "--url", url); code != 0 || !strings.Contains(out, "goes on from size 5") {
		t.Fatalf("%d %s", code, out)
	}
	s.start()
	s.want(three.with("d", "e", "f"), 5, 422, "")
	s.want(other.with("D", "E", "F"), 5, 200, "")
	s.stop()
}

// A log whose key has another name than the log has: its tiles are read all the same.
func TestAcceptAnotherName(t *testing.T) {
	key, err := checkpoint.NewSigner("operator.example", keyOf("operator"))
	if err != nil {
		t.Fatal(err)
	}
	log := &tree{origin: "log.example/2026", key: key}
	s := newServer(t, []*tree{log})
	s.start()
	s.want(log.with("a", "b"), 0, 200, "")
	s.stop()
	var shows atomic.Pointer[tree]
	shows.Store(log.with("a", "b", "c"))
	url := tiled(t, &shows)
	if out, code := s.accept(log.origin, "--url", url); code != 0 || !strings.Contains(out, "goes on from size 3") {
		t.Errorf("%d %s", code, out)
	}
	// Its key alone does not make another log of it.
	shows.Store(&tree{origin: "log.example/2027", key: key, leaves: log.with("a", "b", "c", "d").leaves})
	if out, code := s.accept(log.origin, "--url", url); code != 1 || !strings.Contains(out, "log.example/2027") {
		t.Errorf("%d %s", code, out)
	}
}

// putInRegister makes a register of these trees alone in the place of the one
// that is there, with its id.
func putInRegister(t *testing.T, s *server, trees map[*tree]bool) {
	t.Helper()
	path := s.path("data/register")
	was, err := register.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(was.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	is, err := register.Create(path, was.ID(), func(add func(string, witness.Head)) error {
		for tr := range trees {
			add(tr.origin, witness.Head{Size: tr.size(), Root: root(tr.leaves)})
		}
		return nil
	})
	if err == nil {
		err = is.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
