package sigstore

import (
	"strings"
	"testing"
)

// legacy is how cosign v2 works unless it is told otherwise: Rekor v1 by its
// URL, bundles and signatures of before Sigstore's bundle format, and the log's
// key from a file. cosign v3 can still do it.
type legacy struct {
	*world
	program string
	signer
}

func (l legacy) command(verb string) []string {
	args := []string{"SIGSTORE_REKOR_PUBLIC_KEY=trust/rekor-v1.pem", l.program, verb, "--rekor-url", l.url}
	if l.program == "cosign3" {
		args = append(args, "--new-bundle-format=false")
	}
	return args
}

func (l legacy) signs(verb string, args ...string) []string {
	all := append(l.command(verb), "--yes")
	if l.program == "cosign3" {
		all = append(all, "--use-signing-config=false")
	}
	return append(append(all, l.signer.sign...), args...)
}

func (l legacy) verifies(verb string, args ...string) []string {
	return append(append(l.command(verb), l.signer.verify...), args...)
}

func legacySigners() []signer {
	return []signer{
		{name: "key", sign: []string{"--key", "cosign.key"}, verify: []string{"--key", "cosign.pub"}},
		{
			name: "certificate", sign: []string{"--key", "leaf.key", "--certificate", "leaf.crt", "--certificate-chain", "ca.pem"},
			verify: []string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer, "--insecure-ignore-sct", "--certificate-chain", "ca.pem"},
		},
	}
}

func TestLegacy(t *testing.T) {
	w := newWorld(t)
	w.signers()
	r := newImages(t, false)
	signers := legacySigners()
	for _, program := range []string{"cosign2", "cosign3"} {
		l := func(t *testing.T, s signer) legacy { return legacy{w.in(t), program, s} }
		t.Run(program+"/blob", func(t *testing.T) { l(t, signers[0]).blob() })
		t.Run(program+"/statement", func(t *testing.T) { l(t, signers[0]).statement() })
		t.Run(program+"/attached statement", func(t *testing.T) { l(t, signers[0]).attached(r.push(program + "/attached")) })
		for _, s := range signers {
			t.Run(program+"/image/"+s.name, func(t *testing.T) { l(t, s).image(r.push(program + "/" + s.name)) })
		}
	}
}

func (l legacy) blob() {
	l.t.Helper()
	name := l.write(l.program, l.program+"\n")
	l.write("other", "other\n")
	l.must(l.signs("sign-blob", "--bundle", "b", "--output-signature", "sig", name)...)
	l.must(l.verifies("verify-blob", "--bundle", "b", name)...)
	l.must(l.verifies("verify-blob", "--signature", "sig", name)...) // asks the log
	l.refused("matching bundle to payload", l.verifies("verify-blob", "--bundle", "b", "other")...)
	l.refused("the signature does not verify", l.verifies("verify-blob", "--signature", "sig", "other")...)
}

func (l legacy) statement() {
	l.t.Helper()
	l.write("subject", l.program+"\n")
	attest := l.signs("attest-blob", "--predicate", "predicate.json", "--type", "slsaprovenance1", "--bundle", "b", "subject")
	l.must(attest...)
	l.must(l.verifies("verify-blob-attestation", "--type", "slsaprovenance1", "--bundle", "b", "subject")...)
	if l.program == "cosign2" { // which sends version 0.0.1 of that kind
		l.refused("served are hashedrekord 0.0.1, dsse 0.0.1", append(attest, "--rekor-entry-type", "intoto")...)
	}
}

// attached verifies a statement that lies beside an image without a bundle:
// cosign asks the log for it.
func (l legacy) attached(image string) {
	l.t.Helper()
	envelope := l.must("cosign2", "attest", "--yes", "--key", "cosign.key", "--predicate", "predicate.json", "--type", "slsaprovenance1", "--no-upload", image)
	l.write("envelope.json", strings.TrimSpace(envelope))
	l.must("cosign2", "attach", "attestation", "--attestation", "envelope.json", image)
	verify := l.verifies("verify-attestation", "--type", "slsaprovenance1", image)
	l.refused("signature not found in transparency log", verify...)
	l.upload("--type", "dsse", "--artifact", "envelope.json", "--public-key", "cosign.pub")
	l.must(verify...)
}

func (l legacy) image(image string) {
	l.t.Helper()
	l.must(l.signs("sign", image)...)
	l.must(l.verifies("verify", image)...)
	l.must(l.verifies("verify", "--offline", image)...)
	l.must(l.signs("attest", "--predicate", "predicate.json", "--type", "slsaprovenance1", image)...)
	l.must(l.verifies("verify-attestation", "--type", "slsaprovenance1", image)...)
}
