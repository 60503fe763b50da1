package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

// Several files are all looked at, and the worst of them decides.
func TestVerifyMany(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "artifact.sigstore.json")
	bundle := read(t, w.path("artifact.sigstore.json"))
	same, other, bare := w.file("same", "true\n"), w.file("other", "false\n"), w.file("bare", "")
	w.file("same.sigstore.json", bundle)
	w.file("other.sigstore.json", bundle)
	trust := []string{"--policy", w.path("policy.txt"), "--signer", w.path("cosign.pub")}
	run := func(exit int, args ...string) string {
		t.Helper()
		out, _ := w.run(exit, append(append([]string{"verify"}, args...), trust...)...)
		return out
	}
	says(t, run(exitDone, artifact, same), artifact+"\n  ✓ bundle", "verified", "2 of 2 files are verified.")
	out := run(exitUnverified, artifact, other, bare)
	says(t, out, "NOT VERIFIED  the artifact check failed: this is not", "NOT VERIFIED  there is no proof for", "1 of 3 files are verified.")
	run(exitUnverified, other, bare)
	run(exitUnasked, bare, artifact)
	var list []struct {
		File, Error string
		Verified    bool
		Exit        int
	}
	out = run(exitUnverified, artifact, bare, other, "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 3 || list[0].File != artifact || !list[0].Verified ||
		list[1].Exit != exitUnasked || !strings.Contains(list[1].Error, "there is no proof") || list[2].Exit != exitUnverified || list[2].Verified ||
		strings.Count(out, `"code":`) != 1 || !strings.Contains(out, `"code":"other-artifact"`) {
		t.Errorf("%v: %s", err, out)
	}
	if out := run(exitDone, artifact, same, "--quiet"); out != "" {
		t.Errorf("quiet: %s", out)
	}
	out = run(exitUnverified, artifact, other, bare, "-q")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], other+": the artifact check failed: ") || !strings.HasPrefix(lines[1], bare+": there is no proof for") {
		t.Errorf("quiet: %s", out)
	}
	out = run(exitUnverified, other, "-q")
	if !strings.HasPrefix(out, other+": the artifact check failed") || strings.Count(out, "\n") != 1 {
		t.Errorf("quiet: %s", out)
	}
	run(exitUsage, artifact, same, "--proof", w.path("artifact.sigstore.json"))
	// What is wrong with the trust is said once.
	both := w.file("both.json", strings.Replace(read(t, w.trustedRoot(w.path("policy.txt"))), `"tlogs": [`, `"tlogs": [{"hashAlgorithm": "SHA2_512", "publicKey": {"validFor": {"start": "2024-01-01T00:00:00Z"}}, "logId": {"keyId": "AAAAAA=="}},`, 1))
	_, errs := w.run(exitDone, "verify", artifact, same, "--trusted-root", both, "--signer", w.path("cosign.pub"))
	if strings.Count(errs, "has the hash SHA2_512") != 1 {
		t.Errorf("said: %s", errs)
	}
}

// One file has the bundles of several artifacts, and a digest stands for one.
func TestBundlesAndDigests(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "one.json")
	line := strings.TrimSpace(read(t, w.path("one.json")))
	all := w.file("all.jsonl", line+"\n"+strings.Replace(line, `"messageSignature"`, `"other"`, 1)+"\n")
	npm := w.file("npm.json", `{"attestations":[{"bundle":{}},{"predicateType":"x","bundle":`+line+`}]}`)
	const digest = "sha256:a4c3e3e1d04e2a7f6e8f0f0c6bd53f14fd9dbbfd5a1ca2e0cda6e3f0f6a4e9d2"
	trust := []string{"--policy", w.path("policy.txt"), "--signer", w.path("cosign.pub")}
	sum := digestOfFile(t, artifact)
	for _, bundle := range []string{all, npm, w.path("one.json")} {
		for _, name := range []string{artifact, "sha256:" + sum, "sha256:" + strings.ToUpper(sum)} {
			w.run(exitDone, append([]string{"verify", name, "--bundle", bundle}, trust...)...)
		}
		out, _ := w.run(exitUnverified, append([]string{"verify", digest, "--bundle", bundle}, trust...)...)
		says(t, out, "✗ artifact")
	}
	for name, why := range map[string]string{"sha256:12": "64 hex digits", digest + "00": "64 hex digits", "sha256:" + strings.Repeat("x", 64): "64 hex digits"} {
		_, errs := w.run(exitUsage, append([]string{"verify", name, "--bundle", all}, trust...)...)
		says(t, errs, why)
	}
	_, errs := w.run(exitUsage, append([]string{"verify", digest}, trust...)...)
	says(t, errs, "needs --bundle")
}

func digestOfFile(t *testing.T, file string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(read(t, file)))
	return hex.EncodeToString(sum[:])
}
