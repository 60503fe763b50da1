package browser

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// bundle is a Sigstore bundle of a signature by a bare key.
func bundle(t *testing.T, signature string, digest [32]byte, logged object) string {
	t.Helper()
	data, err := json.Marshal(object{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": object{"publicKey": object{"hint": "key"}, "tlogEntries": []object{logged}},
		"messageSignature":     object{"messageDigest": object{"algorithm": "SHA2_256", "digest": digest[:]}, "signature": signature},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// request asks a log, with a body if there is one, and decodes its answer.
func request(t *testing.T, url string, body, into any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (*http.Response, error) { return http.Post(url, "application/json", bytes.NewReader(data)) }
	if body == nil {
		ask = func() (*http.Response, error) { return http.Get(url) }
	}
	res, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil || res.StatusCode > 201 {
		t.Fatalf("%s: %d %v", url, res.StatusCode, err)
	}
}

// bundleV2 logs an artifact, and makes the bundle that clients of Rekor v2 do.
func bundleV2(t *testing.T, s signer, log, artifact string) string {
	t.Helper()
	e, asked := s.sign(t, artifact)
	var answer struct {
		Entry      struct{ Index, Canonical string }
		Proof      struct{ Hashes []string }
		Checkpoint struct{ TreeSize, RootHash, Note string }
	}
	request(t, log+"/v1/entries", object{"entry": asked}, &answer)
	_, key, _ := strings.Cut(strings.TrimPrefix(keyOf(t, log), "log.example+"), "+")
	id := sha256.Sum256(append([]byte("log.example\n"), decoded(t, key)...))
	return bundle(t, base64.StdEncoding.EncodeToString(e.Signature), [32]byte(e.Digest), object{
		"logIndex": answer.Entry.Index, "logId": object{"keyId": id[:]}, "kindVersion": object{"kind": "hashedrekord", "version": "0.0.2"},
		"inclusionProof": object{
			"logIndex": answer.Entry.Index, "rootHash": answer.Checkpoint.RootHash, "treeSize": answer.Checkpoint.TreeSize, "hashes": answer.Proof.Hashes,
			"checkpoint": object{"envelope": answer.Checkpoint.Note},
		},
		"canonicalizedBody": answer.Entry.Canonical,
	})
}

// bundleV1 is bundleV2 with Rekor v1.
func bundleV1(t *testing.T, s signer, log, artifact string) string {
	t.Helper()
	e, _ := s.sign(t, artifact)
	var all map[string]struct {
		Body           string
		IntegratedTime int64
		LogID          string
		LogIndex       int64
		Verification   struct {
			InclusionProof struct {
				Checkpoint, RootHash string
				Hashes               []string
				LogIndex, TreeSize   int64
			}
			SignedEntryTimestamp string
		}
	}
	request(t, log+"/api/v1/log/entries", object{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": object{
		"data":      object{"hash": object{"algorithm": "sha256", "value": hex.EncodeToString(e.Digest)}},
		"signature": object{"content": e.Signature, "publicKey": object{"content": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.spki})}},
	}}, &all)
	for _, one := range all {
		p := one.Verification.InclusionProof
		hashes := [][]byte{}
		for _, h := range p.Hashes {
			hashes = append(hashes, fromHex(t, h))
		}
		return bundle(t, base64.StdEncoding.EncodeToString(e.Signature), [32]byte(e.Digest), object{
			"logIndex": fmt.Sprint(one.LogIndex), "logId": object{"keyId": fromHex(t, one.LogID)}, "kindVersion": object{"kind": "hashedrekord", "version": "0.0.1"},
			"integratedTime": fmt.Sprint(one.IntegratedTime), "inclusionPromise": object{"signedEntryTimestamp": one.Verification.SignedEntryTimestamp},
			"inclusionProof": object{
				"logIndex": fmt.Sprint(p.LogIndex), "rootHash": fromHex(t, p.RootHash), "treeSize": fmt.Sprint(p.TreeSize), "hashes": hashes,
				"checkpoint": object{"envelope": p.Checkpoint},
			},
			"canonicalizedBody": one.Body,
		})
	}
	t.Fatal("Rekor v1 answers with nothing")
	return ""
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestBundles: a bundle is verified whole with its artifact, and says of another
// artifact, or another signer, which check fails.
func TestBundles(t *testing.T) {
	log := newLog(t)
	s := newSigner(t, nil)
	s.add(t, log, "before")
	b := newBrowser(t)
	for name, text := range map[string]string{"v2": bundleV2(t, s, log, "artifact"), "v1": bundleV1(t, s, log, "artifact")} {
		b.open(log+"/", nil)
		b.text("[data-verdict=proven]")
		bundleFile := file(t, name+".sigstore.json", text)
		result := func(artifact string) string {
			b.do("goto", object{"url": log + "/#/trust"})
			b.text("#keys")
			b.do("goto", object{"url": log + "/"})
			b.text("#view table")
			b.do("files", object{"on": "#files", "paths": []string{bundleFile, file(t, "artifact", artifact)}})
			return b.text("#verified [data-verdict]:not(.wait)")
		}
		if got := result("artifact"); !strings.Contains(got, "Verified: entry") {
			t.Errorf("%s: %s", name, b.text("#verified"))
		}
		if got := b.text("#verified [data-check=signer]"); !strings.Contains(got, "not to compare who signed") {
			t.Errorf("%s: %s", name, got)
		}
		for fingerprint, want := range map[string]string{fmt.Sprintf("SHA256:%x", sha256.Sum256(s.spki)): "Verified: entry", "SHA256:" + strings.Repeat("0", 64): "the signer check failed"} {
			b.do("fill", object{"on": "input[name=fingerprint]", "text": fingerprint})
			b.do("evaluate", object{"code": "document.getElementById('verified').replaceChildren()"})
			b.do("click", object{"on": "form button:text-is('Verify')"})
			if got := b.text("#verified [data-verdict]:not(.wait)"); !strings.Contains(got, want) {
				t.Errorf("%s by %s: %s", name, fingerprint, got)
			}
		}
		if got := result("another"); !strings.Contains(got, "the artifact check failed") {
			t.Errorf("%s: %s", name, got)
		}
	}
	b.quiet()
}

// TestWatch: the newest entries come by themselves.
func TestWatch(t *testing.T) {
	log := newLog(t)
	s := newSigner(t, nil)
	s.add(t, log, "one")
	b := newBrowser(t)
	b.open(log+"/", nil)
	b.text("tr[data-index='0']")
	s.add(t, log, "two")
	b.text("tr[data-index='1'] td.good")
	if got := b.text("[data-check=extends]"); !strings.Contains(got, "that this browser was shown before") {
		t.Error(got)
	}
	b.quiet()
}

// TestPolicy: a policy that the reader gives is asked for, and remembered.
func TestPolicy(t *testing.T) {
	log := newLog(t)
	newSigner(t, nil).add(t, log, "one", "two")
	b := newBrowser(t)
	b.open(log+"/#/trust", nil)
	save := func(policy, want string) {
		b.do("fill", object{"on": "#policy", "text": policy})
		b.do("evaluate", object{"code": "document.querySelectorAll('.good, .bad').forEach(e => e.remove())"})
		b.do("click", object{"on": "form button:text-is('Save')"})
		if got := b.text("form .good, form .bad"); !strings.Contains(got, want) {
			t.Errorf("%q: %s", policy, got)
		}
	}
	save("nonsense", "policy")
	save("witness one witness.example+af6e2b75+BGf+jGHvhmVxDWrZmYHDLk5Tn3L0Nn2PZkGI0Gf3m0ro\nquorum one\n", "policy") // its key id is wrong
	save("quorum none\n", "Saved")
	b.do("goto", object{"url": log + "/#/entry/1"})
	b.proven(1)
	if got := b.text("[data-check=witnesses]"); !strings.Contains(got, "the policy asks for none") {
		t.Error(got)
	}
	b.quiet()
}
