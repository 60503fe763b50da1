package main

import (
	"os"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/trust"
)

// trustedRoot is a file with what package trust writes for a policy's log.
func (w *world) trustedRoot(policy string) string {
	w.t.Helper()
	data, err := os.ReadFile(policy)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(data)
	if err != nil {
		w.t.Fatal(err)
	}
	key := p.Logs[0].Key
	files, err := trust.Files(trust.Log{URL: "https://" + key.Name(), Origin: key.Name(), Keys: []string{key.String()}, RekorV2: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		if f.Name == "trusted_root.json" {
			return w.file(f.Name, string(f.Data))
		}
	}
	w.t.Fatal("there is no trusted root")
	return ""
}

// A trusted root stands in for the log's key, and a flag for it.
func TestTrustedRoot(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "artifact.sigstore.json")
	root := w.trustedRoot(w.path("policy.txt"))
	verify := []string{"verify", artifact, "--signer", w.path("cosign.pub"), "--trusted-root", root}
	out, _ := w.run(exitDone, verify...)
	says(t, out, "✓ checkpoint", "– witnesses", "– timestamp", "the bundle has none", "✓ period", "at all times until now", "Verified:")
	out, _ = w.run(exitDone, append(verify, "--policy", w.path("policy.txt"))...)
	says(t, out, "✓ witnesses", "✓ time", "It was there by")
	if strings.Contains(out, "period") {
		t.Errorf("the policy's log has no period:\n%s", out)
	}
	out, _ = w.run(exitUnverified, append(verify, "--log-key", w.path("rekor-v1.pem"))...)
	says(t, out, "✗ checkpoint")
	other := w.file("other.json", strings.ReplaceAll(read(t, root), `"start": "1970-01-01T00:00:00Z"`, `"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"`))
	out, _ = w.run(exitDone, "verify", artifact, "--signer", w.path("cosign.pub"), "--trusted-root", other)
	says(t, out, "– period", "the key's period ended", "from 2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z")
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A log that has a kind of key that is not read is named, and the rest is used.
func TestTrustedRootWithOtherKeys(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-blob.json", "artifact.sigstore.json")
	text := read(t, w.trustedRoot(w.path("policy.txt")))
	rsa := `{"baseUrl": "https://old.example", "hashAlgorithm": "SHA2_256", "publicKey": {"rawBytes": "AA==", "keyDetails": "PKCS1_RSA_PKCS1V5", "validFor": {"start": "2024-01-01T00:00:00Z"}}, "logId": {"keyId": "AAAAAA=="}},`
	both := w.file("both.json", strings.Replace(text, `"tlogs": [`, `"tlogs": [`+rsa, 1))
	_, errs := w.run(exitDone, "verify", artifact, "--signer", w.path("cosign.pub"), "--trusted-root", both)
	says(t, errs, `tlogs[0], "https://old.example", has a key of kind PKCS1_RSA_PKCS1V5`, "not read")
}

// What is given is wrong, and nothing was looked at.
func TestTrustedRootUsage(t *testing.T) {
	w, artifact := bundled(t, "cosign3-v2-keyless-sign-blob.json", "b.json")
	root := w.trustedRoot(w.path("policy.txt"))
	given := []string{"verify", artifact, "--bundle", w.path("b.json")}
	who := []string{"--certificate-identity", "builder@example.com", "--certificate-oidc-issuer", "https://accounts.example.com"}
	empty := w.file("empty.json", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	signer := []string{"--signer", w.path("cosign.pub")}
	for said, more := range map[string][]string{
		"no such file or directory":          append([]string{"--trusted-root", w.path("none.json")}, signer...),
		"it is no trusted root":              append([]string{"--trusted-root", w.path("cosign.pub")}, signer...),
		"no log is trusted":                  append([]string{"--trusted-root", empty}, signer...),
		"a --trusted-root with an authority": append([]string{"--trusted-root", root}, who...),
		"holds no certificates in PEM":       append([]string{"--trusted-root", root, "--tsa", w.path("cosign.pub")}, signer...),
		"--tsa: ":                            append([]string{"--trusted-root", root, "--tsa", w.path("none.pem")}, signer...),
		"certificate 2 of the timestamp":     append([]string{"--trusted-root", root, "--tsa", w.file("twice.pem", read(t, w.path("ca.pem"))+read(t, w.path("ca.pem")))}, signer...),
	} {
		_, errs := w.run(exitUsage, append(given, more...)...)
		says(t, errs, said)
	}
	// The authorities of --ca-roots, and a timestamp authority that is not trusted.
	out, _ := w.run(exitUnverified, append(append(given, "--trusted-root", root, "--ca-roots", w.path("ca.pem")), who...)...)
	says(t, out, "– timestamp", "the bundle has 1 of RFC 3161", "✗ signer", "no timestamp authority is trusted")
	out, _ = w.run(exitUnverified, append(append(given, "--trusted-root", root, "--ca-roots", w.path("ca.pem"), "--tsa", w.path("ca.pem")), who...)...)
	says(t, out, "✗ timestamp", "– signer")
}

// A proof file has no timestamps.
func TestTrustedRootAndProofFiles(t *testing.T) {
	w := newWorld(t)
	artifact := w.file("artifact", "content")
	_, errs := w.run(exitUsage, "verify", artifact, "--proof", w.file("p", "c2sp.org/tlog-proof@v1\n"), "--tsa", w.file("tsa.pem", ""))
	says(t, errs, "--tsa is for bundles")
}
