package sigstore

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
)

// object is of JSON.
type object = map[string]any

// forgery is a change to what a bundle says of the log.
type forgery struct {
	name   string
	change func(entry, other object) // other is of another bundle
	// Why each verifier refuses it, of v1 and of v2. Where it is accepted, the
	// verifier does not use what was changed, but what it has from elsewhere: the
	// root of the checkpoint, the body that it makes itself of what it verifies.
	cosign3, cosign2, js [2]string
}

func both(reason string) [2]string { return [2]string{reason, reason} }

func proof(entry object) object { return entry["inclusionProof"].(object) }

// flip changes one bit of base64 bytes, the last: which in a signature in DER is of a
// number, and not of the form.
func flip(v any) string {
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		panic(err)
	}
	b[len(b)-1] ^= 1
	return base64.StdEncoding.EncodeToString(b)
}

// later is the next second: any that is before the log's key was in use would be
// refused for that, and not for the promise.
func later(v any) string {
	n, err := strconv.ParseInt(v.(string), 10, 64)
	if err != nil {
		panic(err)
	}
	return strconv.FormatInt(n+1, 10)
}

// flipLine changes one bit of the base64 that ends a line of a checkpoint.
func flipLine(entry object, n int) {
	checkpoint := proof(entry)["checkpoint"].(object)
	lines := strings.Split(checkpoint["envelope"].(string), "\n")
	start := strings.LastIndexByte(lines[n], ' ') + 1
	lines[n] = lines[n][:start] + flip(lines[n][start:])
	checkpoint["envelope"] = strings.Join(lines, "\n")
}

const (
	otherRoot  = `does not match expected root`
	noEntry    = "not enough verified log entries from transparency log: 0 < 1" // nor a promise that is kept
	badNote    = "signature on checkpoint did not verify"
	badNote2   = "unverified checkpoint signature"
	jsRoot     = "TLOG_INCLUSION_PROOF_ERROR: calculated root hash does not match inclusion proof"
	jsHashes   = "TLOG_INCLUSION_PROOF_ERROR: invalid hash count"
	jsNote     = "TLOG_INCLUSION_PROOF_ERROR: invalid checkpoint signature"
	jsPromise  = "TLOG_INCLUSION_PROMISE_ERROR"
	jsArtifact = "TLOG_BODY_ERROR"
	accepted   = ""
)

func forgeries() []forgery {
	return []forgery{
		{
			"a hash of the proof", func(e, _ object) { h := proof(e)["hashes"].([]any); h[0] = flip(h[0]) },
			both(otherRoot), both(otherRoot), both(jsRoot),
		},
		{
			"fewer hashes", func(e, _ object) { proof(e)["hashes"] = proof(e)["hashes"].([]any)[1:] },
			both("wrong proof size"), both("wrong proof size"), both(jsHashes),
		},
		{
			"the place in the tree", func(e, _ object) { proof(e)["logIndex"], e["logIndex"] = "0", "0" },
			[2]string{noEntry, "wrong proof size|" + otherRoot},
			[2]string{noEntry, "wrong proof size|" + otherRoot},
			[2]string{jsPromise, jsHashes},
		},
		{
			"the proof's root", func(e, _ object) { proof(e)["rootHash"] = flip(proof(e)["rootHash"]) },
			[2]string{otherRoot, accepted},
			[2]string{otherRoot, accepted},
			both(accepted),
		},
		{
			"the checkpoint's root", func(e, _ object) { flipLine(e, 2) },
			[2]string{badNote, badNote2},
			[2]string{badNote, badNote2},
			both(jsNote),
		},
		{
			"the checkpoint's signature", func(e, _ object) { flipLine(e, 4) },
			[2]string{badNote, badNote2},
			[2]string{badNote, badNote2},
			both(jsNote),
		},
		{
			"the body", func(e, other object) { e["canonicalizedBody"] = other["canonicalizedBody"] },
			[2]string{noEntry, accepted},
			[2]string{noEntry, otherRoot},
			[2]string{jsPromise, jsRoot},
		},
		{
			"the entry", func(e, other object) { clear(e); maps.Copy(e, other) },
			[2]string{"transparency log signature does not match", otherRoot},
			both("transparency log signature does not match"), both(jsArtifact),
		},
		{
			"the log", func(e, _ object) { id := e["logId"].(object); id["keyId"] = flip(id["keyId"]) },
			both(noEntry), both(noEntry),
			[2]string{jsPromise, jsNote},
		},
	}
}

// promises are forgeries of what Rekor v1 alone gives.
func promises() []forgery {
	promise := func(e object) object { return e["inclusionPromise"].(object) }
	return []forgery{
		{
			"the promise", func(e, _ object) { promise(e)["signedEntryTimestamp"] = flip(promise(e)["signedEntryTimestamp"]) },
			both(noEntry), both(noEntry), both(jsPromise),
		},
		{
			"the time", func(e, _ object) { e["integratedTime"] = later(e["integratedTime"]) },
			both(noEntry), both(noEntry), both(jsPromise),
		},
		{
			"the place in the tree alone", func(e, _ object) { proof(e)["logIndex"] = "0" },
			both("wrong proof size|" + otherRoot), both("wrong proof size|" + otherRoot), both(jsHashes + "|" + jsRoot),
		},
	}
}

// edit writes a changed copy of a JSON file.
func (w *world) edit(name, to string, change func(object)) string {
	w.t.Helper()
	var v object
	if err := json.Unmarshal([]byte(w.read(name)), &v); err != nil {
		w.t.Fatal(err)
	}
	change(v)
	return w.write(to, string(must1(json.Marshal(v))))
}

// otherKey gives a root of trust other keys for the logs, of the same ids.
func otherKey(root object) {
	for _, log := range root["tlogs"].([]any) {
		key := log.(object)["publicKey"].(object)
		var der []byte
		if key["keyDetails"] == "PKIX_ED25519" {
			seed := make([]byte, ed25519.SeedSize)
			rand.Read(seed)
			der = must1(x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(seed).Public()))
		} else {
			der = must1(x509.MarshalPKIXPublicKey(newKey().Public()))
		}
		key["rawBytes"] = base64.StdEncoding.EncodeToString(der)
	}
}

// logged is what a bundle says of the log.
func logged(bundle object) object {
	return bundle["verificationMaterial"].(object)["tlogEntries"].([]any)[0].(object)
}

var verifiers = []string{"cosign3", "cosign2", "sigstore-js"}

func (f forgery) reasons() map[string][2]string {
	return map[string][2]string{"cosign3": f.cosign3, "cosign2": f.cosign2, "sigstore-js": f.js}
}

func TestForgeries(t *testing.T) {
	w := newWorld(t)
	w.services("plain", nil)
	w.write("artifact", "true\n")
	w.write("another", "false\n")
	w.write("predicate.json", predicate)
	for i, api := range []string{"v1", "v2"} {
		list := forgeries()
		if api == "v1" {
			list = append(list, promises()...)
		}
		for _, command := range []string{"sign-blob", "attest-blob"} {
			bundle := w.three(command, api)
			var other object
			if err := json.Unmarshal([]byte(w.read("other-"+bundle)), &other); err != nil {
				t.Fatal(err)
			}
			for n, forged := range list {
				changed := w.edit(bundle, fmt.Sprintf("%d-%s", n, bundle), func(b object) { forged.change(logged(b), logged(other)) })
				for program, reasons := range forged.reasons() {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", api, command, forged.name, program), func(t *testing.T) {
						w.in(t).refusedBy(program, reasons[i], command, changed, "trust/trusted_root.json")
					})
				}
			}
			w.wrongKeys(command, bundle)
		}
	}
}

// three makes bundles, two of another file and then the one that counts.
func (w *world) three(command, api string) string {
	w.t.Helper()
	bundle := command + "-" + api + ".json"
	for _, b := range []struct{ name, artifact string }{{"other-" + bundle, "another"}, {"more-" + bundle, "another"}, {bundle, "artifact"}} {
		args := []string{"cosign3", command, "--yes", "--key", "cosign.key", "--signing-config", "plain-" + api + ".json", "--trusted-root", "trust/trusted_root.json", "--bundle", b.name}
		if command == "attest-blob" {
			args = append(args, "--predicate", "predicate.json", "--type", "slsaprovenance1")
		}
		w.must(append(args, b.artifact)...)
	}
	return bundle
}

// wrongKeys has the verifiers refuse a bundle that was made by the log for
// those who trust other keys.
func (w *world) wrongKeys(command, bundle string) {
	w.edit("trust/trusted_root.json", "wrong.json", otherKey)
	w.edit("trust/trusted_root.json", "none.json", func(root object) { delete(root, "tlogs") })
	for _, program := range verifiers {
		w.must(w.verifier(program, command, bundle, "trust/trusted_root.json")...)
		w.refusedBy(program, noEntry+"|unverified checkpoint signature|TLOG_INCLUSION_PRO", command, bundle, "wrong.json")
		w.refusedBy(program, noEntry+"|TLOG_INCLUSION_PRO", command, bundle, "none.json")
	}
}

// refusedBy has a verifier refuse a bundle of the file artifact, that was made
// by this command.
func (w *world) refusedBy(program, reason, command, bundle, root string) {
	w.t.Helper()
	args := w.verifier(program, command, bundle, root)
	if reason == accepted {
		w.must(args...)
		return
	}
	w.refused(reason, args...)
}

func (w *world) verifier(program, command, bundle, root string) []string {
	if program == "sigstore-js" {
		return w.js(object{"do": "verify", "file": "artifact", "bundle": bundle, "root": root, "publicKey": "cosign.pub"})
	}
	args := []string{program, "verify-blob"}
	if command == "attest-blob" {
		args = []string{program, "verify-blob-attestation", "--type", "slsaprovenance1"}
	}
	if program == "cosign2" {
		args = append(args, "--new-bundle-format")
	}
	return append(args, "--key", "cosign.pub", "--trusted-root", root, "--bundle", bundle, "artifact")
}
