package rekorv1_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/entry"
	"indelible/server/rekorv1"
)

func TestCreate(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	for i := range int64(5) {
		before := time.Now().Unix()
		id, e := w.add(t, s, fmt.Sprint("artifact ", i))
		if *e.LogIndex != i || *e.Verification.InclusionProof.TreeSize < i+1 {
			t.Errorf("index %d, size %d", *e.LogIndex, *e.Verification.InclusionProof.TreeSize)
		}
		if at := *e.IntegratedTime; at < before || at > time.Now().Unix() {
			t.Errorf("integrated at %d", at)
		}
		if got := w.ask(t, "POST", entriesPath, s.hashedrekord(t, fmt.Sprint("artifact ", i))); got.Header().Get("Etag") != id {
			t.Errorf("a retry got %q", got.Header())
		}
	}
}

// TestCreateFirst: the first entry's proof has no hashes, which is not null.
func TestCreateFirst(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	rec := w.ask(t, "POST", entriesPath, s.hashedrekord(t, "first"))
	w.created(t, rec)
	if !strings.Contains(rec.Body.String(), `"hashes":[]`) {
		t.Errorf("%s", rec.Body)
	}
	if got := rec.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
}

// TestRetry: the same entry again has the index and the time of the first.
func TestRetry(t *testing.T) {
	log := newLog(t)
	w, s := over(t, log), newSigner(t)
	for name, proposed := range map[string]string{
		"hashedrekord": s.hashedrekord(t, "a"), "dsse": s.dsse(t, "{}"), "intoto": s.intoto(t, "{}"), "rekord": s.rekord(t, "a"),
	} {
		id, first := w.created(t, w.ask(t, "POST", entriesPath, proposed))
		w.add(t, s, "another after "+name)
		// Another replica has nothing in its cache.
		other := over(t, log, func(c *rekorv1.Config) { c.Key = rekorv1.LocalKey(w.key) })
		other.key = w.key
		for _, replica := range []*world{w, other} {
			again, e := replica.created(t, replica.ask(t, "POST", entriesPath, proposed))
			if again != id || *e.LogIndex != *first.LogIndex || *e.IntegratedTime != *first.IntegratedTime {
				t.Errorf("%s: %s at %d, index %d; it was %s at %d, index %d", name, again, *e.IntegratedTime, *e.LogIndex, id, *first.IntegratedTime, *first.LogIndex)
			}
			if replica == w && !reflect.DeepEqual(e.Verification.SignedEntryTimestamp, first.Verification.SignedEntryTimestamp) {
				t.Errorf("%s: it was signed twice", name)
			}
			if got := replica.retrieved(t, `{"entries":[`+proposed+`]}`); !reflect.DeepEqual(got, []string{id}) {
				t.Errorf("%s: by itself there is %v", name, got)
			}
			if *e.Verification.InclusionProof.TreeSize <= *first.Verification.InclusionProof.TreeSize {
				t.Errorf("%s: the proof is not fresh", name)
			}
		}
	}
}

// TestConflict: who asks for it gets Rekor's 409, and its Location leads to the
// entry.
func TestConflict(t *testing.T) {
	w, s := newWorld(t, func(c *rekorv1.Config) { c.Conflict = true }), newSigner(t)
	id, _ := w.add(t, s, "a")
	rec := w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a"))
	w.refused(t, rec, http.StatusConflict, 409, "an equivalent entry already exists in the transparency log with UUID "+id)
	if rec.Header().Get("Etag") != "" {
		t.Error("a conflict with an ETag")
	}
	if got, _ := w.found(t, w.ask(t, "GET", rec.Header().Get("Location"), "")); got != id {
		t.Errorf("Location leads to %s", got)
	}
}

// TestRace: of the same entry, added many times at once, there is one, and
// everybody gets it.
func TestRace(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	proposed := s.hashedrekord(t, "a")
	recs := make([]*httptest.ResponseRecorder, 20)
	var all sync.WaitGroup
	for i := range recs {
		all.Go(func() { recs[i] = w.ask(t, "POST", entriesPath, proposed) })
	}
	all.Wait()
	for _, rec := range recs {
		if _, e := w.created(t, rec); *e.LogIndex != 0 {
			t.Errorf("index %d", *e.LogIndex)
		}
	}
}

func TestRead(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	id, first := w.add(t, s, "a")
	w.add(t, s, "b")
	for _, target := range []string{
		entriesPath + "?logIndex=0", entriesPath + "?logIndex=00", entriesPath + "?apiKey=x&logIndex=0",
		entriesPath + "/" + id, entriesPath + "/" + id[16:], entriesPath + "/" + strings.ToUpper(id), entriesPath + "/" + strings.ToUpper(id[16:]),
	} {
		got, e := w.found(t, w.ask(t, "GET", target, ""))
		if got != id || *e.IntegratedTime != *first.IntegratedTime || !reflect.DeepEqual(e.Verification.SignedEntryTimestamp, first.Verification.SignedEntryTimestamp) {
			t.Errorf("%s: %s %+v", target, got, e)
		}
		if size := *e.Verification.InclusionProof.TreeSize; size != 2 {
			t.Errorf("%s: proof in a tree of %d", target, size)
		}
	}
	for _, target := range []string{
		entriesPath + "?logIndex=2", entriesPath + "?logIndex=9223372036854775807",
		entriesPath + "/" + strings.Repeat("0", 64), entriesPath + "/" + treeHex + strings.Repeat("0", 64),
		entriesPath + "/108f000000000002" + id[16:], // another tree
	} {
		rec := w.ask(t, "GET", target, "")
		missing(t, rec)
		if rec.Header().Get("Cache-Control") != noCache {
			t.Errorf("%s: may be cached", target)
		}
	}
}

// TestReadAnyCache: answers are the same whatever the cache holds.
func TestReadAnyCache(t *testing.T) {
	log := newLog(t)
	w, s := over(t, log), newSigner(t)
	var ids []string
	for i := range 20 {
		id, _ := w.add(t, s, fmt.Sprint(i))
		ids = append(ids, id)
	}
	tiny := over(t, log, func(c *rekorv1.Config) { c.Key, c.CacheBytes = rekorv1.LocalKey(w.key), 8<<10 })
	for range 2 {
		for i, id := range ids {
			want := unsigned(w.ask(t, "GET", entriesPath+"/"+id, ""))
			for _, rec := range []*httptest.ResponseRecorder{
				w.ask(t, "GET", fmt.Sprint(entriesPath, "?logIndex=", i), ""),
				tiny.ask(t, "GET", fmt.Sprint(entriesPath, "?logIndex=", i), ""),
				tiny.ask(t, "GET", entriesPath+"/"+id[16:], ""),
			} {
				w.found(t, rec)
				if got := unsigned(rec); got != want {
					t.Errorf("entry %d: %s, and not %s", i, got, want)
				}
			}
		}
	}
}

// TestReadOfOtherAPIs: entries that came by other APIs are served like any.
func TestReadOfOtherAPIs(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	raw, err := entry.NewRaw([]byte("anything at all\x00\xff"))
	if err != nil {
		t.Fatal(err)
	}
	v2, err := entry.NewDSSE(entry.DSSE{Envelope: []byte(s.envelope(t, "{}")), Verifiers: []entry.Verifier{{PublicKey: s.pem}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range []entry.Entry{raw, v2} {
		if _, err := w.log.Add(deadline(t), e); err != nil {
			t.Fatal(err)
		}
		_, got := w.found(t, w.ask(t, "GET", fmt.Sprint(entriesPath, "?logIndex=", i), ""))
		if string(got.Body) != string(e.Canonical()) {
			t.Errorf("%q, and not %q", got.Body, e.Canonical())
		}
	}
}

func TestHead(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	w.add(t, s, "a")
	for _, target := range []string{entriesPath + "?logIndex=0", "/api/v1/log", "/ping"} {
		if rec := w.ask(t, "HEAD", target, ""); rec.Code != http.StatusOK {
			t.Errorf("%s: %d", target, rec.Code)
		}
	}
}

func TestRetrieve(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	var ids []string
	for i := range 4 {
		id, _ := w.add(t, s, fmt.Sprint(i))
		ids = append(ids, id)
	}
	dsse, _ := w.created(t, w.ask(t, "POST", entriesPath, s.dsse(t, "{}")))
	absent := strings.Repeat("0", 64)
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{}`, nil},
		{`{"entryUUIDs":null,"logIndexes":null,"entries":null}`, nil},
		{`{"logIndexes":[0,1,2,3]}`, ids},
		{`{"logIndexes":[3, 99,0]}`, []string{ids[3], ids[0]}},
		{`{"logIndexes":[99]}`, nil},
		{`{"logIndexes":[1,1]}`, []string{ids[1], ids[1]}},
		{`{"entryUUIDs":["` + ids[2] + `","` + ids[1][16:] + `","` + absent + `","108f000000000002` + ids[0][16:] + `"]}`, []string{ids[2], ids[1]}},
		// What Go's clients send.
		{`{"entryUUIDs":null,"logIndexes":null,"entries":[` + s.hashedrekord(t, "1") + `]}`, []string{ids[1]}},
		{`{"entries":[` + s.dsse(t, "{}") + `,` + s.hashedrekord(t, "never logged") + `]}`, []string{dsse}},
		{`{"entries":[` + s.dsse(t, "{}") + `,{"kind":"intoto","apiVersion":"0.0.1","spec":{"content":{},"publicKey":""}}]}`, []string{dsse}},
		{`{"logIndexes":[0],"entries":[` + s.hashedrekord(t, "1") + `],"entryUUIDs":["` + ids[2] + `"]}`, []string{ids[2], ids[1], ids[0]}},
		{`{"logIndexes":[0,1,2,3,4,5,6,7,8,9]}`, append(append([]string{}, ids...), dsse)},
	} {
		if got := w.retrieved(t, c.body); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, and not %v", c.body, got, c.want)
		}
	}
}

// retrieved asks for several entries and checks each.
func (w *world) retrieved(t *testing.T, body string) []string {
	t.Helper()
	rec := w.ask(t, "POST", retrievePath, body)
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d: %s", rec.Code, rec.Body)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || list == nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	var ids []string
	for _, item := range list {
		id, _ := w.only(t, item)
		ids = append(ids, id)
	}
	return ids
}

// TestRetrieveOfKinds: an entry is found although its kind is not taken any
// more.
func TestRetrieveOfKinds(t *testing.T) {
	log := newLog(t)
	w, s := over(t, log), newSigner(t)
	id, _ := w.add(t, s, "a")
	w.api = over(t, log, func(c *rekorv1.Config) { c.Kinds, c.Key = []entry.Kind{entry.KindRaw}, rekorv1.LocalKey(w.key) }).api
	w.refused(t, w.ask(t, "POST", entriesPath, s.hashedrekord(t, "b")), 400, 400, "none of Rekor v1's")
	if got := w.retrieved(t, `{"entries":[`+s.hashedrekord(t, "a")+`]}`); !reflect.DeepEqual(got, []string{id}) {
		t.Errorf("%v", got)
	}
}

// unsigned is an answer without its signatures, which each server makes for
// itself.
func unsigned(rec *httptest.ResponseRecorder) string {
	sets := regexp.MustCompile(`"signedEntryTimestamp":"[^"]*"`).ReplaceAllString(rec.Body.String(), "")
	return regexp.MustCompile(`— `+host+` [A-Za-z0-9+/=]*`).ReplaceAllString(sets, "")
}

// TestReplicasAgree: two servers with one key say the same.
func TestReplicasAgree(t *testing.T) {
	log := newLog(t)
	a := over(t, log)
	b := over(t, log, func(c *rekorv1.Config) { c.Key = rekorv1.LocalKey(a.key) })
	a.add(t, newSigner(t), "a")
	for _, target := range []string{entriesPath + "?logIndex=0", "/api/v1/log", "/api/v1/log/publicKey"} {
		if x, y := unsigned(a.ask(t, "GET", target, "")), unsigned(b.ask(t, "GET", target, "")); x != y {
			t.Errorf("%s: %s and %s", target, x, y)
		}
	}
}

// TestLeafHash: ids are of RFC 6962's leaf hash.
func TestLeafHash(t *testing.T) {
	w, s := newWorld(t), newSigner(t)
	id, e := w.add(t, s, "a")
	r, err := w.log.Entry(deadline(t), *e.LogIndex)
	if err != nil || hex.EncodeToString(r.LeafHash[:]) != id[16:] || string(r.Canonical) != string(e.Body) {
		t.Errorf("%v: %x, %s", err, r.LeafHash, id)
	}
}
