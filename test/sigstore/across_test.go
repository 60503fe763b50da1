package sigstore

import (
	"fmt"
	"testing"
)

// TestAcross verifies with each client what the others made.
func TestAcross(t *testing.T) {
	w := newWorld(t)
	w.services("plain", nil)
	w.write("artifact", "artifact\n")
	w.write("predicate.json", predicate)
	key := signer{"key", []string{"--key", "cosign.key"}, []string{"--key", "cosign.pub"}, "trust/trusted_root.json", "plain", false}
	for _, maker := range []string{"cosign3", "cosign2"} {
		for _, api := range []string{"v1", "v2"} {
			f := flow{w, maker, api, key}
			blob, statement := fmt.Sprintf("%s-%s.blob", maker, api), fmt.Sprintf("%s-%s.statement", maker, api)
			w.must(append(f.signFlags("sign-blob"), "--bundle", blob, "artifact")...)
			w.must(append(f.signFlags("attest-blob"), "--predicate", "predicate.json", "--type", "slsaprovenance1", "--bundle", statement, "artifact")...)
			for _, verifier := range verifiers {
				t.Run(fmt.Sprintf("%s/%s/%s", maker, api, verifier), func(t *testing.T) {
					f := flow{w.in(t), verifier, api, key}
					f.must(f.verifier(verifier, "sign-blob", blob, f.root)...)
					f.acrossStatement(maker, statement)
				})
			}
		}
	}
}

// acrossStatement verifies a statement. Over Rekor v2 cosign 2.6 logs the
// envelope, as dsse, and cosign 3.1 its signature, as hashedrekord, and nothing
// else does it verify.
func (f flow) acrossStatement(maker, bundle string) {
	f.t.Helper()
	args := f.verifier(f.program, "attest-blob", bundle, f.root)
	if f.api == "v2" && maker == "cosign2" && f.program == "cosign3" {
		f.refused("only supported with --new-bundle-format", args...) // it cannot be read, that is
		return
	}
	f.must(args...)
}
