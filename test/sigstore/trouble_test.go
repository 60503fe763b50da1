package sigstore

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTroubles makes what the guide's tables of messages warn of, and sees that
// they have these, and no others.
func TestTroubles(t *testing.T) {
	w := newWorld(t)
	w.signers()
	w.write("artifact", "artifact\n")
	w.write("broken.json", "{}")
	w.must(
		"cosign3", "trusted-root", "create", "--out", "no-origin.json",
		"--rekor", fmt.Sprintf("url=%s,public-key=trust/rekor-v2.pem,start-time=2024-01-01T00:00:00Z", w.url),
	)
	other := newServer(t, "--origin", "other.example")
	other.dir = w.dir
	other.must("logcli", "trust", "export", "--url", other.url, "--dir", "other")
	other.services("other", nil)

	w.must(
		"cosign2", "attest-blob", "--yes", "--new-bundle-format", "--key", "leaf.key", "--certificate", "leaf.crt", "--predicate", "predicate.json", "--type", "slsaprovenance1",
		"--signing-config", "authority-v1.json", "--trusted-root", "authority.json", "--bundle", "without.json", "artifact",
	)

	sign := func(more ...string) []string {
		return append([]string{"cosign3", "sign-blob", "--yes", "--bundle", "b.json", "artifact"}, more...)
	}
	byKey := func(more ...string) []string { return append(sign("--key", "cosign.key"), more...) }
	upper := "DA69F286F03C0D2131B3F95AFE7C8D31B4F65CBF5CA49A12C41D8BF02D366A34"
	troubles := map[string][]string{
		"cannot specify service URLs and use signing config": byKey("--rekor-url", w.url),
		"threshold not met for verified log entry integrated timestamps: 0 < 1": sign(
			"--key", "leaf.key", "--certificate", "leaf.crt", "--signing-config", "plain-v2.json", "--trusted-root", "authority.json",
		),
		"not enough verified log entries from transparency log: 0 < 1": byKey("--signing-config", "plain-v2.json", "--trusted-root", "no-origin.json"),
		"unverified checkpoint signature":                              byKey("--signing-config", "other-v2.json", "--trusted-root", "other/trusted_root.json"),
		"--trusted-root only supported with --new-bundle-format":       {"cosign3", "verify-blob", "--key", "cosign.pub", "--trusted-root", "trust/trusted_root.json", "--bundle", "broken.json", "artifact"},
		"transparency log certificate does not match": {
			"cosign2", "verify-blob-attestation", "--new-bundle-format", "--insecure-ignore-sct", "--certificate-identity", identity, "--certificate-oidc-issuer", issuer,
			"--trusted-root", "authority.json", "--type", "slsaprovenance1", "--bundle", "without.json", "artifact",
		},
		"getting signing config from TUF": append([]string{"HTTPS_PROXY=http://127.0.0.1:1"}, byKey()...),
		"has capitals":                    w.rekorCLI("upload", append(w.uploads()["hashedrekord"], "--artifact-hash", upper)...),
	}
	for message, command := range troubles {
		t.Run(message, func(t *testing.T) {
			w.in(t).trouble(message, command...)
		})
	}
	elsewhere := []string{
		cannotSign, "giving up after 4 attempt(s)", // TestKeyInVault
		"more than 10000 entries answer", "too much is being searched", // the tests of server/rekorv1, with more entries than there are here
	}
	if run, listed := slices.Collect(maps.Keys(troubles)), listedTroubles(t); !slices.Equal(slices.Sorted(slices.Values(append(run, elsewhere...))), listed) {
		t.Errorf("the guide lists %q; run are %q here, and %q elsewhere", listed, run, elsewhere)
	}
	w.refused("retrieving ID token", sign("--signing-config", "plain-v2.json", "--trusted-root", "trust/trusted_root.json")...) // no key, no Fulcio
}

// listedTroubles are the messages in the guide's tables of them. Every row has
// one.
func listedTroubles(t *testing.T) (list []string) {
	t.Helper()
	inTable := false
	for line := range strings.Lines(string(must1(os.ReadFile("../../docs/sigstore.md")))) {
		switch {
		case strings.HasPrefix(line, "| message |"):
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "|---"):
			message := regexp.MustCompile("^\\| `([^`]+)`").FindStringSubmatch(line)
			if message == nil {
				t.Fatalf("a row of the guide without a message: %s", line)
			}
			list = append(list, message[1])
		}
	}
	return slices.Sorted(slices.Values(list))
}

// trouble is refused for what the guide's table has: the message, and what to do.
func (w *world) trouble(message string, args ...string) {
	w.t.Helper()
	text, err := os.ReadFile("../../docs/sigstore.md")
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(text), "| `"+message+"` |") {
		w.t.Errorf("the guide does not say what to do about %q", message)
	}
	w.refused(regexp.QuoteMeta(message), args...)
}

// TestTLS is a log as in production: over https, here of an authority that the
// system does not know.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t)
	cert, key := a.server(t)
	w := &world{t: t, dir: dir, proxy: nobody(t)}
	w.write("tls.crt", cert)
	w.write("tls.key", key)
	w.write("root.pem", encode(a.chain[1]))
	w.serve([]string{"--tls-cert", w.path("tls.crt"), "--tls-key", w.path("tls.key")})
	w.url = strings.Replace(w.url, "http://", "https://", 1)

	trust := "SSL_CERT_FILE=" + w.path("root.pem")
	w.must(trust, "logcli", "trust", "export", "--url", w.url, "--dir", "trust")
	w.must(trust, "logcli", "doctor", "--url", w.url)
	w.must("cosign3", "generate-key-pair")
	w.write("artifact", "artifact\n")
	for _, program := range []string{"cosign3", "cosign2"} {
		f := flow{w, program, "", signer{sign: []string{"--key", "cosign.key"}, verify: []string{"--key", "cosign.pub"}, root: "trust/trusted_root.json"}}
		sign := append([]string{trust}, f.signFlags("sign-blob")...)
		for i, arg := range sign {
			if arg == "--signing-config" {
				sign[i+1] = "trust/signing_config.json"
			}
		}
		w.must(append(sign, "--bundle", "b.json", "artifact")...)
		w.must(append(f.verifyFlags("verify-blob"), "--bundle", "b.json", "artifact")...)
	}
	w.refused("failed\\s+to verify certificate", "logcli", "doctor", "--url", w.url)
}
