package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
)

func body(r Request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", r.Old)
	for _, h := range r.Proof {
		fmt.Fprintln(&b, base64.StdEncoding.EncodeToString(h[:]))
	}
	b.WriteByte('\n')
	b.Write(r.Note)
	return b.Bytes()
}

func ask(t testing.TB, w *world, method, path string, data []byte) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	w.Handler("https://witness.example", func(_ context.Context, err error) { t.Errorf("a fault: %v", err) }).ServeHTTP(rec, httptest.NewRequest(method, path, bytes.NewReader(data)))
	return rec
}

// TestPublished: what the witness says of itself, and for which logs it cosigns.
func TestPublished(t *testing.T) {
	w := newWorld(t)
	rec := ask(t, w, "GET", "/witness.v0.json", nil)
	var about struct {
		Name          string   `json:"name"`
		SubmissionURL string   `json:"submission_url"`
		MonitoringURL string   `json:"monitoring_url"`
		VerifierKeys  []string `json:"verifier_keys"`
		LogListURL    string   `json:"log_list_url"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &about); err != nil || rec.Code != 200 {
		t.Fatal(rec.Code, err)
	}
	if about.SubmissionURL != "https://witness.example/" || about.MonitoringURL != about.SubmissionURL || len(about.VerifierKeys) != len(w.Verifiers()) ||
		about.VerifierKeys[0] != w.Verifiers()[0].String() || about.Name != w.Verifiers()[0].Name() {
		t.Errorf("%+v", about)
	}
	path := strings.TrimPrefix(about.LogListURL, "https://witness.example")
	logs, skipped, err := ParseLogList(ask(t, w, "GET", path, nil).Body.Bytes())
	if err != nil || len(skipped) > 0 || len(logs) != 1 || logs[0].Origin != testOrigin {
		t.Fatalf("%+v, %v, %v", logs, skipped, err)
	}
	key, err := checkpoint.ParseVerifier(mldsaVKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddLogs(t.Context(), []Log{{Origin: "another", Keys: []checkpoint.Verifier{key}, PerDay: 5, Contact: "x"}}); err != nil {
		t.Fatal(err)
	}
	if logs, _, _ = ParseLogList(ask(t, w, "GET", path, nil).Body.Bytes()); len(logs) != 2 {
		t.Errorf("after a log was added: %+v", logs)
	}
	if rec := ask(t, w, "POST", "/logs.v0", nil); rec.Code != 405 {
		t.Error(rec.Code)
	}
}

func TestHTTP(t *testing.T) {
	w := newWorld(t)
	path := "/" + OriginHash(testOrigin) + "/checkpoint"
	if rec := ask(t, w, "GET", path, nil); rec.Code != 404 {
		t.Errorf("before anything was cosigned: %d", rec.Code)
	}
	rec := ask(t, w, "POST", "/add-checkpoint", body(w.tree.request(t, 0, 7)))
	if rec.Code != 200 || strings.Count(rec.Body.String(), "\n") != 2 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	cosigned, _, err := checkpoint.AddCosignatures(w.tree.note(t, 7), w.Verifiers(), must(checkpoint.ParseSignatures(rec.Body.Bytes()))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "HEAD"} {
		if rec := ask(t, w, method, path, nil); rec.Code != 200 || !bytes.Equal(rec.Body.Bytes(), cosigned) {
			t.Errorf("%s: %d\n%s", method, rec.Code, rec.Body)
		}
	}
	rec = ask(t, w, "POST", "/add-checkpoint", body(w.tree.request(t, 5, 9)))
	if rec.Code != 409 || rec.Header().Get("Content-Type") != "text/x.tlog.size" || rec.Body.String() != "7\n" {
		t.Errorf("%d %v %q", rec.Code, rec.Header(), rec.Body)
	}
	edge, _ := merkle.Edge{}.Append(w.tree.leaves[4:6])
	root := edge.Root()
	subtree := fmt.Sprintf("subtree 4 6\n%s\n", base64.StdEncoding.EncodeToString(root[:]))
	for _, h := range w.tree.proof(4, 6, 7) {
		subtree += base64.StdEncoding.EncodeToString(h[:]) + "\n"
	}
	rec = ask(t, w, "POST", "/sign-subtree", append([]byte(subtree+"\n"), cosigned...))
	if rec.Code != 200 || strings.Count(rec.Body.String(), "\n") != 1 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestHTTPRefusals(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 7)
	good := string(body(w.tree.request(t, 7, 9)))
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, test := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "/add-checkpoint", "", 405, "POST"},
		{"POST", "/" + OriginHash(testOrigin) + "/checkpoint", "", 405, "GET"},
		{"POST", "/add-checkpoint/", good, 404, "nothing"},
		{"POST", "//add-checkpoint", good, 404, "nothing"},
		{"GET", "/" + strings.ToUpper(OriginHash(testOrigin)) + "/checkpoint", "", 404, "SHA-256"},
		{"POST", "/add-checkpoint", "", 400, "empty line"},
		{"POST", "/add-checkpoint", "\n\n" + good, 400, "first line"},
		{"POST", "/add-checkpoint", replace("old 7", "old 07"), 400, "leading zeros"},
		{"POST", "/add-checkpoint", replace("old 7", "old +7"), 400, "first line"},
		{"POST", "/add-checkpoint", replace("old 7", "old -1"), 400, "first line"},
		{"POST", "/add-checkpoint", replace("old 7", "old 7 "), 400, "first line"},
		{"POST", "/add-checkpoint", replace("old 7", "Old 7"), 400, "first line"},
		{"POST", "/add-checkpoint", replace("old 7\n", "old 7\r\n"), 400, "first line"},
		{"POST", "/add-checkpoint", replace("old 7\n", "old 7\n "), 400, "base64"},
		{"POST", "/add-checkpoint", replace("old 7\n", "old 7\nAAAA\n"), 400, "32 bytes"},
		{"POST", "/add-checkpoint", replace("old 7\n", "old 7\n"+strings.Repeat(hash, 64)), 400, "no tree has one"},
		{"POST", "/add-checkpoint", replace("old 7\n", "old 7\n"+hash), 422, "does not extend"},
		{"POST", "/add-checkpoint", replace("old 7", "old 99999999999999999999"), 400, "first line"},
		{"POST", "/add-checkpoint", replace("\n\n", "\n"), 400, ""},
		{"POST", "/add-checkpoint", replace(testOrigin, "unknown.example"), 404, "unknown log"},
		{"POST", "/add-checkpoint", good[:len(good)-1], 400, "newline"},
		{"POST", "/add-checkpoint", good + strings.Repeat("x", maxBody), 413, "more than"},
		{"POST", "/sign-subtree", "subtree 4\n\n", 400, "first line"},
		{"POST", "/sign-subtree", "subtree 4 6\n\nx", 400, "second line"},
		{"POST", "/sign-subtree", "subtree 04 6\n" + hash + "\nx", 400, "bounds"},
		{"POST", "/sign-subtree", "subtree 4 6\n" + hash + "\nx", 400, "note"},
		{"GET", "/sign-subtree", "", 405, "POST"},
		{"GET", "/", "", 404, "add-checkpoint"},
	} {
		rec := ask(t, w, test.method, test.path, []byte(test.body))
		if rec.Code != test.code || !strings.Contains(rec.Body.String(), test.says) {
			t.Errorf("%s %s %.80q: %d %s", test.method, test.path, test.body, rec.Code, rec.Body)
		}
		if test.code == http.StatusMethodNotAllowed && rec.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", test.method, test.path)
		}
	}
	if w.mem.snapshot(testOrigin).Size != 7 {
		t.Error("the state changed")
	}
}

// FuzzHTTP: whatever comes, only a 200 changes the state.
func FuzzHTTP(f *testing.F) {
	w := newWorld(f)
	w.add(f, 0, 7)
	f.Add(body(w.tree.request(f, 7, 9)))
	f.Add(body(w.tree.request(f, 0, 9)))
	f.Add([]byte("old 7\n\nlog.example\n0\n"))
	tr, keys := w.tree, w.cfg.Cosigners[:1]
	start := w.mem.snapshot(testOrigin)
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorldOf(t, tr, keys)
		w.mem.heads[testOrigin] = start
		for _, path := range []string{"/add-checkpoint", "/sign-subtree"} {
			before := w.mem.snapshot(testOrigin)
			rec := ask(t, w, "POST", path, data)
			after := w.mem.snapshot(testOrigin)
			switch {
			case rec.Code != 200 && after.Time+int64(after.Size) != before.Time+int64(before.Size):
				t.Errorf("%s: %d changed the state", path, rec.Code)
			case rec.Code >= 500:
				t.Errorf("%s: %d", path, rec.Code)
			case after.Size < before.Size:
				t.Errorf("%s: size %d after %d", path, after.Size, before.Size)
			}
		}
	})
}
