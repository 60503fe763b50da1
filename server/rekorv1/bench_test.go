package rekorv1_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"indelible/server/rekorv1"
)

// discard is the cheapest ResponseWriter.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkGet reads entries of a log of 1,000 in memory, without a network:
// what the API costs beside both. With a cache everything but the proof is at
// hand; without one each answer is signed.
func BenchmarkGet(b *testing.B) {
	log := newLog(b)
	filling, s := over(b, log), newSigner(b)
	var ids []string
	for i := range 1000 {
		id, _ := filling.add(b, s, fmt.Sprint(i))
		ids = append(ids, id)
	}
	none := func(c *rekorv1.Config) { c.CacheBytes = 1 }
	for _, c := range []struct {
		name   string
		api    http.Handler
		target func(i int) string
	}{
		{"ByIndex/cached", over(b, log).api, func(i int) string { return fmt.Sprint(entriesPath, "?logIndex=", i) }},
		{"ByUUID/cached", over(b, log).api, func(i int) string { return entriesPath + "/" + ids[i] }},
		{"ByIndex/uncached", over(b, log, none).api, func(i int) string { return fmt.Sprint(entriesPath, "?logIndex=", i) }},
		{"ByUUID/uncached", over(b, log, none).api, func(i int) string { return entriesPath + "/" + ids[i] }},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmark(b, c.api, "GET", func(i int) (string, string) { return c.target(i % 1000), "" }, 200)
		})
	}
}

// BenchmarkAdd is the same entry again: its signature's check, and what the API
// costs beside it.
func BenchmarkAdd(b *testing.B) {
	w := newWorld(b)
	body := newSigner(b).hashedrekord(b, "a")
	benchmark(b, w.api, "POST", func(int) (string, string) { return entriesPath, body }, 201)
}

func benchmark(b *testing.B, api http.Handler, method string, ask func(i int) (target, body string), status int) {
	requests := make([]*http.Request, 1000)
	bodies := make([]string, len(requests))
	for i := range requests {
		target, body := ask(i)
		requests[i], bodies[i] = httptest.NewRequest(method, target, strings.NewReader(body)), body
		requests[i].Header.Set("Content-Type", "application/json")
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % len(requests)
		requests[n].Body = io.NopCloser(strings.NewReader(bodies[n]))
		w := &discard{header: http.Header{}, status: http.StatusOK}
		api.ServeHTTP(w, requests[n])
		if w.status != status {
			b.Fatal(w.status)
		}
	}
}

// BenchmarkServed is over HTTP, on two connections: an answer of the same size
// that costs nothing, and the API's.
func BenchmarkServed(b *testing.B) {
	log := newLog(b)
	w, s := over(b, log), newSigner(b)
	for i := range 1000 {
		w.add(b, s, fmt.Sprint(i))
	}
	answer := w.ask(b, "GET", entriesPath+"?logIndex=7", "").Body.Bytes()
	echo := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	})
	for name, api := range map[string]http.Handler{
		"echo": echo, "cached": over(b, log).api, "uncached": over(b, log, func(c *rekorv1.Config) { c.CacheBytes = 1 }).api,
	} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(api)
			defer server.Close()
			b.SetParallelism(1)
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					fetch(b, fmt.Sprint(server.URL, entriesPath, "?logIndex=", i%1000))
				}
			})
		})
	}
}

func fetch(b *testing.B, url string) {
	res, err := http.Get(url)
	if err != nil {
		b.Error(err)
		return
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		b.Errorf("%d: %v", res.StatusCode, err)
	}
}
