package sigstore

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// js is the command that does something with sigstore-js; see js/client.mjs.
func (w *world) js(task object) []string {
	return []string{"node", filepath.Join(bin, "js", "client.mjs"), string(must1(json.Marshal(task)))}
}

// sigstoreJS installs sigstore-js, in the versions of js/package-lock.json,
// beside the other programs.
func sigstoreJS() error {
	dir := filepath.Join(bin, "js")
	if err := os.CopyFS(dir, os.DirFS("js")); err != nil {
		return err
	}
	_, err := output(dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	return err
}

func TestJS(t *testing.T) {
	w := newWorld(t)
	w.signers()
	a := newAuthority(t)
	w.certificates(a)
	w.write("message", "a message\n")
	w.write("statement", `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"message","digest":{"sha256":"00"}}],"predicateType":"https://example.com/p","predicate":{}}`)
	files := map[string]string{"message": "message", "dsse": "statement", "intoto": "statement"}
	for _, test := range []struct {
		api   int
		kind  string
		byKey bool // else by certificate; Rekor v2 knows no keys of sigstore-js
		tsa   bool
	}{
		{1, "message", true, false},
		{1, "message", false, false},
		{1, "dsse", true, false},
		{1, "dsse", false, false},
		{1, "intoto", true, false},
		{1, "intoto", false, true},
		{2, "message", false, true},
		{2, "dsse", false, true},
	} {
		name := fmt.Sprintf("v%d %s by key %t", test.api, test.kind, test.byKey)
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			sign := object{"do": "sign", "file": files[test.kind], "bundle": "js.json", "url": w.url, "api": test.api, "type": test.kind, "key": "leaf.pem", "times": 3}
			verify := object{"do": "verify", "file": files[test.kind], "bundle": "js.json", "root": "authority.json"}
			if test.byKey {
				sign["publicKey"], verify["publicKey"] = "leaf.pub", "leaf.pub"
			} else {
				sign["certificate"] = "leaf.crt"
			}
			if test.tsa {
				sign["tsa"] = a.url
			}
			var answer struct{ Indexes []string }
			if err := json.Unmarshal([]byte(w.must(w.js(sign)...)), &answer); err != nil {
				t.Fatal(err)
			}
			if len(answer.Indexes) != 3 || len(slices.Compact(answer.Indexes)) != 1 {
				t.Errorf("the same upload, three times, was number %s", answer.Indexes)
			}
			w.must(w.js(verify)...)
		})
	}
}
