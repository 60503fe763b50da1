package main

import (
	"bytes"
	"crypto/mldsa"
	"strings"
	"testing"

	"indelible/checkpoint"
)

// A log that is its own witness is warned of wherever a policy is given, once.
func TestPolicyOfTheLogItself(t *testing.T) {
	w := newWorld(t)
	f := w.file("f", "artifact")
	w.run(exitDone, "add", f)
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	own, err := checkpoint.NewCosigner("log.example", key)
	if err != nil {
		t.Fatal(err)
	}
	lines := "log " + w.log.signer.Verifier().String() + "\nwitness self " + own.Verifier().String() + "\n"
	policy, none := w.file("policy", lines+"quorum none\n"), w.file("none", "log "+w.log.signer.Verifier().String()+"\nquorum none\n")
	const says = `warning: --policy: witness "self" has a key of the log's own name, "log.example": if it is the log, what it cosigns of its own log proves nothing`
	for _, args := range [][]string{{"get", "0"}, {"prove", "0"}, {"checkpoint"}, {"fsck"}, {"verify", f}, {"verify", f, "-o", "json"}, {"add", f}} {
		if out, errs := w.run(exitDone, append(args, "--policy", policy)...); strings.Count(errs, says) != 1 || strings.Count(errs, "warning: ") != 1 || strings.Contains(out, "warning: ") {
			t.Errorf("%q: %s%s", args, out, errs)
		}
		if _, errs := w.run(exitDone, append(args, "--policy", none)...); strings.Contains(errs, "warning: ") {
			t.Errorf("%q: %s", args, errs)
		}
	}
}
