package object

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// store is an object store in this process, as far as a register needs one,
// which fails on demand.
type store struct {
	server *httptest.Server

	mu      sync.Mutex
	objects map[string][]byte
	gets    int
	puts    int
	// answer takes the place of the status of the next write: before it is done
	// or after.
	answer       int
	after        bool
	hang         chan struct{} // the next write is answered when it is closed
	deaf         bool          // every answer is 503
	unguarded    bool          // conditions are ignored
	withoutETags bool
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{objects: map[string][]byte{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *store) place(t *testing.T) Place {
	t.Helper()
	p, err := ParsePlace("s3://bucket/logs/a?endpoint=" + url.QueryEscape(s.server.URL))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func etag(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>a test</Message></Error>", code)
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Authorization") == "" {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	s.mu.Lock()
	hang := s.serve(w, r, body)
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
}

// serve answers a request, or returns what the answer is to wait for.
func (s *store) serve(w http.ResponseWriter, r *http.Request, body []byte) chan struct{} {
	if s.deaf {
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return nil
	}
	if r.Method == http.MethodGet {
		s.get(w, r)
		return nil
	}
	answer, after, hang := s.answer, s.after, s.hang
	if r.URL.Path == "/bucket/logs/a/register" {
		s.answer, s.hang = 0, nil
	} else {
		answer, hang = 0, nil
	}
	if answer != 0 && !after {
		refuse(w, answer, "ATest")
		return nil
	}
	status := s.put(r, body)
	switch {
	case hang != nil:
		return hang
	case answer != 0:
		refuse(w, answer, "ATest")
	case status == http.StatusNotFound:
		refuse(w, status, "NoSuchKey")
	case status != http.StatusOK:
		refuse(w, status, "PreconditionFailed")
	case !s.withoutETags:
		w.Header().Set("ETag", etag(body))
	}
	return nil
}

func (s *store) get(w http.ResponseWriter, r *http.Request) {
	s.gets++
	data, ok := s.objects[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if !s.withoutETags {
		w.Header().Set("ETag", etag(data))
	}
	w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.Write(data)
}

func (s *store) put(r *http.Request, body []byte) int {
	s.puts++
	data, ok := s.objects[r.URL.Path]
	is, not := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case s.unguarded:
	case is != "" && !ok:
		return http.StatusNotFound
	case is != "" && is != etag(data), not == "*" && ok:
		return http.StatusPreconditionFailed
	}
	s.objects[r.URL.Path] = body
	return http.StatusOK
}
