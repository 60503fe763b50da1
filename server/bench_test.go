package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
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
	h := handlerOver(b, &fakeLog{hashes: 20})
	body := newSigner(b).request(b, "artifact")
	check := httptest.NewRecorder()
	h.ServeHTTP(check, post("/v1/entries", body))
	if check.Code != http.StatusOK {
		b.Fatal(check.Code, check.Body)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &discard{header: http.Header{}, status: http.StatusOK}
		r := post("/v1/entries", body)
		r.ContentLength = int64(len(body))
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}
