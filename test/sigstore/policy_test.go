package sigstore

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// oneOfThree starts a logwitness for a log, and returns its line of a policy.
func (w *world) oneOfThree(name, vkey string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	w.must("logwitness", "keygen", "--name", name+".example", "--out", filepath.Join(dir, "witness.key"))
	w.write(name+"-logs.txt", "logs/v0\n\nvkey "+vkey+"\nqpd 86400\ncontact nobody\n")
	var out buffer
	w.start(&out, "logwitness", "serve", "--key", filepath.Join(dir, "witness.key"), "--data-dir", filepath.Join(dir, "data"),
		"--logs", w.path(name+"-logs.txt"), "--listen", anyPort, "--admin", anyPort)
	return "witness " + name + " " + said(w.t, &out, `(?m)^witness \S+ (\S+ \S+)$`) + "\n"
}

// newTwoOfThree is a world whose log publishes only what two of three witnesses
// cosigned; policy.txt says so.
func newTwoOfThree(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), proxy: nobody(t)}
	data := filepath.Join(t.TempDir(), "log")
	m := regexp.MustCompile(`(?m)^  vkey +(\S+)$`).FindStringSubmatch(w.must("logserver", "init", "--data-dir", data, "--origin", "localhost"))
	if m == nil {
		t.Fatal("logserver init says no vkey")
	}
	policy := "log " + m[1] + "\n"
	for _, name := range []string{"w1", "w2", "w3"} {
		policy += w.oneOfThree(name, m[1])
	}
	w.write("policy.txt", policy+"group two-of-three 2 w1 w2 w3\nquorum two-of-three\n")
	w.serve([]string{"--data-dir", data, "--witness-policy", w.path("policy.txt")})
	w.must("logcli", "trust", "export", "--url", w.url, "--dir", "trust")
	w.must("cosign3", "generate-key-pair")
	return w
}

// logcli has logcli verify a bundle, and demands that one check fails, or, if
// none is named, that all pass.
func (w *world) logcli(check, reason, artifact, bundle string, more ...string) {
	w.t.Helper()
	args := append([]string{"logcli", "verify", "-o", "json", artifact, "--bundle", bundle}, more...)
	out, all, code := w.run(args...)
	var said struct {
		Verified bool
		Checks   []struct{ Name, State, Detail string }
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, all)
	}
	failed, detail := "", ""
	for _, c := range said.Checks {
		if c.State == "failed" {
			failed, detail = c.Name, c.Detail
		}
	}
	want := 0
	if check != "" {
		want = 1
	}
	if code != want || said.Verified != (code == 0) || !regexp.MustCompile("^("+check+")$").MatchString(failed) || !strings.Contains(detail, reason) {
		w.t.Errorf("%s: exit code %d; the %q check failed, which should have been %q for %q\n%s", strings.Join(args, " "), code, failed, check, reason, all)
	}
}

// cosignatures keeps as many of a checkpoint's signature lines by witnesses.
func cosignatures(keep int) func(object) {
	return func(b object) {
		checkpoint := proof(logged(b))["checkpoint"].(object)
		var kept strings.Builder
		for line := range strings.Lines(checkpoint["envelope"].(string)) {
			if strings.HasPrefix(line, "— w") {
				if keep--; keep < 0 {
					continue
				}
			}
			kept.WriteString(line)
		}
		checkpoint["envelope"] = kept.String()
	}
}

// TestPolicy has cosign, as it is, sign with a log that has witnesses: all
// verify the bundle, and logcli asks it for the cosignatures.
func TestPolicy(t *testing.T) {
	w := newTwoOfThree(t)
	w.services("plain", nil)
	w.write("artifact", "true\n")
	w.write("another", "false\n")
	w.write("predicate.json", predicate)
	byKey := []string{"--signer", "cosign.pub"}
	byPolicy := append([]string{"--policy", "policy.txt"}, byKey...)
	for _, command := range []string{"sign-blob", "attest-blob"} {
		t.Run(command, func(t *testing.T) {
			w := w.in(t)
			bundle := w.three(command, "v2")
			for _, program := range verifiers {
				w.refusedBy(program, accepted, command, bundle, "trust/trusted_root.json")
			}
			w.logcli("", "", "artifact", bundle, byPolicy...)
			w.logcli("", "", "artifact", bundle, append(byKey, "--log-key", "trust/rekor-v2.pem")...)
			w.logcli("artifact", "", "another", bundle, byPolicy...)
			w.logcli("", "", "artifact", w.edit(bundle, "two.json", cosignatures(2)), byPolicy...)
			w.logcli("witnesses", "", "artifact", w.edit(bundle, "one.json", cosignatures(1)), byPolicy...)
			w.logcli("", "", "artifact", "one.json", append(byKey, "--log-key", "trust/rekor-v2.pem")...)

			bundle = w.three(command, "v1")
			w.logcli("witnesses", "Rekor v1", "artifact", bundle, byPolicy...)
			w.logcli("", "", "artifact", bundle, append(byKey, "--log-key", "trust/rekor-v1.pem")...)
			w.logcli("checkpoint", "", "artifact", bundle, append(byKey, "--log-key", "trust/rekor-v2.pem")...)
			if _, all, code := w.run("logcli", "verify", "artifact", "--bundle", bundle, "--signer", "cosign.pub"); code != 2 {
				t.Errorf("without a log to trust: exit code %d\n%s", code, all)
			}
		})
	}
}

// TestPolicyCertificates: the witnesses' times stand in for a timestamp
// authority.
func TestPolicyCertificates(t *testing.T) {
	w := newTwoOfThree(t)
	w.signers()
	a := newAuthority(t)
	w.certificates(a)
	w.services("authority", a)
	w.write("artifact", "true\n")
	who := []string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer, "--ca-roots", "ca.pem"}
	byPolicy, byKey := append([]string{"--policy", "policy.txt"}, who...), append([]string{"--log-key", "trust/rekor-v2.pem"}, who...)
	for _, command := range []string{"sign-blob", "attest-blob"} {
		for _, api := range []string{"v1", "v2"} {
			t.Run(command+"/"+api, func(t *testing.T) {
				w := w.in(t)
				f := flow{w, "cosign3", api, signer{sign: []string{"--identity-token", "token"}, root: "authority.json", services: "authority"}}
				args := f.signFlags(command)
				if command == "attest-blob" {
					args = append(args, "--predicate", "predicate.json", "--type", "slsaprovenance1")
				}
				w.must(append(args, "--bundle", "keyless.json", "artifact")...)
				if api == "v1" {
					w.logcli("", "", "artifact", "keyless.json", append([]string{"--log-key", "trust/rekor-v1.pem"}, who...)...)
					return
				}
				w.logcli("", "", "artifact", "keyless.json", byPolicy...)
				w.logcli("signer", "nothing proves that it signed by then", "artifact", "keyless.json", byKey...)
				byPolicy := append([]string{}, byPolicy...)
				byPolicy[3] = "somebody@example.com"
				w.logcli("signer", "not "+byPolicy[3], "artifact", "keyless.json", byPolicy...)
			})
		}
	}
	t.Run("sigstore-js", func(t *testing.T) {
		w := w.in(t)
		w.must(w.js(object{"do": "sign", "file": "artifact", "bundle": "js.json", "url": w.url, "api": 2, "type": "message", "key": "leaf.pem", "certificate": "leaf.crt", "tsa": a.url, "times": 1})...)
		w.logcli("", "", "artifact", "js.json", byPolicy...)
	})
	t.Run("sigstore-go", func(t *testing.T) {
		w, key := w.in(t), newKeypair(t, common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
		b := w.sign(contents()["statement"], key, sign.BundleOptions{TransparencyLogs: w.rekor(2), CertificateProvider: certifier{a}})
		w.write("go.json", string(must1(b.MarshalJSON())))
		w.write("test", "test")
		w.logcli("", "", "test", "go.json", byPolicy...)
		key = newKeypair(t, common.PublicKeyDetails_PKIX_ED25519_PH)
		b = w.sign(contents()["blob"], key, sign.BundleOptions{TransparencyLogs: w.rekor(2)})
		w.verify(b, "blob", w.material("trust/trusted_root.json", key), verify.WithKey(), verify.WithTransparencyLog(1), verify.WithNoObserverTimestamps())
		w.write("go.json", string(must1(b.MarshalJSON())))
		w.write("blob", "a blob\n")
		w.logcli("", "", "blob", "go.json", "--policy", "policy.txt", "--any-signer")
	})
}

// TestForgeriesAndLogcli: whatever a verifier of Sigstore's refuses, logcli does,
// and what they do not look at it does too.
func TestForgeriesAndLogcli(t *testing.T) {
	w := newWorld(t)
	w.services("plain", nil)
	w.write("artifact", "true\n")
	w.write("another", "false\n")
	w.write("predicate.json", predicate)
	checks := map[string]string{
		"a hash of the proof": "inclusion", "fewer hashes": "inclusion", "the place in the tree": "inclusion", "the proof's root": "checkpoint",
		"the checkpoint's root": "checkpoint", "the checkpoint's signature": "checkpoint", "the body": "entry", "the entry": "entry", "the log": "checkpoint",
		"the promise": "time", "the time": "time", "the place in the tree alone": "inclusion",
	}
	for _, api := range []string{"v1", "v2"} {
		list := forgeries()
		if api == "v1" {
			list = append(list, promises()...)
		}
		for _, command := range []string{"sign-blob", "attest-blob"} {
			bundle := w.three(command, api)
			trust := []string{"--signer", "cosign.pub", "--log-key", "trust/rekor-" + api + ".pem"}
			w.logcli("", "", "artifact", bundle, trust...)
			var other object
			if err := json.Unmarshal([]byte(w.read("other-"+bundle)), &other); err != nil {
				t.Fatal(err)
			}
			for n, forged := range list {
				t.Run(fmt.Sprintf("%s/%s/%s", api, command, forged.name), func(t *testing.T) {
					w := w.in(t)
					changed := w.edit(bundle, fmt.Sprintf("%d-%s", n, bundle), func(b object) { forged.change(logged(b), logged(other)) })
					w.logcli(checks[forged.name], "", "artifact", changed, trust...)
				})
			}
		}
	}
}
