package rekorv1_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"indelible/entry"
	"indelible/internal/transport"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/rekorv1"
)

func TestCreateRefuses(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	good := s.hashedrekord(t, "a")
	served := "hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.2, rekord 0.0.1"
	for _, c := range []struct {
		name, body   string
		status, code int
		contains     string
	}{
		{"empty", "", 422, 602, "kind in body is required"},
		{"nothing", "{}", 422, 602, "kind in body is required"},
		{"null kind", `{"kind":null,"apiVersion":"0.0.1","spec":{}}`, 422, 602, "kind in body is required"},
		{"no kind", `{"apiVersion":"0.0.1","spec":{}}`, 422, 602, "kind in body is required"},
		{"empty kind", `{"kind":"","apiVersion":"0.0.1","spec":{}}`, 422, 602, "kind in body is required"},
		{"no version", `{"kind":"hashedrekord","spec":{}}`, 422, 602, "apiVersion in body is required"},
		{"no spec", `{"kind":"hashedrekord","apiVersion":"0.0.1"}`, 422, 602, "spec in body is required"},
		{"a number for a kind", `{"kind":7,"apiVersion":"0.0.1","spec":{}}`, 422, 601, "kind in body must be of type string"},
		{"no kind of Rekor's", `{"kind":"nope","apiVersion":"0.0.1","spec":{}}`, 422, 422, `invalid kind value: "nope"; this server takes ` + served},
		{"raw is none of Rekor's", `{"kind":"raw","apiVersion":"0.0.1","spec":{}}`, 422, 422, `invalid kind value: "raw"`},
		{"kind in capitals", `{"Kind":"hashedrekord","apiVersion":"0.0.1","spec":{}}`, 400, 400, `its member "Kind" must be spelt "kind"`},
		{"an unknown kind alone", `{"kind":"nope"}`, 422, 422, `invalid kind value: "nope"; this server takes ` + served},
		{"a kind alone", `{"kind":"dsse"}`, 422, 602, "apiVersion in body is required"},
		{"a number for a version", `{"kind":"dsse","apiVersion":1,"spec":{}}`, 400, 400, `its member "apiVersion": its type is number`},
		{"too many members", `{"0":` + strings.Repeat(`1,"1":`, 100) + `1}`, 400, 400, "more than 100 members"},
		{"spaces", " \n ", 400, 400, "not good JSON: byte"},
		{"a kind not served", `{"kind":"alpine","apiVersion":"0.0.1","spec":{}}`, 400, 400, "entry kind 'alpine' is not enabled for submission on this server, which takes " + served},
		{"another version", strings.Replace(good, `"0.0.1"`, `"0.0.9"`, 1), 400, 400, "error processing entry: "},
		{"another digest", strings.Replace(good, hexSum("a"), hexSum("b"), 1), 400, 400, "error processing entry: "},
		{"short digest", strings.Replace(good, hexSum("a"), "abcd", 1), 400, 400, "error processing entry: "},
		{"cut short", good[:len(good)-1], 400, 400, "not good JSON: byte"},
		{"no JSON", "kind=hashedrekord", 400, 400, "not good JSON: byte"},
		{"something after it", good + "{}", 400, 400, "not good JSON: byte"},
		{"a member twice", `{"kind":"nope",` + good[1:], 400, 400, "there twice"},
		{"a member twice, deeper", strings.Replace(good, `"algorithm":`, `"algorithm":"md5","algorithm":`, 1), 400, 400, "there twice"},
		{"a member twice by an escape", `{"k\u0069nd":"nope",` + good[1:], 400, 400, "there twice"},
		{"not UTF-8", strings.Replace(good, "sha256", "sha\xff256", 1), 400, 400, "is not UTF-8"},
		{"very deep", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), 400, 400, "exceeded max depth"},
		{"an array", "[" + good + "]", 422, 601, "must be a JSON object"},
		{"null", "null", 422, 601, "must be a JSON object"},
		{"too large", `{"kind":"` + strings.Repeat("x", maxBody) + `"}`, 413, 413, fmt.Sprint("Request Entity Too Large. Limit set to ", maxBody)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.refused(t, w.ask(t, "POST", entriesPath, c.body), c.status, c.code, c.contains)
		})
	}
	if size, _ := w.info(t); size != 0 {
		t.Errorf("the log has %d entries", size)
	}
}

func TestReadRefuses(t *testing.T) {
	w := newWorld(t)
	w.add(t, newSigner(t), "a")
	for _, c := range []struct {
		target       string
		status, code int
		contains     string
	}{
		{entriesPath, 422, 602, "logIndex in query is required"},
		{entriesPath + "?logIndex=", 422, 602, "logIndex in query is required"},
		{entriesPath + "?logIndex=-1", 422, 609, "logIndex in query should be greater than or equal to 0"},
		{entriesPath + "?logIndex=x", 422, 601, `logIndex in query must be of type int64: "x"`},
		{entriesPath + "?logIndex=1.0", 422, 601, "must be of type int64"},
		{entriesPath + "?logIndex=9223372036854775808", 422, 601, "must be of type int64"},
		{entriesPath + "?logIndex=0&logIndex=1", 422, 601, "given 2 times"},
		{entriesPath + "?logIndex=%zz", 400, 400, "the query cannot be read"},
		{entriesPath + "/x", 422, 605, "entryUUID in path should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'"},
		{entriesPath + "/" + strings.Repeat("0", 63), 422, 605, "entryUUID in path"},
		{entriesPath + "/" + strings.Repeat("g", 64), 422, 605, "entryUUID in path"},
		{entriesPath + "/" + strings.Repeat("0", 81), 422, 605, "entryUUID in path"},
		{entriesPath + "/", 404, 404, "was not found"},
		{entriesPath + "/" + strings.Repeat("0", 64) + "/", 404, 404, "was not found"},
		{"/api/v1/version", 404, 404, "path /api/v1/version was not found"},
		{"/api/v1/log%2Fentries?logIndex=0", 404, 404, "was not found"},
		{"/", 404, 404, "path / was not found"},
		{"/api/v1/log/publicKey?treeID=x", 422, 605, "treeID in query should match '^[0-9]+$'"},
		{"/api/v1/log/publicKey?%zz", 400, 400, "the query cannot be read"},
		{"/api/v1/log/publicKey?treeID=1&treeID=2", 422, 601, "given 2 times"},
		{"/api/v1/log/proof?lastSize=1;", 400, 400, "the query cannot be read"},
		{"/api/v1/log/publicKey?treeID=7", 400, 400, "there is no tree 7"},
		{"/api/v1/log/publicKey?treeID=99999999999999999999999", 400, 400, "there is no tree"},
		{"/api/v1/log/proof", 422, 602, "lastSize in query is required"},
		{"/api/v1/log/proof?lastSize=0", 422, 609, "lastSize in query should be greater than or equal to 1"},
		{"/api/v1/log/proof?lastSize=x", 422, 601, "lastSize in query must be of type int64"},
		{"/api/v1/log/proof?firstSize=0&lastSize=1", 422, 609, "firstSize in query should be greater than or equal to 1"},
		{"/api/v1/log/proof?firstSize=2&lastSize=1", 400, 400, "firstSize(2) must be less than lastSize(1)"},
		{"/api/v1/log/proof?lastSize=9", 400, 400, "the tree size requested(9) was greater than what is currently observable(1)"},
		{"/api/v1/log/proof?lastSize=1&treeID=8", 400, 400, "there is no tree 8"},
		{"/api/v1/log/proof?lastSize=1&treeID=-8", 422, 605, "treeID in query should match"},
	} {
		t.Run(c.target, func(t *testing.T) {
			w.refused(t, w.ask(t, "GET", c.target, ""), c.status, c.code, c.contains)
		})
	}
}

func TestRetrieveRefuses(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	id := treeHex + strings.Repeat("0", 64)
	ten := strings.TrimSuffix(strings.Repeat("1,", 10), ",")
	for _, c := range []struct {
		body         string
		status, code int
		contains     string
	}{
		{"", 422, 602, "entry in body is required"},
		{"[]", 422, 601, "must be a JSON object"},
		{`{"logIndexes":[1,]}`, 400, 400, "not good JSON: byte"},
		{`{"logIndexes":[1]}{}`, 400, 400, "not good JSON: byte"},
		{`{"logIndexes":[1],"logIndexes":[2]}`, 400, 400, "twice"},
		{`{"logIndexes":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 400, 400, "nested deeper than 32"},
		{"{\"logIndexes\":[1],\"\xff\":1}", 400, 400, "it is not UTF-8"},
		{`{"logindexes":[1]}`, 400, 400, "not known here; there are entryUUIDs, entries, logIndexes"},
		{`{"logIndexes":7}`, 422, 601, "logIndexes in body must be of type array"},
		{`{"logIndexes":[]}`, 422, 612, "logIndexes in body should have at least 1 items"},
		{`{"logIndexes":[` + strings.Repeat("1,", 5000) + `1]}`, 400, 400, "more than 4096 values"},
		{`{"logIndexes":[` + ten + `,1]}`, 422, 611, "logIndexes in body should have at most 10 items"},
		{`{"logIndexes":[` + ten + `],"entryUUIDs":["` + id + `"]}`, 422, 422, "more than max allowed 10 entries in request"},
		{`{"logIndexes":[-1]}`, 422, 609, "greater than or equal to 0"},
		{`{"logIndexes":["1"]}`, 422, 601, "must be of type int64"},
		{`{"logIndexes":[null]}`, 422, 601, "must be of type int64"},
		{`{"logIndexes":[1e3]}`, 422, 601, "must be of type int64"},
		{`{"entryUUIDs":["x"]}`, 422, 605, "entryUUIDs in body should match"},
		{`{"entryUUIDs":[7]}`, 422, 605, "entryUUIDs in body should match"},
		{`{"entries":[{}]}`, 422, 602, "entries[0]: kind in body is required"},
		{`{"entries":[null]}`, 422, 601, "entries[0]: the body must be a JSON object"},
		{`{"entries":[` + s.hashedrekord(t, "a") + `,{"kind":"dsse","spec":{}}]}`, 422, 602, "entries[1]: apiVersion in body is required"},
		{`{"entries":[{"Kind":"dsse"}]}`, 400, 400, `entries[0]: error processing entry: invalid entry: the proposed entry: its member "Kind" must be spelt`},
		{`{"entries":[{"kind":"nope","apiVersion":"0.0.1","spec":{}}]}`, 422, 422, "invalid kind value"},
		{`{"entries":[{"kind":"jar","apiVersion":"0.0.1","spec":{}}]}`, 400, 400, "entry kind 'jar' is not enabled"},
		{`{"entries":[` + strings.Replace(s.hashedrekord(t, "a"), hexSum("a"), hexSum("b"), 1) + `]}`, 400, 400, "error processing entry: "},
	} {
		t.Run(c.body, func(t *testing.T) {
			w.refused(t, w.ask(t, "POST", retrievePath, c.body), c.status, c.code, c.contains)
		})
	}
}

func TestMethods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ method, target, allow string }{
		{"PUT", entriesPath, "GET, HEAD, POST"},
		{"DELETE", entriesPath + "/" + strings.Repeat("0", 64), "GET, HEAD"},
		{"POST", entriesPath + "/" + strings.Repeat("0", 64), "GET, HEAD"},
		{"GET", retrievePath, "POST"},
		{"POST", "/api/v1/log", "GET, HEAD"},
		{"GET", "/api/v1/index/retrieve", "POST"},
		{"POST", "/ping", "GET, HEAD"},
	} {
		rec := w.ask(t, c.method, c.target, "")
		w.refused(t, rec, 405, 405, "method "+c.method+" is not allowed")
		if got := rec.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow is %q", c.method, c.target, got)
		}
	}
}

func TestContentType(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	body := s.hashedrekord(t, "a")
	for value, status := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "Application/JSON": 201,
		"": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "application/json/": 415, ";": 415,
	} {
		r := httptest.NewRequest("POST", entriesPath, strings.NewReader(body)).WithContext(deadline(t))
		r.Header.Set("Content-Type", value)
		rec := w.do(r)
		if rec.Code != status {
			t.Errorf("%q: %d %s", value, rec.Code, rec.Body)
		}
		if status == 415 {
			w.refused(t, rec, 415, 415, "unsupported media type")
		}
	}
}

// brokenBody ends with an error.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

func TestBodyDoesNotArrive(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		err      error
		status   int
		contains string
	}{
		{io.ErrUnexpectedEOF, 400, "ended early"},
		{os.ErrDeadlineExceeded, 408, "did not arrive in time"},
		{transport.ErrFull, 503, "as many requests as it has memory for; try again"},
		{transport.ErrSlow, 503, "send it again, at once"},
	} {
		r := httptest.NewRequest("POST", entriesPath, brokenBody{c.err})
		r.Header.Set("Content-Type", "application/json")
		rec := w.do(r)
		w.refused(t, rec, c.status, c.status, c.contains)
		if again := rec.Header().Get("Retry-After") != ""; again != (c.status == 503) {
			t.Errorf("%v: Retry-After %v", c.err, again)
		}
	}
	// One that does not say how long it is.
	r := httptest.NewRequest("POST", entriesPath, io.MultiReader(strings.NewReader(strings.Repeat(" ", maxBody+1))))
	r.Header.Set("Content-Type", "application/json")
	w.refused(t, w.do(r), 413, 413, "Limit set to")
}

// fakeLog fails every call with err, or lets adds wait.
type fakeLog struct {
	err   error
	block bool
}

func (f *fakeLog) Add(ctx context.Context, _ entry.Entry) (translog.Receipt, error) {
	if f.block {
		<-ctx.Done()
		return translog.Receipt{}, ctx.Err()
	}
	return translog.Receipt{}, f.err
}

func (f *fakeLog) Published() (translog.Published, error) {
	return translog.Published{Size: 9}, f.err
}

func (f *fakeLog) EntryWithProof(context.Context, int64) (translog.Record, translog.Proof, translog.Published, error) {
	return translog.Record{}, translog.Proof{}, translog.Published{}, f.err
}

func (f *fakeLog) LookupWithProof(context.Context, merkle.Hash) (translog.Record, translog.Proof, translog.Published, error) {
	return translog.Record{}, translog.Proof{}, translog.Published{}, f.err
}

func (f *fakeLog) InclusionProof(context.Context, int64, int64) (translog.Proof, error) {
	return translog.Proof{}, f.err
}

func (f *fakeLog) ConsistencyProof(context.Context, int64, int64) (translog.ConsistencyProof, error) {
	return translog.ConsistencyProof{}, f.err
}

// TestLogFails: what the log says gets the status that clients act upon.
func TestLogFails(t *testing.T) {
	s := newSigner(t)
	for _, c := range []struct {
		err      error
		status   int
		again    bool
		contains string
	}{
		{fmt.Errorf("%w: 9 entries wait", translog.ErrQueueFull), 503, true, "9 entries wait"},
		{translog.ErrStopping, 503, true, "stopping"},
		{fmt.Errorf("%w: it went back", translog.ErrPoisoned), 503, false, "it went back"},
		{fmt.Errorf("%w: dial tcp 10.0.0.1: refused", translog.ErrUnavailable), 503, true, "not available at present"},
		{translog.ErrClock, 503, true, "the clock is wrong"},
		{context.DeadlineExceeded, 504, false, ""},
		{context.Canceled, 499, false, "cancelled"},
		{entry.ErrTooLarge, 500, false, "internal error"},
		{errors.New("a secret"), 500, false, "internal error"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			w := over(t, &fakeLog{err: c.err})
			for _, rec := range []*httptest.ResponseRecorder{
				w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a")),
				w.ask(t, "GET", entriesPath+"?logIndex=0", ""),
				w.ask(t, "GET", entriesPath+"/"+strings.Repeat("0", 64), ""),
				w.ask(t, "POST", retrievePath, `{"logIndexes":[0]}`),
			} {
				w.refused(t, rec, c.status, c.status, c.contains)
				if again := rec.Header().Get("Retry-After") != ""; again != c.again || strings.Contains(rec.Body.String(), "secret") || strings.Contains(rec.Body.String(), "10.0.0.1") {
					t.Errorf("%v %s", rec.Header(), rec.Body)
				}
			}
			if told := w.faults.count(); (told > 0) != (c.status == 500) {
				t.Errorf("%d faults", told)
			}
		})
	}
	// A damaged entry is the operator's affair, whom the log itself tells.
	damaged := over(t, &fakeLog{err: fmt.Errorf("%w: entry 0 is not served", translog.ErrDamaged)})
	for _, rec := range []*httptest.ResponseRecorder{
		damaged.ask(t, "GET", entriesPath+"?logIndex=0", ""), damaged.ask(t, "POST", retrievePath, `{"logIndexes":[0]}`),
	} {
		damaged.refused(t, rec, 500, 500, "entry 0 is not served")
	}
	w := over(t, &fakeLog{err: fmt.Errorf("%w: %w", entry.ErrInvalid, entry.ErrTooLarge)})
	w.refused(t, w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a")), 400, 400, "error processing entry: ")
	for _, target := range []string{"/api/v1/log", "/api/v1/log/proof?lastSize=1"} {
		w := over(t, &fakeLog{err: translog.ErrUnavailable})
		w.refused(t, w.ask(t, "GET", target, ""), 503, 503, "not available")
	}
}

// TestAddTimeout: an add that takes too long is 504, and says what to do.
func TestAddTimeout(t *testing.T) {
	w := over(t, &fakeLog{block: true}, func(c *rekorv1.Config) { c.Timeout = time.Millisecond })
	w.refused(t, w.ask(t, "POST", entriesPath, newSigner(t).hashedrekord(t, "a")), 504, 504, "add it again")
}

func TestNewRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set      func(*rekorv1.Config)
		contains string
	}{
		"no log":         {func(c *rekorv1.Config) { c.Log = nil }, "needs a log and a key"},
		"no key":         {func(c *rekorv1.Config) { c.Key = nil }, "needs a log and a key"},
		"no host":        {func(c *rekorv1.Config) { c.Host = "" }, "host name"},
		"a host's space": {func(c *rekorv1.Config) { c.Host = "log example" }, "host name"},
		"no tree":        {func(c *rekorv1.Config) { c.TreeID = 0 }, "the tree id is 0"},
		"P-384":          {func(c *rekorv1.Config) { c.Key = rekorv1.LocalKey(p384) }, "need ECDSA P-256"},
		"a limit":        {func(c *rekorv1.Config) { c.MaxBody = -1 }, "negative"},
	} {
		cfg := rekorv1.Config{Log: &fakeLog{}, Key: rekorv1.LocalKey(apiKey(t)), Host: host, TreeID: treeID}
		c.set(&cfg)
		if _, err := rekorv1.New(cfg); err == nil || !strings.Contains(err.Error(), c.contains) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKindsNotServed: each kind of Rekor's that a configuration leaves out is
// refused with the names of those that it has.
func TestKindsNotServed(t *testing.T) {
	s := newSigner(t)
	w := newWorld(t, func(c *rekorv1.Config) { c.Kinds = []entry.Kind{entry.KindDSSE, entry.KindRaw} })
	w.refused(t, w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a")), http.StatusBadRequest, 400, "entry kind 'hashedrekord' is not enabled for submission on this server, which takes dsse 0.0.1")
	for _, kind := range []string{"cose", "helm", "jar", "rfc3161", "rpm", "tuf"} {
		w.refused(t, w.ask(t, "POST", entriesPath, proposal(t, kind, "0.0.1", map[string]any{})), http.StatusBadRequest, 400, "entry kind '"+kind+"' is not enabled")
	}
}
