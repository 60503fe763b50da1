package publication

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"indelible/internal/s3"
)

// store is an object store in this process, as far as a publication needs one, that
// fails by chance.
type store struct {
	server *httptest.Server

	mu      sync.Mutex
	objects map[string][]byte
	headers map[string]http.Header
	faults  func(r *http.Request, body []byte) (fault, bool)
	counts  map[fault]int
	ignores bool // the conditions of writes
}

// fault is what goes wrong with a request.
type fault int

const (
	busy    fault = iota // 503
	broken               // 500
	cut                  // the connection ends before the answer, and nothing was done
	partial              // half of the body is stored, and the connection ends
	lost                 // it was done, and the connection ends
	taken                // 412
	slow                 // it is done late
	faults
)

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{objects: make(map[string][]byte), headers: make(map[string]http.Header), counts: make(map[fault]int)}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *store) open(ctx context.Context) (Store, error) {
	p, err := s3.Parse("s3://bucket/logs/a?endpoint="+url.QueryEscape(s.server.URL), what)
	if err != nil {
		return nil, err
	}
	return OpenBucket(ctx, p, s3.Options{Credentials: credentials.NewStaticV4("key", "top-secret", ""), Timeout: time.Minute})
}

// ServeHTTP implements http.Handler.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Authorization") == "" {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults != nil {
		if f, ok := s.faults(r, body); ok {
			s.counts[f]++
			s.fail(w, r, body, f)
			return
		}
	}
	s.serve(w, r, body)
}

func (s *store) fail(w http.ResponseWriter, r *http.Request, body []byte, f fault) {
	switch f {
	case busy:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
	case broken:
		refuse(w, http.StatusInternalServerError, "InternalError")
	case taken:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
	case slow:
		s.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		s.mu.Lock()
		s.serve(w, r, body)
	case partial:
		s.serve(httptest.NewRecorder(), r, body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case lost:
		s.serve(httptest.NewRecorder(), r, body)
		panic(http.ErrAbortHandler)
	default:
		panic(http.ErrAbortHandler)
	}
}

func (s *store) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	key := strings.TrimPrefix(r.URL.Path, "/bucket/logs/a/")
	data, ok := s.objects[key]
	switch r.Method {
	case http.MethodGet:
		if !ok {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(data))
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	case http.MethodPut:
		is, not := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		switch {
		case s.ignores:
		case is != "" && !ok:
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		case is != "" && strings.Trim(is, `"`) != strings.Trim(etag(data), `"`), not == "*" && ok:
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		s.objects[key], s.headers[key] = body, r.Header
		w.Header().Set("ETag", etag(body))
	case http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	}
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

func (s *store) read(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[path]
}

func TestBucket(t *testing.T) {
	g, s := newGrowing(t, "log.example", 700), newStore(t)
	run(t, Config{Log: g, Keys: g.keys(), Open: s.open}, reaches(700))
	if size, err := g.holds(s.read); err != nil || size != 700 {
		t.Fatal(size, err)
	}
	for path, want := range map[string][2]string{
		"checkpoint":             {"text/plain; charset=utf-8", "public, max-age=1"},
		"tile/0/000":             {"application/octet-stream", "public, max-age=604800, immutable"},
		"tile/1/000.p/2":         {"application/octet-stream", "public, max-age=604800, immutable"},
		"tile/entries/002.p/188": {"application/octet-stream", "public, max-age=604800, immutable"},
		stateName:                {"application/json", "no-store"},
	} {
		h := s.headers[path]
		if h.Get("Content-Type") != want[0] || h.Get("Cache-Control") != want[1] {
			t.Errorf("%s: %s, %s", path, h.Get("Content-Type"), h.Get("Cache-Control"))
		}
	}
}

// Whatever a store answers, and whatever it does before that, a checkpoint is never
// there without what it needs.
func TestBucketFaults(t *testing.T) {
	g, s := newGrowing(t, "log.example", 1), newStore(t)
	size := int64(0)
	check := func() {
		got, err := g.holds(func(path string) []byte { return s.objects[path] })
		if err != nil || got < size && got >= 0 {
			t.Errorf("size %d after %d, %v", got, size, err)
		}
		size = max(size, got)
	}
	random, of := rand.New(rand.NewPCG(1, 2)), make(map[bool]int)
	s.faults = func(r *http.Request, body []byte) (fault, bool) {
		check()
		if random.IntN(5) > 0 || strings.HasSuffix(r.URL.Path, ".probe") {
			return 0, false
		}
		if r.Method != http.MethodPut {
			return busy, true
		}
		// An object that is replaced on a condition is stored whole or not at all, and
		// there is nothing to refuse without one.
		small := strings.HasSuffix(r.URL.Path, "/checkpoint") || strings.HasSuffix(r.URL.Path, stateName)
		kinds := []fault{partial, slow, lost, busy, cut, broken}
		if small {
			kinds[0] = taken
		}
		of[small]++
		return kinds[(of[small]-1)%len(kinds)], true
	}
	for _, next := range []int64{1, 300, 1000, 1001, 1500, 1900, 2500, 2501, 3300} {
		g.grow(next)
		run(t, Config{Log: g, Keys: g.keys(), Open: s.open}, reaches(next))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	check()
	for f := range faults {
		if s.counts[f] == 0 {
			t.Errorf("fault %d did not happen", f)
		}
	}
}

// An object that was not sent is an error of Put, since no Sync knows of it.
func TestBucketPutCanceled(t *testing.T) {
	s := newStore(t)
	b, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Put(ctx, "tile/entries/000", make([]byte, 1<<20)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestBucketWithoutConditions(t *testing.T) {
	g, s := newGrowing(t, "log.example", 10), newStore(t)
	s.ignores = true
	got := run(t, Config{Log: g, Keys: g.keys(), Open: s.open}, fails)
	if !strings.Contains(got.Err.Error(), "ignores the conditions") || s.read(checkpointName) != nil {
		t.Error(got.Err)
	}
}

func TestCheck(t *testing.T) {
	for _, place := range []string{"", "/a/b", "s3://b", "s3://b/x?endpoint=http://127.0.0.1:9000&region=r"} {
		if err := Check(place); err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
	for _, place := range []string{"s3:", "s3:b/x", "s3://key:top-secret@b/x", "s3://b?zone=1", "s3://b?endpoint=ftp://h"} {
		if err := Check(place); err == nil || strings.Contains(err.Error(), "top-secret") || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("%s: %v", place, err)
		}
	}
}
