package main

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/verify"
)

// madeProof writes the proof file of a bundle's entry.
func (w *world) madeProof(name, bundle string) string {
	w.t.Helper()
	var said struct {
		VerificationMaterial struct {
			TlogEntries []struct {
				LogIndex       string
				InclusionProof struct {
					Hashes     []string
					Checkpoint struct{ Envelope string }
				}
				CanonicalizedBody []byte
			}
		}
	}
	if err := json.Unmarshal([]byte(read(w.t, bundle)), &said); err != nil {
		w.t.Fatal(err)
	}
	e := said.VerificationMaterial.TlogEntries[0]
	p := checkpoint.Proof{Extra: e.CanonicalizedBody, HasExtra: true, Checkpoint: []byte(e.InclusionProof.Checkpoint.Envelope)}
	var err error
	if p.Index, err = strconv.ParseInt(e.LogIndex, 10, 64); err != nil {
		w.t.Fatal(err)
	}
	for _, h := range e.InclusionProof.Hashes {
		b, err := base64.StdEncoding.DecodeString(h)
		if err != nil {
			w.t.Fatal(err)
		}
		p.Hashes = append(p.Hashes, merkle.Hash(b))
	}
	data, err := p.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.file(name, string(data))
}

// verdict is what logcli verify says in JSON of one check.
func (w *world) verdict(code int, check string, args ...string) verify.Check {
	w.t.Helper()
	out, _ := w.run(code, append(args, "-o", "json")...)
	var said struct {
		Verified bool
		Checks   []verify.Check
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || said.Verified != (code == exitDone) {
		w.t.Fatalf("%v: %s", err, out)
	}
	if i := slices.IndexFunc(said.Checks, func(c verify.Check) bool { return c.Name == check }); i >= 0 {
		return said.Checks[i]
	}
	return verify.Check{}
}

// A trusted root's period of the log's key is held against bundles and proof files,
// and what is found is said in text and in JSON.
func TestPeriodOfTheLogsKey(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "b.json")
	root := read(t, w.trustedRoot(w.path("policy.txt")))
	const open = `"start": "1970-01-01T00:00:00Z"`
	if !strings.Contains(root, open) {
		t.Fatalf("no period in %s", root)
	}
	_, witnesses, _ := strings.Cut(read(t, w.path("policy.txt")), "\n") // without the line for the log
	policy := w.file("witnesses.txt", witnesses)
	for _, proof := range []string{w.path("b.json"), w.madeProof("p", w.path("b.json"))} {
		for _, c := range []struct {
			valid       string
			code        int
			state       verify.State
			mark, words string
			witnessed   verify.State // with the policy besides
		}{
			{open, exitDone, verify.Passed, "✓ period", "at all times until now", verify.Passed},
			{`"start": "2020-01-01T00:00:00Z"`, exitDone, verify.NotChecked, "– period", "no time of the checkpoint is proven", verify.Passed},
			{`"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"`, exitDone, verify.NotChecked, "– period", "the key's period ended", verify.Failed},
			{`"start": "2099-01-01T00:00:00Z"`, exitUnverified, verify.Failed, "✗ period", "still to come", verify.Failed},
		} {
			file := w.file("root.json", strings.ReplaceAll(root, open, c.valid))
			args := []string{"verify", artifact, "--proof", proof, "--signer", w.path("cosign.pub"), "--trusted-root", file}
			out, _ := w.run(c.code, args...)
			says(t, out, c.mark, c.words)
			if got := w.verdict(c.code, "period", args...); got.State != c.state || !strings.Contains(got.Detail, c.words) {
				t.Errorf("%s: %+v", c.valid, got)
			}
			code := exitDone
			if c.witnessed == verify.Failed {
				code = exitUnverified
			}
			if got := w.verdict(code, "period", append(args, "--policy", policy)...); got.State != c.witnessed {
				t.Errorf("%s, with witnesses: %+v", c.valid, got)
			}
		}
	}
}

// A policy that names no log needs somebody who does.
func TestPolicyWithoutALog(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "artifact.sigstore.json")
	_, witnesses, _ := strings.Cut(read(t, w.path("policy.txt")), "\n")
	_, errs := w.run(exitUsage, "verify", artifact, "--signer", w.path("cosign.pub"), "--policy", w.file("witnesses.txt", witnesses))
	says(t, errs, "no log is trusted")
}

// What is wrong with another of a bundle's entries, or with a witness's line, is
// said in text and in JSON.
func TestWhatElseIsWrong(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "b.json")
	var b map[string]any
	if err := json.Unmarshal([]byte(read(t, w.path("b.json"))), &b); err != nil {
		t.Fatal(err)
	}
	material := b["verificationMaterial"].(map[string]any)
	good := material["tlogEntries"].([]any)[0]
	var bad map[string]any
	data, err := json.Marshal(good)
	if err == nil {
		err = json.Unmarshal(data, &bad)
	}
	if err != nil {
		t.Fatal(err)
	}
	write := func(entries ...any) {
		material["tlogEntries"] = entries
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		w.file("b.json", string(data))
	}
	args := []string{"verify", artifact, "--bundle", w.path("b.json"), "--signer", w.path("cosign.pub"), "--policy", w.path("policy.txt")}
	bad["logIndex"], bad["inclusionProof"].(map[string]any)["logIndex"] = "999", "999"
	write(bad, good)
	const which = "number 1 of 2 fails the inclusion check"
	out, _ := w.run(exitDone, args...)
	says(t, out, "! entries", which, "Verified:")
	if got := w.verdict(exitDone, "entries", args...); got.State != verify.Warned || !strings.Contains(got.Detail, which) {
		t.Errorf("%+v", got)
	}

	note := good.(map[string]any)["inclusionProof"].(map[string]any)["checkpoint"].(map[string]any)
	text := note["envelope"].(string)
	lines := strings.SplitAfter(text, "\n")
	note["envelope"] = text + lines[len(lines)-2]
	write(good)
	out, _ = w.run(exitUnverified, args...)
	says(t, out, "✗ checkpoint")
	if got := w.verdict(exitUnverified, "checkpoint", args...); got.State != verify.Failed || !strings.Contains(got.Detail, "two signature lines by w") {
		t.Errorf("%+v", got)
	}
}
