package sigstore

import (
	"strings"
	"testing"
)

// TestLegacy is how cosign v2 works unless it is told otherwise: Rekor v1 by its
// URL, bundles and signatures of before Sigstore's bundle format, and the log's
// key from a file. cosign v3 can still do it.
func TestLegacy(t *testing.T) {
	w := newWorld(t)
	w.signers()
	r := newImages(t, false)
	trust := "SIGSTORE_REKOR_PUBLIC_KEY=trust/rekor-v1.pem"
	key := signer{name: "key", sign: []string{"--key", "cosign.key"}, verify: []string{"--key", "cosign.pub"}}
	certificate := signer{
		name: "certificate", sign: []string{"--key", "leaf.key", "--certificate", "leaf.crt", "--certificate-chain", "ca.pem"},
		verify: []string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer, "--insecure-ignore-sct", "--certificate-chain", "ca.pem"},
	}
	for program, flags := range map[string]struct{ sign, verify []string }{
		"cosign2": {},
		"cosign3": {[]string{"--new-bundle-format=false", "--use-signing-config=false"}, []string{"--new-bundle-format=false"}},
	} {
		run := func(w *world, verb string, s signer, args ...string) []string {
			all := append([]string{trust, program, verb, "--rekor-url", w.url}, flags.verify...)
			if s.sign != nil {
				all = append([]string{trust, program, verb, "--rekor-url", w.url, "--yes"}, flags.sign...)
				all = append(all, s.sign...)
			} else {
				all = append(all, s.verify...)
			}
			return append(all, args...)
		}
		signs := func(s signer) signer { s.verify = nil; return s }
		verifies := func(s signer) signer { s.sign = nil; return s }
		t.Run(program+"/blob", func(t *testing.T) {
			w := w.in(t)
			w.write(program, program+"\n")
			w.write("other", "other\n")
			w.must(run(w, "sign-blob", signs(key), "--bundle", program+".bundle", "--output-signature", program+".sig", program)...)
			w.must(run(w, "verify-blob", verifies(key), "--bundle", program+".bundle", program)...)
			w.must(run(w, "verify-blob", verifies(key), "--signature", program+".sig", program)...) // asks the log
			w.refused("matching bundle to payload", run(w, "verify-blob", verifies(key), "--bundle", program+".bundle", "other")...)
		})
		t.Run(program+"/statement", func(t *testing.T) {
			w := w.in(t)
			w.write("subject", program+"\n")
			attest := []string{"--predicate", "predicate.json", "--type", "slsaprovenance1", "--bundle", "subject.bundle", "subject"}
			w.must(run(w, "attest-blob", signs(key), attest...)...)
			w.must(run(w, "verify-blob-attestation", verifies(key), "--type", "slsaprovenance1", "--bundle", "subject.bundle", "subject")...)
			if program == "cosign2" { // which sends version 0.0.1 of that kind
				w.refused("served are hashedrekord 0.0.1, dsse 0.0.1", run(w, "attest-blob", signs(key), append(attest, "--rekor-entry-type", "intoto")...)...)
			}
		})
		t.Run(program+"/attached statement", func(t *testing.T) {
			w, image := w.in(t), r.push(program+"/attached")
			attest := []string{"cosign2", "attest", "--yes", "--key", "cosign.key", "--predicate", "predicate.json", "--type", "slsaprovenance1", "--no-upload", image}
			w.write("envelope.json", strings.TrimSpace(w.must(attest...)))
			w.upload("--type", "dsse", "--artifact", "envelope.json", "--public-key", "cosign.pub")
			w.must("cosign2", "attach", "attestation", "--attestation", "envelope.json", image)
			w.must(run(w, "verify-attestation", verifies(key), "--type", "slsaprovenance1", image)...) // asks the log
		})
		for _, s := range []signer{key, certificate} {
			t.Run(program+"/image/"+s.name, func(t *testing.T) {
				w, image := w.in(t), r.push(program+"/"+s.name)
				w.must(run(w, "sign", signs(s), image)...)
				w.must(run(w, "verify", verifies(s), image)...)
				w.must(run(w, "verify", verifies(s), "--offline", image)...)
				w.must(run(w, "attest", signs(s), "--predicate", "predicate.json", "--type", "slsaprovenance1", image)...)
				w.must(run(w, "verify-attestation", verifies(s), "--type", "slsaprovenance1", image)...)
			})
		}
	}
}
