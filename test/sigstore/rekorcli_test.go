package sigstore

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// rekorCLI runs rekor-cli, and trusts the log's key alone.
func (w *world) rekorCLI(command string, args ...string) []string {
	key := "REKOR_REKOR_SERVER_PUBLIC_KEY=" + w.read("trust/rekor-v1.pem")
	return append([]string{key, "rekor-cli", command, "--rekor_server", w.url, "--format", "json"}, args...)
}

// upload uploads, and returns the id of the entry, and whether the log said
// that it had it.
func (w *world) upload(args ...string) (id string, exists bool) {
	w.t.Helper()
	var answer struct {
		AlreadyExists bool
		Location      string
	}
	if err := json.Unmarshal([]byte(w.must(w.rekorCLI("upload", args...)...)), &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer.Location[strings.LastIndexByte(answer.Location, '/')+1:], answer.AlreadyExists
}

// uploads prepares a file and its signature for each kind of entry, and
// returns what rekor-cli needs to be told of them.
func (w *world) uploads() map[string][]string {
	w.t.Helper()
	key := newKey()
	w.keyPair("cli", key)
	signed := func(message []byte) []byte {
		digest := sha256.Sum256(message)
		return must1(ecdsa.SignASN1(rand.Reader, key, digest[:]))
	}
	w.write("file", "a file\n")
	w.write("file.sig", string(signed([]byte("a file\n"))))
	const payloadType = "application/vnd.in-toto+json"
	envelope := func(name string) string {
		payload := strings.Replace(statement, `"name":"a"`, `"name":"`+name+`"`, 1)
		return string(must1(json.Marshal(object{
			"payloadType": payloadType, "payload": []byte(payload),
			"signatures": []object{{"sig": signed(dsse.PAE(payloadType, []byte(payload)))}},
		})))
	}
	w.write("dsse.json", envelope("dsse"))
	w.write("intoto.json", envelope("intoto"))
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte("a file\n")))
	return map[string][]string{
		"hashedrekord": {"--type", "hashedrekord", "--artifact-hash", digest, "--signature", "file.sig", "--pki-format", "x509", "--public-key", "cli.pub"},
		"rekord":       {"--type", "rekord", "--artifact", "file", "--signature", "file.sig", "--pki-format", "x509", "--public-key", "cli.pub"},
		"dsse":         {"--type", "dsse", "--artifact", "dsse.json", "--public-key", "cli.pub"},
		"intoto":       {"--type", "intoto:0.0.2", "--artifact", "intoto.json", "--public-key", "cli.pub"},
	}
}

func TestRekorCLI(t *testing.T) {
	w := newWorld(t)
	w.must(w.rekorCLI("loginfo")...)
	uploads := w.uploads()
	kinds := []string{"hashedrekord", "rekord", "dsse", "intoto"}
	ids := map[string]string{}
	for i, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			w := w.in(t)
			id, _ := w.upload(uploads[kind]...)
			ids[kind] = id
			if again, exists := w.upload(uploads[kind]...); again != id || exists {
				t.Errorf("uploaded again, %s became %s, exists: %t", id, again, exists)
			}
			w.must(w.rekorCLI("get", "--uuid", id)...)
			w.must(w.rekorCLI("get", "--uuid", id[16:])...)
			w.must(w.rekorCLI("get", "--log-index", fmt.Sprint(i))...)
			w.must(w.rekorCLI("verify", "--uuid", id)...)
			w.must(w.rekorCLI("verify", uploads[kind]...)...)
		})
	}
	w.refused("cannot be located|not found|404", w.rekorCLI("get", "--uuid", strings.Repeat("0", 64))...)
	w.write("other", "another file\n")
	w.refused("signature|verify", w.rekorCLI("upload", "--type", "rekord", "--artifact", "other", "--signature", "file.sig", "--pki-format", "x509", "--public-key", "cli.pub")...)

	w.searches(ids)
	w.must(w.rekorCLI("loginfo")...) // consistent with the empty log, which it remembers
	w.must(w.rekorCLI("logproof", "--first-size", "1", "--last-size", "4")...)

	w.services("plain", nil)
	w.must("cosign3", "sign-blob", "--yes", "--key", "cosign.key", "--signing-config", "plain-v2.json", "--trusted-root", "trust/trusted_root.json", "--bundle", "v2.json", "file")
	w.refused("unable to locate entry for version 0.0.2", w.rekorCLI("get", "--log-index", w.index("v2.json"))...)
	w.must("logcli", "get", "--url", w.url, w.index("v2.json"))

	other := newWorld(t)
	wrong := w.rekorCLI("loginfo")
	wrong[0] = "REKOR_REKOR_SERVER_PUBLIC_KEY=" + other.read("trust/rekor-v1.pem")
	w.refused("did not verify", wrong...)
	wrong = w.rekorCLI("verify", "--uuid", ids["dsse"])
	wrong[0] = "REKOR_REKOR_SERVER_PUBLIC_KEY=" + other.read("trust/rekor-v1.pem")
	w.refused("validating entry|signature", wrong...)
}

// TestConflict is for those who want Rekor v1 to answer a duplicate with 409.
// rekor-cli, sigstore-js and sigstore-go from 1.4 on then use the entry that is
// there. cosign 3.1.3, which has sigstore-go 1.2, fails.
func TestConflict(t *testing.T) {
	w := newWorld(t, "--rekor-v1-conflict")
	uploads := w.uploads()
	for _, kind := range []string{"hashedrekord", "rekord", "dsse", "intoto"} {
		id, _ := w.upload(uploads[kind]...)
		if again, exists := w.upload(uploads[kind]...); again != id || !exists {
			t.Errorf("%s: uploaded again, %s became %s, exists: %t", kind, id, again, exists)
		}
	}
	task := object{"do": "sign", "file": "file", "bundle": "js.json", "url": w.url, "api": 1, "type": "message", "key": "cli.pem", "publicKey": "cli.pub", "times": 2}
	w.refused("409", w.js(task)...)
	task["followConflict"] = true
	w.must(w.js(task)...)

	w.keyPair("rsa", must1(rsa.GenerateKey(rand.Reader, 2048)))
	w.services("plain", nil)
	cosign := []string{"cosign3", "sign-blob", "--yes", "--key", "rsa.key", "--signing-config", "plain-v1.json", "--trusted-root", "trust/trusted_root.json", "--bundle", "b.json", "file"}
	w.must(cosign...)
	w.refused("409", cosign...)

	b := w.sign(contents()["blob"], newKeypair(t, common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256), sign.BundleOptions{TransparencyLogs: w.rekor(1)})
	if n := len(must1(b.TlogEntries())); n != 1 {
		t.Errorf("sigstore-go has %d entries, not the one that is there", n)
	}
}

// searches finds the entries by what they say. The index follows the log, so
// that a search is tried until it finds, for a while.
func (w *world) searches(ids map[string]string) {
	w.t.Helper()
	for _, s := range []struct {
		args []string
		want []string
	}{
		{[]string{"--artifact", "file"}, []string{ids["hashedrekord"], ids["rekord"]}},
		{[]string{"--public-key", "cli.pub", "--pki-format", "x509"}, []string{ids["hashedrekord"], ids["rekord"], ids["dsse"], ids["intoto"]}},
	} {
		w.found(s.want, s.args...)
	}
	w.refused("no matching entries", w.rekorCLI("search", "--sha", strings.Repeat("0", 64))...)
}

var uuid = regexp.MustCompile(`[0-9a-f]{80}`)

func (w *world) found(want []string, args ...string) {
	w.t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		_, all, _ := w.run(w.rekorCLI("search", args...)...)
		got := map[string]bool{}
		for _, id := range uuid.FindAllString(all, -1) {
			got[id] = true
		}
		complete := len(got) == len(want)
		for _, id := range want {
			complete = complete && got[id]
		}
		switch {
		case complete:
			return
		case time.Now().After(end):
			w.t.Errorf("search %s found %s, and not %s", args, all, want)
			return
		}
	}
}
