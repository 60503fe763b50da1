package registers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/guard/registers"
)

// store is an object store, and the wire to it, which can be cut.
type store struct {
	server *httptest.Server
	inner  http.Handler

	mu           sync.Mutex
	cut          bool
	lose, refuse bool // what happens to the next write of the register
}

// newStore starts a store with a bucket, and has the environment hold
// credentials for it.
func newStore(t *testing.T) *store {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	s := &store{inner: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *store) where() string {
	return "s3://bucket/logs/a?region=here&endpoint=" + url.QueryEscape(s.server.URL)
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cut, lose, refuse := s.faults(r)
	if cut || refuse {
		panic(http.ErrAbortHandler)
	}
	if lose {
		s.inner.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	s.inner.ServeHTTP(w, r)
}

func (s *store) faults(r *http.Request) (cut, lose, refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/register") {
		lose, refuse = s.lose, s.refuse
		s.lose, s.refuse = false, false
	}
	return s.cut, lose, refuse
}

func (s *store) set(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	return nil
}

func TestObjectConforms(t *testing.T) {
	guardtest.Run(t, func(t *testing.T) guardtest.Place { return &object{newStore(t)} })
}

// object is a register's object.
type object struct{ *store }

func (o *object) Create(ctx context.Context, origin, id string) (guardtest.Register, error) {
	return registers.Create(ctx, o.where(), origin, id)
}

func (o *object) Open(ctx context.Context, origin string) (guardtest.Register, error) {
	return registers.Open(ctx, o.where(), origin)
}

// request asks the store past the wire.
func (o *object) request(method string, body []byte) ([]byte, error) {
	r := httptest.NewRequest(method, "/bucket/logs/a/register", bytes.NewReader(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	w := httptest.NewRecorder()
	o.inner.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", method, w.Code, w.Body)
	}
	return w.Body.Bytes(), nil
}

func (o *object) Content() ([]byte, error) { return o.request(http.MethodGet, nil) }

func (o *object) Put(content []byte) error {
	_, err := o.request(http.MethodPut, content)
	return err
}

func (o *object) Cut() error  { return o.set(func() { o.cut = true }) }
func (o *object) Mend() error { return o.set(func() { o.cut, o.lose, o.refuse = false, false, false }) }
func (o *object) Lose()       { o.set(func() { o.lose = true }) }
func (o *object) Refuse()     { o.set(func() { o.refuse = true }) }

// The answer to a write is lost, and the write is known to be done.
func TestLostAnswer(t *testing.T) {
	s := newStore(t)
	r, err := registers.Create(t.Context(), s.where(), guardtest.Origin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.set(func() { s.lose = true })
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
		t.Fatal(err)
	}
}
