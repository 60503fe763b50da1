package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/merkle"
)

// forked makes evidence against the world's log.
func (w *world) forked() (file string, made []byte) {
	w.t.Helper()
	key := w.log.signer.Verifier()
	var notes [2][]byte
	for i := range notes {
		note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: key.Name(), Size: 14, Root: merkle.LeafHash([]byte{byte(i)})}, w.log.signer)
		if err != nil {
			w.t.Fatal(err)
		}
		notes[i] = note
	}
	made, err := evidence.OfTwoHeads([]checkpoint.Verifier{key}, notes[0], notes[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return w.file("two.evidence", string(made)), made
}

func TestEvidence(t *testing.T) {
	w := newWorld(t)
	key := w.log.signer.Verifier().String()
	file, made := w.forked()
	_, errs := w.run(exitUsage, "evidence", "verify", file)
	says(t, errs, key, "--log-key", "log.example")
	out, _ := w.run(exitDone, "evidence", "verify", file, "--log-key", key)
	says(t, out, "PROVEN", "Whoever holds the key \"log.example+", "Its first 14 entries")
	w.run(exitDone, "evidence", "verify", file, "--policy", w.file("policy", "log "+key+"\nquorum none\n"))
	_, errs = w.run(exitUnverified, "evidence", "verify", file, "--log-key", newWorld(t).log.signer.Verifier().String())
	says(t, errs, "about another key", key)
	changed := w.file("changed", strings.Replace(string(made), "Its first 14", "Its first 15", 1))
	for _, trust := range [][]string{nil, {"--log-key", key}} {
		_, errs = w.run(exitUnverified, append([]string{"evidence", "verify", changed}, trust...)...)
		says(t, errs, "malformed evidence")
	}
	w.run(exitUnasked, "evidence", "verify", file+"x")
	w.run(exitUsage, "evidence", "verify")
	w.run(exitUsage, "evidence", "nonsense")
	var said struct {
		Proven bool
		Kind   string
		Keys   []string
		Exit   int
	}
	out, _ = w.run(exitDone, "evidence", "verify", file, "--log-key", key, "-o", "json")
	if err := json.Unmarshal([]byte(out), &said); err != nil || !said.Proven || said.Kind != "two-heads" || len(said.Keys) != 1 || said.Keys[0] != key {
		t.Errorf("%v: %s", err, out)
	}
	if len(w.log.asked) > 0 {
		t.Errorf("the log was asked: %q", w.log.asked)
	}
}

// The log remembered from the first add is the one that may be accused.
func TestEvidenceAgainstRememberedLog(t *testing.T) {
	w := newWorld(t)
	file, _ := w.forked()
	w.run(exitDone, "add", w.file("f", "artifact"))
	out, _ := w.run(exitDone, "evidence", "verify", file)
	says(t, out, "PROVEN")
	pins := filepath.Join(w.dir, "config/indelible/logs")
	found, err := os.ReadDir(pins)
	if err != nil || len(found) != 2 || !strings.HasSuffix(found[1].Name(), ".vkey") {
		t.Fatal(found, err)
	}
	w.file(filepath.Join("config/indelible/logs", found[1].Name()), newWorld(t).log.signer.Verifier().String()+"\n")
	w.run(exitUnverified, "evidence", "verify", file)
}
