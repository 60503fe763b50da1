package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"indelible/server/rekorv2"
)

// discard is the cheapest ResponseWriter.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkAddREST is a signed add without a network and without a log: the
// signature's check, and what the API costs beside it.
func BenchmarkAddREST(b *testing.B) {
	benchmarkAdd(b, handlerOver(b, &fakeLog{hashes: 20}), "/v1/entries", newSigner(b).request(b, "artifact"), http.StatusOK)
}

// BenchmarkAddRekorV2 is the same entry by Rekor v2's API.
func BenchmarkAddRekorV2(b *testing.B) {
	h := rekorv2.New(rekorv2.Config{Log: &fakeLog{hashes: 20}, KeyID: keyID, Kinds: allKinds}).Handler()
	benchmarkAdd(b, h, rekorEntries, toJSON(b, newSigner(b).rekorRequest(b, "artifact")), http.StatusCreated)
}

func benchmarkAdd(b *testing.B, h http.Handler, path string, body []byte, status int) {
	check := httptest.NewRecorder()
	h.ServeHTTP(check, post(path, body))
	if check.Code != status {
		b.Fatal(check.Code, check.Body)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &discard{header: http.Header{}, status: http.StatusOK}
		r := post(path, body)
		r.ContentLength = int64(len(body))
		h.ServeHTTP(w, r)
		if w.status != status {
			b.Fatal(w.status)
		}
	}
}
