package sigstore

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

// stampAt is a timestamp of the authority's, of some bytes at some time, in base64.
func (a *authority) stampAt(at time.Time, data []byte) string {
	sum := sha256.Sum256(data)
	stamp := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, AddTSACertificate: true,
	}
	return base64.StdEncoding.EncodeToString(must1(stamp.CreateResponseWithOpts(a.tsaChain[0], a.tsaKey, crypto.SHA256)))
}

// stamps are the timestamps in a bundle.
func stamps(b object) []any {
	return b["verificationMaterial"].(object)["timestampVerificationData"].(object)["rfc3161Timestamps"].([]any)
}

// restamp changes a bundle's timestamp, which is in base64.
func restamp(change func(was string, signature []byte) string) func(object) {
	return func(b object) {
		one := stamps(b)[0].(object)
		one["signedTimestamp"] = change(one["signedTimestamp"].(string), signatureOf(b))
	}
}

func signatureOf(b object) []byte {
	signature, sig := b["messageSignature"], "signature"
	if env, ok := b["dsseEnvelope"].(object); ok {
		signature, sig = env["signatures"].([]any)[0], "sig"
	}
	return must1(base64.StdEncoding.DecodeString(signature.(object)[sig].(string)))
}

// expired has a list of a trusted root end yesterday.
func expired(list string) func(object) {
	return func(root object) {
		for _, v := range root[list].([]any) {
			o := v.(object)
			if key, ok := o["publicKey"].(object); ok {
				o = key
			}
			o["validFor"] = object{"start": "2020-01-01T00:00:00Z", "end": time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)}
		}
	}
}

// toCome has the keys of a trusted root's logs be in use from tomorrow on.
func toCome(root object) {
	for _, v := range root["tlogs"].([]any) {
		v.(object)["publicKey"].(object)["validFor"] = object{"start": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)}
	}
}

// stampedTwice has a timestamp of after the certificate before the bundle's own.
func stampedTwice(a *authority) func(object) {
	return func(b object) {
		late := object{"signedTimestamp": a.stampAt(time.Now().Add(40*time.Minute), signatureOf(b))}
		data := b["verificationMaterial"].(object)["timestampVerificationData"].(object)
		data["rfc3161Timestamps"] = append([]any{late}, stamps(b)...)
	}
}

// distrust is a change to a bundle or to a trusted root after which logcli must
// refuse, for which it names a check, and cosign too, but where it does not look.
type distrust struct {
	name            string
	bundle, root    func(object)
	check, reason   string
	cosignTakesThis bool
}

func distrusts(a, other *authority) []distrust {
	missing := func(list string) func(object) { return func(root object) { delete(root, list) } }
	return []distrust{
		{name: "another timestamp authority", check: "timestamp", reason: "not by the trusted authority", bundle: restamp(func(_ string, sig []byte) string { return other.stampAt(time.Now(), sig) })},
		{name: "of another signature", check: "timestamp", reason: "it is of something else", bundle: restamp(func(string, []byte) string { return a.stampAt(time.Now(), []byte("another")) })},
		{name: "of the signature's text", check: "timestamp", reason: "it is of something else", bundle: restamp(func(_ string, sig []byte) string {
			return a.stampAt(time.Now(), []byte(base64.StdEncoding.EncodeToString(sig)))
		})},
		{name: "after the certificate", check: "signer", reason: "was not at the proven time", bundle: restamp(func(_ string, sig []byte) string { return a.stampAt(time.Now().Add(40*time.Minute), sig) })},
		{name: "before the certificate", check: "signer", reason: "was not at the proven time", bundle: restamp(func(_ string, sig []byte) string { return a.stampAt(time.Now().Add(-20*time.Minute), sig) })},
		{name: "after the authority's certificate", check: "timestamp", reason: "does not lead to the trusted authority", bundle: restamp(func(_ string, sig []byte) string { return a.stampAt(time.Now().Add(2*time.Hour), sig) })},
		{name: "one bit", check: "timestamp", reason: "none of the bundle's 1 timestamps is good", bundle: restamp(func(was string, _ []byte) string { return flipLast(was) })},
		{name: "cut", check: "timestamp", reason: "not a good RFC 3161 timestamp", bundle: restamp(func(was string, _ []byte) string { return was[:400] })},
		{name: "nothing", check: "timestamp", reason: "not a good RFC 3161 timestamp", bundle: restamp(func(string, []byte) string { return "MAA=" })},
		{name: "no timestamp", check: "signer", reason: "has no timestamp", bundle: func(b object) { delete(b["verificationMaterial"].(object), "timestampVerificationData") }},
		{name: "no timestamp authority", check: "signer", reason: "no timestamp authority is trusted", root: missing("timestampAuthorities")},
		{name: "the timestamp authority's period", check: "timestamp", reason: "the authority is trusted from", root: expired("timestampAuthorities")},
		{name: "the certificate authority's period", check: "signer", reason: "its certificate authority is trusted from", root: expired("certificateAuthorities")},
		{name: "the log's period that ended", root: expired("tlogs"), cosignTakesThis: true}, // as nothing says when the checkpoint was signed
		{name: "the log's period to come", check: "period", reason: "still to come", root: toCome, cosignTakesThis: true},
		{name: "a timestamp after the certificate besides", bundle: stampedTwice(a)}, // which cosign wants all to be within
		{name: "another log", check: "checkpoint", reason: "the trusted root has no log that signs as", root: otherKey},
	}
}

// flipLast changes a bit of base64 bytes near their end, where the signature is.
func flipLast(s string) string {
	b := must1(base64.StdEncoding.DecodeString(s))
	b[len(b)-3] ^= 1
	return base64.StdEncoding.EncodeToString(b)
}

// TestBundleTrust: what cosign signs by a certificate, Rekor v2 and a timestamp
// authority, of a log without witnesses, logcli verifies as cosign does: by a
// trusted root, or by its parts.
func TestBundleTrust(t *testing.T) {
	w := newServer(t)
	w.must("logcli", "trust", "export", "--url", w.url, "--dir", "trust")
	w.must("cosign3", "generate-key-pair")
	w.keyPair("leaf", newKey())
	a, other := newAuthority(t), newAuthority(t)
	w.certificates(a)
	w.services("authority", a)
	w.write("artifact", "true\n")
	w.write("another", "false\n")
	w.write("predicate.json", predicate)
	w.write("above.pem", encode(a.tsaChain[1:]...))
	w.write("other.pem", encode(other.tsaChain...))
	w.write("disorder.pem", encode(a.tsaChain[0], a.tsaChain[2], a.tsaChain[1]))
	who := []string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer}
	parts := append([]string{"--log-key", "trust/rekor-v2.pem", "--ca-roots", "ca.pem"}, who...)
	byRoot := func(root string) []string { return append([]string{"--trusted-root", root}, who...) }
	for _, command := range []string{"sign-blob", "attest-blob"} {
		for _, s := range []signer{
			{name: "identity", sign: []string{"--identity-token", "token"}, root: "authority.json", services: "authority"},
			{name: "certificate", sign: []string{"--key", "leaf.key", "--certificate", "leaf.crt"}, root: "authority.json", services: "authority"},
		} {
			t.Run(command+"/"+s.name, func(t *testing.T) {
				w := w.in(t)
				args := flow{w, "cosign3", "v2", s}.signFlags(command)
				if command == "attest-blob" {
					args = append(args, "--predicate", "predicate.json", "--type", "slsaprovenance1")
				}
				w.must(append(args, "--bundle", "b.json", "artifact")...)
				w.logcli("", "", "artifact", "b.json", byRoot("authority.json")...)
				w.logcli("artifact", "", "another", "b.json", byRoot("authority.json")...)
				w.logcli("", "", "artifact", "b.json", append([]string{"--tsa", "tsa.pem"}, parts...)...)
				// cosign asks for timestamps without certificates.
				w.logcli("timestamp", "does not have its signer's certificate", "artifact", "b.json", append([]string{"--tsa", "above.pem"}, parts...)...)
				w.logcli("", "", "artifact", "b.json", append([]string{"--tsa", "other.pem", "--tsa", "tsa.pem"}, parts...)...)
				w.logcli("timestamp", "not by the trusted authority", "artifact", "b.json", append([]string{"--tsa", "other.pem"}, parts...)...)
				w.logcli("timestamp", "not by the trusted authority", "artifact", "b.json", append([]string{"--tsa", "other.pem"}, byRoot("authority.json")...)...)
				w.logcli("signer", "no timestamp authority is trusted", "artifact", "b.json", parts...)
				// A trusted root that knows the log alone, and the others by flags.
				w.logcli("", "", "artifact", "b.json", append([]string{"--tsa", "tsa.pem", "--ca-roots", "ca.pem"}, byRoot("trust/trusted_root.json")...)...)
				if _, all, code := w.run(append([]string{"logcli", "verify", "artifact", "--bundle", "b.json", "--tsa", "disorder.pem"}, parts...)...); code != 2 {
					t.Errorf("a chain in disorder: exit code %d\n%s", code, all)
				}
				for _, d := range distrusts(a, other) {
					t.Run(d.name, func(t *testing.T) { w.in(t).distrusts(d, command, byRoot) })
				}
			})
		}
	}
}

// distrusts has logcli and cosign verify what was changed.
func (w *world) distrusts(d distrust, command string, byRoot func(string) []string) {
	w.t.Helper()
	bundle, root := "b.json", "authority.json"
	if d.bundle != nil {
		bundle = w.edit(bundle, "changed.json", d.bundle)
	}
	if d.root != nil {
		root = w.edit(root, "changed-root.json", d.root)
	}
	w.logcli(d.check, d.reason, "artifact", bundle, byRoot(root)...)
	args := []string{"cosign3", "verify-blob"}
	if command == "attest-blob" {
		args = []string{"cosign3", "verify-blob-attestation", "--type", "slsaprovenance1"}
	}
	_, all, code := w.run(slices.Concat(args, byRoot(root), []string{"--insecure-ignore-sct", "--bundle", bundle, "artifact"})...)
	if (code == 0) != d.cosignTakesThis {
		w.t.Errorf("cosign: exit code %d\n%s", code, all)
	}
}

// TestBundleTrustKeys: a trusted root as the log's server has it is enough for what
// was signed by a key, over either API.
func TestBundleTrustKeys(t *testing.T) {
	w := newWorld(t)
	w.services("plain", nil)
	w.write("artifact", "true\n")
	w.write("another", "false\n")
	w.write("predicate.json", predicate)
	byRoot := []string{"--trusted-root", "trust/trusted_root.json", "--signer", "cosign.pub"}
	for _, api := range []string{"v1", "v2"} {
		for _, command := range []string{"sign-blob", "attest-blob"} {
			bundle := w.three(command, api)
			w.logcli("", "", "artifact", bundle, byRoot...)
			w.logcli("artifact", "", "another", bundle, byRoot...)
			w.edit("trust/trusted_root.json", "other-root.json", otherKey)
			w.logcli("checkpoint", "", "artifact", bundle, "--trusted-root", "other-root.json", "--signer", "cosign.pub")
		}
	}
}

// TestBundleTrustJS: what sigstore-js signs, and cosign does not need to know.
func TestBundleTrustJS(t *testing.T) {
	w := newWorld(t)
	w.keyPair("leaf", newKey())
	a := newAuthority(t)
	w.certificates(a)
	w.write("artifact", "true\n")
	w.must(w.js(object{"do": "sign", "file": "artifact", "bundle": "js.json", "url": w.url, "api": 2, "type": "message", "key": "leaf.pem", "certificate": "leaf.crt", "tsa": a.url, "times": 1})...)
	w.logcli("", "", "artifact", "js.json", "--trusted-root", "authority.json", "--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
}
