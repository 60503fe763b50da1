package server_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"indelible/checkpoint"
	"indelible/internal/transport"
	"indelible/internal/transport/adminport"
	translog "indelible/log"
	"indelible/server"
	"indelible/verify"
)

// TestGolden compares every answer of the REST API with testdata/rest.golden:
// lines of a request ("> GET /v1/checkpoint", or "> POST /v1/entries" and its
// body), each followed by the answer, its spaces taken out.
func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/rest.golden")
	if err != nil {
		t.Fatal(err)
	}
	w := newFakeWorld(t, &fakeLog{hashes: 1})
	var got strings.Builder
	for line := range strings.Lines(string(golden)) {
		request, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> ")
		if !ok {
			continue
		}
		method, rest, _ := strings.Cut(request, " ")
		target, body, _ := strings.Cut(rest, " ")
		rec := w.ask(t, method, target, []byte(body))
		var answer bytes.Buffer
		if err := json.Compact(&answer, rec.Body.Bytes()); err != nil {
			t.Fatal(err)
		}
		got.WriteString(line + answer.String() + "\n")
	}
	if got.String() != string(golden) {
		t.Errorf("the answers are\n%s", got.String())
	}
}

func TestPages(t *testing.T) {
	w := newFakeWorld(t, &fakeLog{})
	for path, want := range map[string]struct{ contentType, contains string }{
		"/":             {"text/html; charset=utf-8", "<h1>log.example.com</h1>"},
		"/log.vkey":     {"text/plain; charset=utf-8", "log.example.com+00000000+AQ==\n"},
		"/openapi.json": {"application/json", `"/v1/entries:batch"`},
	} {
		rec := w.ask(t, "GET", path, nil)
		if rec.Code != 200 || rec.Header().Get("Content-Type") != want.contentType || !strings.Contains(rec.Body.String(), want.contains) {
			t.Errorf("%s: %d %v %s", path, rec.Code, rec.Header(), rec.Body)
		}
	}
	page := w.ask(t, "GET", "http://log.example.com:8080/", nil).Body.String()
	for _, want := range []string{"1,000,000", "log.example.com&#43;00000000&#43;AQ==", "--url http://log.example.com:8080"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	for _, want := range []string{"/api/v2/", "/trust/"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not name %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, `href="/`) {
		t.Errorf("below a prefix, a link of the page leads elsewhere:\n%s", page)
	}
	if strings.Contains(page, "/api/v1/") {
		t.Errorf("the page names an API that is off:\n%s", page)
	}
	const off = `{"code":404,"message":"Rekor v1's API is turned off on this server; its operator turns it on with --rekor-v1"}` + "\n" // as Rekor v1's errors are
	for _, path := range []string{"/api/v1/log", "/ping"} {
		if rec := w.ask(t, "GET", path, nil); rec.Code != 404 || rec.Body.String() != off || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s, turned off: %d %v %s", path, rec.Code, rec.Header(), rec.Body)
		}
	}
	w.refused(t, "GET", "/trust/", nil, 404, "nothing")
	evil := httptest.NewRequest("GET", "/", nil)
	evil.Host = "<script>x</script>"
	rec := httptest.NewRecorder()
	if w.rest.ServeHTTP(rec, evil); strings.Contains(rec.Body.String(), "<script>") {
		t.Error("the page shows a Host header as HTML")
	}
	var api map[string]any
	if err := json.Unmarshal(w.ask(t, "GET", "/openapi.json", nil).Body.Bytes(), &api); err != nil {
		t.Error(err)
	}
}

// TestPublicURL: the page's commands have the URL that the operator says.
func TestPublicURL(t *testing.T) {
	h, err := server.Handler(t.Context(), server.Config{Size: func() int64 { return 0 }, PublicURL: "https://example.com/log"})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "http://10.0.0.1:8080/", nil))
	if page := rec.Body.String(); !strings.Contains(page, "--url https://example.com/log ") || strings.Contains(page, "10.0.0.1") {
		t.Error(page)
	}
}

// TestCORS: pages elsewhere may read the native API, after a preflight too, and may not
// add.
func TestCORS(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/v1/checkpoint", "/v1/entries", "/v1/entries/0", "/v1/entries:lookup", "/v1/entries:search", "/v1/proofs/inclusion", "/v1/proofs/consistency"} {
		if rec := w.ask(t, "GET", path, nil); rec.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("GET %s: %d %v", path, rec.Code, rec.Header())
		}
		if rec := w.ask(t, "OPTIONS", path, nil); rec.Code != 204 || rec.Header().Get("Access-Control-Allow-Origin") != "*" || rec.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD" {
			t.Errorf("OPTIONS %s: %d %v", path, rec.Code, rec.Header())
		}
	}
	for _, path := range []string{"/v1/entries", "/v1/entries:batch"} {
		if rec := w.ask(t, "POST", path, []byte("{}")); rec.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("POST %s: %v", path, rec.Header())
		}
	}
}

// TestOpenAPI: the description is of OpenAPI 3.1, names nothing that it lacks, requires
// what the API requires, and every read in it is answered.
func TestOpenAPI(t *testing.T) {
	w := newWorld(t, nil)
	text := w.ask(t, "GET", "/openapi.json", nil).Body.Bytes()
	var api struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct {
			OperationID string
			Parameters  []struct {
				Name, In string
				Required bool
				Schema   map[string]any
			}
			RequestBody *struct {
				Content map[string]struct{ Example json.RawMessage }
			}
			Responses map[string]struct{ Content map[string]any }
		}
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	if err := json.Unmarshal(text, &api); err != nil || api.OpenAPI != "3.1.0" || len(api.Servers) != 1 {
		t.Fatalf("%v, %q", err, api.OpenAPI)
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "#/components/schemas/([^"]*)"`).FindAllSubmatch(text, -1) {
		if _, ok := api.Components.Schemas[string(ref[1])]; !ok {
			t.Errorf("there is no schema %s", ref[1])
		}
	}
	if n := regexp.MustCompile(`definitions|"in": "body"|"swagger"`).FindAll(text, -1); n != nil {
		t.Errorf("OpenAPI 2.0 is left: %q", n)
	}
	ids := map[string]bool{}
	for path, operations := range api.Paths {
		for method, o := range operations {
			if ids[o.OperationID] || o.OperationID == "" || len(o.Responses) < 2 || (method == "post") != (o.RequestBody != nil) {
				t.Errorf("%s %s: %+v", method, path, o)
			}
			ids[o.OperationID] = true
			for _, p := range o.Parameters {
				if p.Schema["type"] == nil || (p.In == "path") != strings.Contains(path, "{"+p.Name+"}") || p.In == "path" && !p.Required {
					t.Errorf("%s %s: %+v", method, path, p)
				}
			}
		}
	}
	for path, name := range map[string]string{"/v1/entries:lookup": "leafHash", "/v1/proofs/inclusion": "index", "/v1/proofs/consistency": "from"} {
		if p := api.Paths[path]["get"].Parameters[0]; p.Name != name || !p.Required {
			t.Errorf("%s: %+v", path, p)
		}
		w.refused(t, "GET", path, nil, 400, "")
	}
	if got := api.Components.Schemas["v1HashedRekord"].Required; strings.Join(got, " ") != "digest signature verifier" {
		t.Error(got)
	}
	for _, path := range []string{"/v1/entries", "/v1/entries:batch"} {
		example := api.Paths[path]["post"].RequestBody.Content["application/json"].Example
		if rec := w.ask(t, "POST", path, example); rec.Code != 200 || strings.Contains(rec.Body.String(), `"error":{`) {
			t.Errorf("the example of %s: %d %s", path, rec.Code, rec.Body)
		}
	}
	for _, path := range []string{"/v1/entries/{index}/proof", "/checkpoint", "/tile/{level}/{index}", "/tile/entries/{index}", "/log.vkey", "/trust/{name}", "/api/v2/log/entries", "/api/v1/log/entries/{uuid}", "/healthz"} {
		if api.Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}

// TestCaching: what never changes may be kept, and errors and what is new may not.
func TestCaching(t *testing.T) {
	w := newWorld(t, nil)
	for _, text := range []string{"YQ==", "Yg==", "Yw=="} {
		if rec := w.ask(t, "POST", "/v1/entries", fmt.Appendf(nil, `{"entry":{"raw":"%s"}}`, text)); rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	for path, want := range map[string]string{
		"/v1/proofs/inclusion?index=1&treeSize=2": "public, max-age=604800, immutable", "/v1/proofs/inclusion?index=1&tree_size=2": "public, max-age=604800, immutable",
		"/v1/proofs/consistency?from=1&to=2": "public, max-age=604800, immutable", "/v1/proofs/inclusion?index=1": "", "/v1/proofs/consistency?from=1": "",
		"/v1/proofs/inclusion?index=1&treeSize=9": "no-store", "/v1/proofs/consistency?from=1&to=9": "no-store", "/v1/proofs/consistency?from=x&to=2": "no-store",
	} {
		if rec := w.ask(t, "GET", path, nil); rec.Header().Get("Cache-Control") != want {
			t.Errorf("%s: %d %q, want %q", path, rec.Code, rec.Header().Get("Cache-Control"), want)
		}
	}
	for _, path := range []string{"/openapi.json", "/log.vkey"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", w.ask(t, "GET", path, nil).Header().Get("Etag"))
		rec := httptest.NewRecorder()
		if w.rest.ServeHTTP(rec, r); rec.Code != http.StatusNotModified {
			t.Errorf("%s, asked again: %d", path, rec.Code)
		}
	}
}

// TestProofFile: an entry's proof file is verified as it is answered.
func TestProofFile(t *testing.T) {
	w := newWorld(t, nil)
	for _, text := range []string{"one", "two", "three"} {
		if rec := w.ask(t, "POST", "/v1/entries", fmt.Appendf(nil, `{"entry":{"raw":"%s"}}`, base64.StdEncoding.EncodeToString([]byte(text)))); rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	rec := w.ask(t, "GET", "/v1/entries/1/proof", nil)
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "text/plain; charset=utf-8" || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	key, err := checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := verify.Verify(strings.NewReader("two"), rec.Body.Bytes(), verify.Trust{Logs: []checkpoint.Verifier{key.Verifier()}, AnySigner: true})
	if err != nil || !r.Verified || r.Index != 1 {
		t.Errorf("%v %+v", err, r)
	}
	w.refused(t, "GET", "/v1/entries/3/proof", nil, 404, "no entry 3")
	w.refused(t, "GET", "/v1/entries/01/proof", nil, 400, "index of an entry")
	w.refused(t, "GET", "/v1/entries/x/proof", nil, 400, "index of an entry")
	w.refused(t, "GET", "/v1/entries/1/proof?x=1", nil, 400, "unknown query parameters")
	w.refused(t, "POST", "/v1/entries/1/proof", nil, 405, "")
}

// TestPageFiles: the page's files are served beside it.
func TestPageFiles(t *testing.T) {
	w := newWorld(t, nil)
	if rec := w.ask(t, "GET", "/page/main.js", nil); rec.Code != 200 || rec.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	w.refused(t, "GET", "/page/nothing.js", nil, 404, "/page/nothing.js")
	w.refused(t, "GET", "/page/", nil, 404, "/page/")
}

// TestRekorPaths: Rekor's servers take paths with slashes too many. Others have
// one form alone, so that caches hold an object once.
func TestRekorPaths(t *testing.T) {
	said := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", name, r.URL) })
	}
	h, err := server.Handler(t.Context(), server.Config{Size: func() int64 { return 0 }, RekorV1: said("v1"), RekorV2: said("v2"), Tiles: said("tiles")})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/api/v1/log/":                        "v1 /api/v1/log",
		"//api/v1/log/entries/retrieve/":      "v1 /api/v1/log/entries/retrieve",
		"/api/v1//log/entries//?logIndex=0":   "v1 /api/v1/log/entries?logIndex=0",
		"/api/v1/log/entries/0123?x=//":       "v1 /api/v1/log/entries/0123?x=//",
		"//api/v2/log/entries":                "v2 /api/v2/log/entries",
		"/api/v2/log/entries/":                "v2 /api/v2/log/entries/",
		"/api/v2//tile/0/000":                 "v2 /api/v2//tile/0/000",
		"//tile/0/000":                        "",
		"//v1/checkpoint":                     "",
		"//log.vkey":                          "",
		"/tile/0/000/":                        "tiles /tile/0/000/",
		"/api/v1/log%2Fentries//retrieve/%2F": "v1 /api/v1/log%2Fentries//retrieve/%2F",
	} {
		r := httptest.NewRequest("GET", "http://log.example.com"+path, nil)
		r.URL.Host, r.URL.Scheme = "", ""
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, r); want == "" && rec.Code != 404 || want != "" && rec.Body.String() != want {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

// Load balancers ask for it, and strangers may: it does not say why.
func TestHealth(t *testing.T) {
	var trouble error
	h, err := server.Handler(t.Context(), server.Config{Size: func() int64 { return 0 }, Ready: func() error { return trouble }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method  string
		trouble error
		status  int
		body    string
	}{
		{"GET", nil, 200, `{"status":"SERVING"}` + "\n"},
		{"GET", errors.New("the database root:secret@db is away"), 503, `{"status":"NOT_SERVING"}` + "\n"},
		{
			"GET", fmt.Errorf("%w: the database root:secret@db is away: %w", translog.ErrUnavailable, translog.ErrNotAppending), 503,
			`{"status":"NOT_SERVING","message":"the log is not available, since the log cannot append to its database at present"}` + "\n",
		},
		{
			"GET", &translog.ClockError{Now: time.Unix(0, 0).UTC(), Last: time.Unix(7200, 0).UTC(), Most: time.Minute}, 503,
			`{"status":"NOT_SERVING","message":"the clock is wrong: it says 1970-01-01T00:00:00Z, which is 2h0m0s behind the time of the log's last entry, 1970-01-01T02:00:00Z (up to 1m0s is bridged); ` +
				`set the clock right; if the last entry's time is wrong, since a clock was ahead then, wait until that time, or give a larger --max-clock-step"}` + "\n",
		},
		{
			"GET", fmt.Errorf("%w: rollback", translog.ErrPoisoned), 503,
			`{"status":"NOT_SERVING","message":"the log is poisoned: it signs nothing, and takes nothing, until its operator acts"}` + "\n",
		},
		{"GET", nil, 200, `{"status":"SERVING"}` + "\n"},
		{"POST", nil, 405, `{"code":12,"message":"/healthz takes GET and HEAD, and not \"POST\"","details":[]}` + "\n"},
	} {
		trouble = c.trouble
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, "/healthz", nil))
		head := rec.Header()
		if rec.Code != c.status || rec.Body.String() != c.body || head.Get("Content-Type") != "application/json" || head.Get("Cache-Control") != "no-store" {
			t.Errorf("%s with %v: %d %v %s", c.method, c.trouble, rec.Code, head, rec.Body)
		}
	}
}

// gathered are the values of metrics without a label, and how many there are of
// the others.
func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) > 0 {
				values[f.GetName()]++
			} else {
				values[f.GetName()] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}

// A server that was just started has no metric that says something untrue: what
// it does not know yet is left out, and what it found published is there without
// another publication.
func TestMetricsAtTheStart(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	var known bool
	at := time.UnixMilli(1_700_000_000_500)
	server.State(reg, publishes(func() (translog.Published, error) {
		if !known {
			return translog.Published{}, translog.ErrUnavailable
		}
		return translog.Published{Size: 20, At: at}, nil
	}))
	events := server.Metrics(reg)
	got := gathered(t, reg)
	for _, name := range []string{"indelible_published_size", "indelible_published_timestamp_seconds", "indelible_poisoned"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s is %v before anything is known", name, v)
		}
	}
	if steps := len(translog.Steps()); got["indelible_retries_total"] != float64(steps) {
		t.Errorf("%v; %d steps", got, steps)
	}
	known = true
	events.Followed(20)
	got = gathered(t, reg)
	for name, want := range map[string]float64{
		"indelible_published_size": 20, "indelible_published_timestamp_seconds": 1_700_000_000.5, "indelible_poisoned": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, %v; want %v", name, v, ok, want)
		}
	}
	events.Poisoned("why")
	events.Followed(20)
	if got = gathered(t, reg); got["indelible_poisoned"] != 1 {
		t.Errorf("%v", got)
	}
}

type publishes func() (translog.Published, error)

func (p publishes) Published() (translog.Published, error) { return p() }

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	log, requests := server.Metrics(reg), server.NewRequests(reg)
	log.Queued(3, 300)
	log.Appended(10, 2, time.Millisecond)
	log.Appended(5, 0, time.Second)
	log.Published(15, 15, time.Millisecond)
	log.Followed(20)
	log.Retrying("append", nil)
	log.Poisoned("reason")
	h := transport.ObserveHTTP(newFakeWorld(t, &fakeLog{}).rest, requests.HTTP)
	for _, target := range []string{"/checkpoint", "/v1/entries/5", "/v1/entries/6", "/tile/0/0", "/tile/entries/x", "/made/up", "/v1/made-up", "/v1/entries:lookup", "/api/v2/log/entries", "/api/v2/tile/0/0", "/api/v2/made-up"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "/v1/entries", nil))
	requests.GRPC("/indelible.v1.Log/AddEntry", codes.OK, time.Second)

	want := `
indelible_entries_added_total 15
indelible_entries_duplicate_total 2
indelible_poisoned 1
indelible_published_size 20
indelible_queued_bytes 300
indelible_queued_entries 3
indelible_retries_total{step="append"} 1
indelible_requests_total{api="grpc",code="OK",method="indelible.v1.Log/AddEntry"} 1
indelible_requests_total{api="http",code="200",method="GET /checkpoint"} 1
indelible_requests_total{api="http",code="200",method="GET /v1/entries/"} 2
indelible_requests_total{api="http",code="400",method="GET /v1/entries:lookup"} 1
indelible_requests_total{api="http",code="404",method="GET /tile/"} 1
indelible_requests_total{api="http",code="404",method="GET /tile/entries/"} 1
indelible_requests_total{api="http",code="404",method="GET other"} 3
indelible_requests_total{api="http",code="404",method="GET /api/v2/tile/"} 1
indelible_requests_total{api="http",code="405",method="GET /api/v2/log/entries"} 1
indelible_requests_total{api="http",code="405",method="other"} 1
indelible_append_entries_sum 15
indelible_append_entries_count 2
indelible_append_seconds_count 2
indelible_publish_seconds_count 1
`
	rec := httptest.NewRecorder()
	adminport.Handler(func() error { return nil }, reg).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(strings.TrimPrefix(want, "\n")) {
		if !strings.Contains(rec.Body.String(), line) {
			t.Errorf("missing: %s", line)
		}
	}
}
