package rekorv1_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"indelible/index"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/rekorv1"
	"indelible/storage/memory"
)

const searchPath = "/api/v1/index/retrieve"

// newSearchWorld is the API over a log with an index.
func newSearchWorld(t *testing.T) *world {
	t.Helper()
	store := memory.New()
	log, id := newLogOn(t, store)
	x, err := index.Open(index.Config{Store: store, LogID: id, Log: log, Gather: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	run(t, x.Run)
	w := over(t, log, func(c *rekorv1.Config) { c.Search = x })
	w.log = log
	return w
}

// hits searches until the answer is complete up to the published size.
func (w *world) hits(t *testing.T, query string) []string {
	t.Helper()
	p, err := w.log.Published()
	if err != nil {
		t.Fatal(err)
	}
	for ctx := deadline(t); ctx.Err() == nil; {
		rec := w.ask(t, "POST", searchPath, query)
		var ids []string
		if err := json.Unmarshal(rec.Body.Bytes(), &ids); err != nil || rec.Code != http.StatusOK || ids == nil || rec.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %v, %d %v %s", query, err, rec.Code, rec.Header(), rec.Body)
		}
		known := rec.Header().Get("X-Index-Size")
		if known == "" && len(ids) == 0 || known == strconv.FormatInt(p.Size, 10) {
			return ids
		}
	}
	t.Fatalf("%s: the index does not get to %d", query, p.Size)
	return nil
}

// certified gives a signer a certificate with names in it.
func (s signer) certified(t *testing.T, email, uri string) signer {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "someone"}, EmailAddresses: []string{email}, URIs: []*url.URL{u},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{s.key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func TestSearch(t *testing.T) {
	w, alice, bob := newSearchWorld(t), newSigner(t), newSigner(t)
	certified := bob.certified(t, "Bob@Example.com", "https://ci.example.com/Build")
	a, _ := w.add(t, alice, "a")
	b, _ := w.add(t, bob, "b")
	c, _ := w.add(t, certified, "c")
	both, _ := w.add(t, bob, "a")
	payload := `{"_type":"x"}`
	d, _ := w.created(t, w.ask(t, "POST", entriesPath, alice.dsse(t, payload)))
	envelope := hexSum(alice.envelope(t, payload))
	rekord, _ := w.created(t, w.ask(t, "POST", entriesPath, alice.rekord(t, "r")))
	intoto, _ := w.created(t, w.ask(t, "POST", entriesPath, certified.intoto(t, payload)))
	key := func(s signer) string {
		return fmt.Sprintf(`"publicKey":{"format":"x509","content":"%s"}`, base64.StdEncoding.EncodeToString(s.pem))
	}
	ids := func(list ...string) []string { return append([]string{}, list...) }
	for _, q := range []struct {
		query string
		want  []string
	}{
		{`{}`, ids()},
		{`{"hash":""}`, ids()},
		{`{"hash":"` + hexSum("a") + `"}`, ids(a, both)},
		{`{"hash":"sha256:` + hexSum("a") + `"}`, ids(a, both)},
		{`{"hash":"SHA256:` + strings.ToUpper(hexSum("a")) + `"}`, ids(a, both)},
		{`{"hash":"` + hexSum(payload) + `"}`, ids(d, intoto)},
		{`{"hash":"sha256:` + envelope + `"}`, ids(d)},
		{`{"hash":"` + hexSum("r") + `"}`, ids(rekord)},
		{`{"hash":"` + hexSum("never logged") + `"}`, ids()},
		{`{"hash":"sha512:` + strings.Repeat("ab", 64) + `"}`, ids()},
		{`{"hash":"` + strings.Repeat("ab", 64) + `"}`, ids()},
		{`{"hash":"sha1:` + strings.Repeat("ab", 20) + `"}`, ids()},
		{`{"hash":"` + strings.Repeat("ab", 20) + `"}`, ids()},
		{`{"email":"bob@example.com"}`, ids(c, intoto)},
		{`{"email":"BOB@example.COM"}`, ids(c, intoto)},
		{`{"subject":"https://ci.example.com/build"}`, ids(c, intoto)},
		{`{"subject":"bob@example.com"}`, ids(c, intoto)},
		{`{"email":"carol@example.com"}`, ids()},
		{`{` + key(alice) + `}`, ids(a, d, rekord)},
		{`{` + key(bob) + `}`, ids(b, c, both, intoto)},
		{`{` + key(certified) + `}`, ids(b, c, both, intoto)},
		{`{"hash":"` + hexSum("a") + `",` + key(bob) + `}`, ids(a, b, c, both, intoto)},
		{`{"hash":"` + hexSum("a") + `",` + key(bob) + `,"operator":"or"}`, ids(a, b, c, both, intoto)},
		{`{"hash":"` + hexSum("a") + `",` + key(bob) + `,"operator":"and"}`, ids(both)},
		{`{"hash":"` + hexSum("c") + `","email":"bob@example.com",` + key(bob) + `,"operator":"and"}`, ids(c)},
		{`{"hash":"` + hexSum("a") + `","email":"bob@example.com","operator":"and"}`, ids()},
		{`{"hash":"sha1:` + strings.Repeat("ab", 20) + `",` + key(bob) + `,"operator":"and"}`, ids()},
		{`{"hash":"` + hexSum("b") + `","email":null,"subject":"","operator":"and"}`, ids(b)},
	} {
		if got := w.hits(t, q.query); !reflect.DeepEqual(got, q.want) {
			t.Errorf("%s: %v, and not %v", q.query, got, q.want)
		}
	}
}

// The hash of an intoto is the client's word. One that is a file's puts no entry
// among the answers about the file, and the entries that prove what they say are
// found beside it.
func TestSearchFindsNothingForged(t *testing.T) {
	w, alice, mallory := newSearchWorld(t), newSigner(t), newSigner(t)
	const file, payload = "release.tar.gz", `{"_type":"theirs"}`
	honest, _ := w.add(t, alice, file)
	attestation, _ := w.created(t, w.ask(t, "POST", entriesPath, alice.dsse(t, `{"_type":"x"}`)))
	envelope := hexSum(alice.envelope(t, `{"_type":"x"}`))
	theirs, _ := w.created(t, w.ask(t, "POST", entriesPath, mallory.intoto(t, payload)))
	var forged []string
	for _, hash := range []string{hexSum(file), envelope} {
		proposed := strings.Replace(mallory.intoto(t, payload), hexSum(mallory.envelope(t, payload)), hash, 1)
		id, _ := w.created(t, w.ask(t, "POST", entriesPath, proposed))
		forged = append(forged, id)
	}
	for query, want := range map[string][]string{
		hexSum(file): {honest}, envelope: {attestation}, hexSum(payload): append([]string{theirs}, forged...),
	} {
		if got := w.hits(t, `{"hash":"`+query+`"}`); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, and not %v", query, got, want)
		}
	}
}

func TestSearchRefuses(t *testing.T) {
	w := over(t, &fakeLog{}, func(c *rekorv1.Config) { c.Search = fakeSearch{} })
	for _, c := range []struct {
		query        string
		status, code int
		contains     string
	}{
		{"", 422, 602, "query in body is required"},
		{"[]", 422, 601, "must be a JSON object"},
		{`{"hash":`, 400, 400, "not good JSON"},
		{`{"hash":"a"}`, 422, 605, "hash in body should be"},
		{`{"hash":7}`, 422, 601, "hash in body must be of type string"},
		{`{"hash":"sha1:` + hexSum("a") + `"}`, 422, 605, "hash in body should be"},
		{`{"hash":"md5:` + hexSum("a") + `"}`, 422, 605, "hash in body should be"},
		{`{"hash":":` + hexSum("a") + `"}`, 422, 605, "hash in body should be"},
		{`{"hash":"sha256:` + strings.Repeat("g", 64) + `"}`, 422, 605, "hash in body should be"},
		{`{"email":"nobody"}`, 422, 601, "email in body must be of type email"},
		{`{"email":"Bob <bob@example.com>"}`, 422, 601, "email in body must be of type email"},
		{`{"subject":"` + strings.Repeat("x", 513) + `"}`, 422, 603, "at most 512"},
		{`{"operator":"xor"}`, 422, 606, "operator in body should be one of [and or]"},
		{`{"operator":7}`, 422, 601, "operator in body must be of type string"},
		{`{"publicKey":{"format":7}}`, 422, 601, "format in body must be of type string"},
		{`{"hash":"a","hash":"b"}`, 400, 400, "twice"},
		{`{"sha":"x"}`, 400, 400, "not known here; there are hash, email"},
		{`{"publicKey":"x"}`, 422, 601, "must be a JSON object"},
		{`{"publicKey":{}}`, 422, 602, "publicKey.format in body is required"},
		{`{"publicKey":{"format":"x"}}`, 422, 606, "publicKey.format in body should be one of"},
		{`{"publicKey":{"format":"pgp","content":"eA=="}}`, 400, 400, "no entry of this log has a key of format pgp"},
		{`{"publicKey":{"format":"x509"}}`, 400, 400, "could not be parsed: it is not PEM"},
		{`{"publicKey":{"format":"x509","content":"!"}}`, 422, 601, "not base64"},
		{`{"publicKey":{"format":"x509","content":"eA=="}}`, 400, 400, "it is not PEM"},
		{`{"publicKey":{"format":"x509","url":"http://127.0.0.1/key"}}`, 400, 400, "not known here; there are format, content"},
		{searchKey("EC PRIVATE KEY"), 400, 400, "give a PUBLIC KEY or a CERTIFICATE"},
		{searchKey("PUBLIC KEY"), 400, 400, "could not be parsed"},
		{searchKey("RSA PUBLIC KEY"), 400, 400, "could not be parsed"},
		{searchKey("CERTIFICATE"), 400, 400, "could not be parsed"},
	} {
		t.Run(c.query, func(t *testing.T) {
			w.refused(t, w.ask(t, "POST", searchPath, c.query), c.status, c.code, c.contains)
		})
	}
	off := over(t, &fakeLog{})
	off.refused(t, off.ask(t, "POST", searchPath, `{}`), 501, 501, "Search Index API not enabled in this Rekor instance")
	rsaKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537})})
	if rec := w.ask(t, "POST", searchPath, `{"publicKey":{"format":"x509","content":"`+base64.StdEncoding.EncodeToString(rsaKey)+`"}}`); rec.Code != http.StatusOK || rec.Body.String() != "[]" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	down := over(t, &fakeLog{}, func(c *rekorv1.Config) { c.Search = fakeSearch{err: translog.ErrUnavailable} })
	for _, operator := range []string{"and", "or"} {
		query := `{"email":"a@example.com","subject":"b","operator":"` + operator + `"}`
		down.refused(t, down.ask(t, "POST", searchPath, query), 503, 503, "not available")
	}
}

// searchKey asks by a PEM block with nothing good in it.
func searchKey(kind string) string {
	content := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("x")})
	return `{"publicKey":{"format":"x509","content":"` + base64.StdEncoding.EncodeToString(content) + `"}}`
}

// fakeSearch has the first entries of a log for subjects: as many as they say,
// of which no index has so many that it refuses.
type fakeSearch struct{ err error }

func (f fakeSearch) FindAll(_ context.Context, q index.Query) (index.Leaves, error) {
	found := index.Leaves{Size: 100_000}
	have, err := strconv.ParseInt(q.Clauses[0][0].Value, 10, 64)
	if err != nil {
		have = 0
	}
	if have > index.MaxAll {
		return found, index.ErrTooMany
	}
	for i := range have {
		found.Leaves = append(found.Leaves, index.Leaf{Index: i, Hash: merkle.Hash{byte(i >> 8), byte(i)}})
	}
	return found, f.err
}

// TestSearchIsComplete: all are in the answer, up to a limit that the answer
// names.
func TestSearchIsComplete(t *testing.T) {
	w := over(t, &fakeLog{}, func(c *rekorv1.Config) { c.Search = fakeSearch{} })
	for _, n := range []int{0, 1, 1000, 10_000} {
		rec := w.ask(t, "POST", searchPath, fmt.Sprintf(`{"subject":"%d"}`, n))
		var ids []string
		if err := json.Unmarshal(rec.Body.Bytes(), &ids); err != nil || len(ids) != n || rec.Header().Get("X-Index-Size") != "100000" {
			t.Errorf("%d: %v, %d ids, %v", n, err, len(ids), rec.Header())
		}
		for i, id := range ids {
			if want := fmt.Sprintf("%s%02x%02x%060x", treeHex, i>>8, i&0xff, 0); id != want {
				t.Fatalf("%d: %s, and not %s", n, id, want)
			}
		}
	}
	w.refused(t, w.ask(t, "POST", searchPath, `{"subject":"10001"}`), 400, 400, "more than 10000 entries answer")
	w.refused(t, w.ask(t, "POST", searchPath, `{"subject":"10001"}`), 400, 400, "GET /v1/entries:search")
}

// TestSearchBusy: who finds too much searched is told to come back, by the status
// that Rekor's clients try again.
func TestSearchBusy(t *testing.T) {
	w := over(t, &fakeLog{}, func(c *rekorv1.Config) { c.Search = fakeSearch{err: index.ErrBusy} })
	rec := w.ask(t, "POST", searchPath, `{"subject":"a"}`)
	w.refused(t, rec, 503, 503, "too much is being searched")
	if rec.Header().Get("Retry-After") == "" {
		t.Error(rec.Header())
	}
}
