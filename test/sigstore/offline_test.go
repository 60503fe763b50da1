package sigstore

import "testing"

// TestOffline verifies after the server has ended, with all clients, what it
// logged over either API, and in the format of before bundles.
func TestOffline(t *testing.T) {
	w := newWorld(t)
	w.services("plain", nil)
	w.write("artifact", "true\n")
	w.write("another", "false\n")
	w.write("predicate.json", predicate)
	image := newImages(t, false).push("offline")
	l := legacy{w, "cosign2", legacySigners()[0]}
	l.blob()
	l.must(l.signs("sign", image)...)
	bundles := map[string]string{}
	for _, api := range []string{"v1", "v2"} {
		for _, command := range []string{"sign-blob", "attest-blob"} {
			bundles[w.three(command, api)] = command
		}
	}
	w.stop()

	w.refused("connection refused", l.verifies("verify-blob", "--signature", "sig", "cosign2")...) // asks the log
	l.must(l.verifies("verify-blob", "--bundle", "b", "cosign2")...)
	l.must(l.verifies("verify", "--offline", image)...)
	for bundle, command := range bundles {
		t.Run(bundle, func(t *testing.T) {
			w := w.in(t)
			for _, program := range verifiers {
				w.refusedBy(program, accepted, command, bundle, "trust/trusted_root.json")
			}
			w.logcli("", "", "artifact", bundle, "--signer", "cosign.pub", "--log-key", "trust/rekor-"+bundle[len(command)+1:len(command)+3]+".pem")
		})
	}
}
