package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"indelible/verify"
)

// bundled is a world with what cosign made for the artifact, true and a line
// break, beside it as given; and what is needed to trust it.
func bundled(t *testing.T, bundle, as string) (w *world, artifact string) {
	t.Helper()
	w = newWorld(t)
	for _, name := range []string{bundle, "policy.txt", "cosign.pub", "ca.pem", "rekor-v1.pem"} {
		data, err := os.ReadFile(filepath.Join("../../verify/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		to := name
		if name == bundle {
			to = as
		}
		w.file(to, string(data))
	}
	return w, w.file("artifact", "true\n")
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func TestBundle(t *testing.T) {
	for _, as := range []string{"artifact.sigstore.json", "artifact.sigstore", "artifact.tlog-proof"} {
		w, artifact := bundled(t, "cosign3-v2-blob.json", as)
		trust := []string{"--policy", w.path("policy.txt"), "--signer", w.path("cosign.pub")}
		out, _ := w.run(exitDone, append([]string{"verify", artifact}, trust...)...)
		says(t, out, "✓ bundle", "✓ witnesses", "✓ time", "Verified:", "is in log localhost", "It was there by 20")
		for _, flag := range []string{"--bundle", "--proof"} {
			w.run(exitDone, append([]string{"verify", artifact, flag, w.path(as)}, trust...)...)
			other := w.file("other", "false\n")
			out, _ = w.run(exitUnverified, append([]string{"verify", other, flag, w.path(as), "-o", "json"}, trust...)...)
			var said struct {
				Verified bool
				Exit     int
				Checks   []struct{ Name, State string }
			}
			if err := json.Unmarshal([]byte(out), &said); err != nil || said.Verified || said.Exit != exitUnverified || len(said.Checks) != 10 || said.Checks[2].State != "failed" {
				t.Errorf("%v: %s", err, out)
			}
		}
		if len(w.log.asked) > 0 {
			t.Errorf("verify asked the log: %q", w.log.asked)
		}
	}
}

func TestBundleOfRekorV1(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v1-keyless-sign-blob.json", "artifact.sigstore.json")
	key := []string{"verify", artifact, "--log-key", w.path("rekor-v1.pem")}
	who := []string{"--certificate-identity", "builder@example.com", "--certificate-oidc-issuer", "https://accounts.example.com", "--ca-roots", w.path("ca.pem")}
	out, _ := w.run(exitDone, append(key, who...)...)
	says(t, out, "✓ time", "valid at that time", "– sct")
	out, _ = w.run(exitUnverified, append([]string{"verify", artifact, "--policy", w.path("policy.txt")}, who...)...)
	says(t, out, "✗ witnesses", "Rekor v1")
	out, _ = w.run(exitUnverified, append(key, "--signer", w.path("cosign.pub"))...)
	says(t, out, "✗ signer")
}

// What is given is wrong, and nothing was looked at.
func TestBundleUsage(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v1-blob.json", "b.json")
	signer := []string{"verify", artifact, "--signer", w.path("cosign.pub"), "--bundle", w.path("b.json")}
	_, errs := w.run(exitUsage, signer...)
	says(t, errs, "no log is trusted")
	_, errs = w.run(exitUsage, append(signer, "--proof", w.path("b.json"))...)
	says(t, errs, "one of --proof and --bundle")
	_, errs = w.run(exitUsage, append(signer, "--log-key", w.file("bad.pem", "-----BEGIN PUBLIC KEY-----\n"))...)
	says(t, errs, "--log-key", "bad.pem")
	_, errs = w.run(exitUsage, "verify", "-")
	says(t, errs, "--bundle")
	_, errs = w.run(exitUnasked, "verify", artifact+"x", "--log-key", w.path("rekor-v1.pem"), "--signer", w.path("cosign.pub"))
	says(t, errs, "there is no file "+artifact+"x, and no proof of it")
	for _, text := range []string{"", "{", "nonsense", strings.Repeat("{", maxProof+1)} {
		w.file("b.json", text)
		w.run(exitUnverified, append(signer, "--log-key", w.path("rekor-v1.pem"))...)
		w.run(exitUnverified, signer...)
	}
}

// A bundle that was changed fails one check, with the exit code of what is not
// verified; where there is nobody to trust, a good one has another.
func TestForgedBundles(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v1-blob.json", "b.json")
	data, err := os.ReadFile(w.path("b.json"))
	if err != nil {
		t.Fatal(err)
	}
	const before, after = `"tlogEntries":[`, `]},"messageSignature"`
	good := string(data)
	start, end := strings.Index(good, before)+len(before), strings.Index(good, after)
	if start < len(before) || end < 0 {
		t.Fatalf("no entries are in %s", good)
	}
	entries := func(list ...string) string { return good[:start] + strings.Join(list, ",") + good[end:] }
	replace := func(old, by string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, by, 1)
	}
	one := good[start:end]
	_, proof, _ := strings.Cut(one, `"inclusionProof":`)
	proof, _, _ = strings.Cut(proof, `,"canonicalizedBody"`)
	trust := []string{"verify", artifact, "--bundle", w.path("b.json"), "--signer", w.path("cosign.pub"), "--log-key", w.path("rekor-v1.pem")}
	w.run(exitDone, trust...)
	w.run(exitUsage, trust[:len(trust)-2]...)
	for text, said := range map[string][]string{
		entries():         {"✗ bundle", "the signature was not logged"},
		entries(one, one): {"✗ bundle", "twice"},
		entries(slices.Repeat([]string{one}, 1000)...):              {"✗ bundle", "more than 32"},
		replace(`"inclusionProof":`+proof+`,`, ""):                  {"✗ bundle", "mere promise"},
		replace(`"integratedTime":"1`, `"integratedTime":"2`):       {"✗ time", "promise"},
		replace(`"tlogEntries"`, `"tlogentries"`):                   {"✗ bundle", "not logged"},
		replace(`"tlogEntries"`, `"TlogEntries":[],"tlogEntries"`):  {"✗ bundle", `"TlogEntries"`},
		replace(`"hint":`, `"hint":"","hint":`):                     {"✗ bundle", "twice"},
		replace(`"signature":"ME`, `"signature":"MF`):               {"✗ entry", "its signature is not the bundle's"},
		`{"a":` + strings.Repeat(`[`, verify.MaxBundle-5):           {"✗ bundle", "depth"},
		replace(`"hint":"`, `"hint":"`+strings.Repeat("a", 30<<20)): {"Verified:"},
	} {
		w.file("b.json", text)
		exit := exitUnverified
		if said[0] == "Verified:" {
			exit = exitDone
		}
		out, _ := w.run(exit, trust...)
		says(t, out, said...)
	}
	w.file("b.json", strings.Repeat(" ", verify.MaxBundle)+good)
	_, errs := w.run(exitUnverified, trust...)
	says(t, errs, "it is no proof")
}
