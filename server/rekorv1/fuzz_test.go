package rekorv1

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"indelible/server/admission"
)

// FuzzBodies: whatever is sent, the parsers of bodies refuse it or take what
// encoding/json takes for one value without repetitions; none panics.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{}}`, `{"kind":"a","kind":"b"}`, `{"a":[{"b":1,"b":2}]}`,
		`{"entryUUIDs":["` + strings.Repeat("0", 80) + `"],"logIndexes":[0,1],"entries":null}`, `{"logIndexes":[-1]}`, `{"logIndexes":[1e400]}`,
		`{"hash":"sha256:` + strings.Repeat("a", 64) + `","email":"a@b.c","subject":"x","operator":"and"}`,
		`{"publicKey":{"format":"x509","content":"LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg=="}}`,
		"{\"a\":\"\xff\"}", `{"\u0061":1,"a":2}`, `{} {}`, strings.Repeat("[", 100), `{"entries":[{"kind":"dsse","apiVersion":"0.0.1","spec":{}}]}`,
	} {
		f.Add([]byte(seed))
	}
	h := &Handler{cfg: Config{Admission: admission.New(admission.Config{})}, ids: identity{tree: "108f000000000001"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		bad := checkJSON(body) != nil
		if !bad && !json.Valid(body) {
			t.Fatalf("taken for JSON: %q", body)
		}
		wanted, err := h.parseRetrieve(t.Context(), body)
		if err == nil && (bad || len(wanted) > maxRetrieve) {
			t.Errorf("retrieve takes %q", body)
		}
		q, err := parseSearch(body)
		if err == nil && (bad || len(q.Clauses) > 4) {
			t.Errorf("search takes %q", body)
		}
		if p, err := readProposal(body); err == nil && (p.kind == "" || !json.Valid(body)) {
			t.Errorf("create takes %q", body)
		}
	})
}

// FuzzQuery: the short way through a query and the long one agree.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "logIndex=7", "logIndex=007&x=y", "logIndex=%37", "lastSize=3&firstSize=1&treeID=", "logIndex=9223372036854775807", "a;b"} {
		f.Add(seed)
	}
	h := &Handler{cfg: Config{TreeID: 7}}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		values, wrong := url.ParseQuery(raw)
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%q: %v, %v", raw, err, wrong)
		}
		if n, err := q.number("logIndex", -1, 0); err == nil && (n < 0 || len(values["logIndex"]) != 1) {
			t.Errorf("%q: index %d of %v", raw, n, values)
		}
		if first, last, err := h.parseProof(raw); err == nil && (first < 1 || last < first) {
			t.Errorf("%q: %d to %d", raw, first, last)
		}
	})
}
