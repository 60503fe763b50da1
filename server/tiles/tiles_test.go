package tiles

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/internal/answers"
	translog "indelible/log"
	"indelible/merkle"
)

// fakeLog is a log of endless size whose bytes follow from their names.
type fakeLog struct {
	err          error
	size         int64 // that is published
	calls        atomic.Int64
	now, most    atomic.Int64
	hold         chan struct{} // loads wait for it, if it is there
	bundleLength int           // bytes an entry
}

func (f *fakeLog) Published() (translog.Published, error) {
	return translog.Published{Size: f.size, Note: []byte("origin\n1\nroot\n\n— origin sig\n")}, f.err
}

func (f *fakeLog) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	return f.load(ctx, t.Path(), t.Width*merkle.HashSize)
}

func (f *fakeLog) Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error) {
	return f.load(ctx, b.Path(), b.Width*max(1, f.bundleLength))
}

func (f *fakeLog) load(ctx context.Context, name string, n int) ([]byte, error) {
	f.calls.Add(1)
	now := f.now.Add(1)
	defer f.now.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return bytes.Repeat([]byte(name), n/len(name)+1)[:n], nil
}

func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHeaders(t *testing.T) {
	h := New(&fakeLog{}, 1<<20, nil)
	for path, want := range map[string]struct {
		contentType, cache string
		bytes              int
	}{
		"/checkpoint":            {"text/plain; charset=utf-8", "public, max-age=1", 30},
		"/tile/0/000":            {"application/octet-stream", "public, max-age=604800, immutable", 8192},
		"/tile/1/x001/067.p/3":   {"application/octet-stream", "public, max-age=604800, immutable", 96},
		"/tile/entries/000":      {"application/octet-stream", "public, max-age=604800, immutable", 256},
		"/tile/entries/000.p/17": {"application/octet-stream", "public, max-age=604800, immutable", 17},
	} {
		for range 2 { // made, and from memory
			w := ask(h, "GET", path)
			got := w.Header()
			if w.Code != 200 || got.Get("Content-Type") != want.contentType || got.Get("Cache-Control") != want.cache ||
				got.Get("Content-Length") != strconv.Itoa(want.bytes) || w.Body.Len() != want.bytes ||
				got.Get("Access-Control-Allow-Origin") != "*" || len(got.Get("Etag")) != 34 {
				t.Errorf("%s: %d %v, %d bytes", path, w.Code, got, w.Body.Len())
			}
			head := ask(h, "HEAD", path)
			if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != got.Get("Content-Length") || head.Header().Get("Etag") != got.Get("Etag") {
				t.Errorf("HEAD %s: %d %v, %d bytes", path, head.Code, head.Header(), head.Body.Len())
			}
		}
	}
}

func TestConditionalGet(t *testing.T) {
	h := New(&fakeLog{}, 1<<20, nil)
	tag := ask(h, "GET", "/tile/0/000").Header().Get("Etag")
	for match, want := range map[string]int{
		tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, strings.Trim(tag, `"`): 200,
	} {
		w := ask(h, "GET", "/tile/0/000", "If-None-Match", match)
		if w.Code != want || (want == 304) != (w.Body.Len() == 0) || w.Header().Get("Etag") != tag {
			t.Errorf("%s: %d, %d bytes, %v", match, w.Code, w.Body.Len(), w.Header())
		}
	}
	if other := ask(h, "GET", "/tile/0/001").Header().Get("Etag"); other == tag {
		t.Error("two tiles have one tag")
	}
}

func TestGzipBundles(t *testing.T) {
	h := New(&fakeLog{bundleLength: 1024}, 4<<20, nil)
	for _, path := range []string{"/tile/entries/000", "/tile/entries/000.p/200"} {
		plain := ask(h, "GET", path)
		if plain.Header().Get("Vary") != "Accept-Encoding" || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", path, plain.Header())
		}
		for accept, want := range map[string]bool{
			"gzip": true, "br, GZIP;q=0.5": true, "gzip, deflate, br": true, "identity": false, "gzip;q=0": false, "gzip; q=0.000, br": false, "xgzip": false,
		} {
			w := ask(h, "GET", path, "Accept-Encoding", accept)
			if got := w.Header().Get("Content-Encoding") == "gzip"; got != want {
				t.Errorf("%s with %q: compressed %v", path, accept, got)
				continue
			}
			if !want {
				continue
			}
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(z); err != nil || !bytes.Equal(body, plain.Body.Bytes()) {
				t.Errorf("%s: decompressed to something else (%v)", path, err)
			}
			if w.Header().Get("Etag") == plain.Header().Get("Etag") || w.Header().Get("Content-Length") == plain.Header().Get("Content-Length") {
				t.Errorf("%s: %v", path, w.Header())
			}
			if again := ask(h, "GET", path, "Accept-Encoding", accept, "If-None-Match", w.Header().Get("Etag")); again.Code != 304 || again.Header().Get("Content-Encoding") != "" {
				t.Errorf("%s: %d %v", path, again.Code, again.Header())
			}
		}
	}
	if tile := ask(h, "GET", "/tile/0/000", "Accept-Encoding", "gzip"); tile.Header().Get("Content-Encoding") != "" {
		t.Error("hashes were compressed")
	}
}

func TestMethods(t *testing.T) {
	h := New(&fakeLog{}, 1<<20, nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "X"} {
		if w := ask(h, method, "/tile/0/000"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
	if w := ask(h, "OPTIONS", "/tile/0/000", "Origin", "https://example.com"); w.Code != 204 || w.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD" {
		t.Errorf("OPTIONS: %d %v", w.Code, w.Header())
	}
}

// otherPaths are near to a path and are not one.
var otherPaths = []string{
	"/tile/00/000", "/tile/64/000", "/tile/0/0", "/tile/0/00", "/tile/0/0000", "/tile/0/x000/001", "/tile/0/001/067", "/tile/0/x001",
	"/tile/0/x001/x067", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/000.p/01", "/tile/0/000.p/", "/tile/0/000.p", "/tile/0/000/",
	"//tile/0/000", "/tile//0/000", "/tile/../checkpoint", "/tile/0/../0/000", "/./checkpoint", "/checkpoint/", "//checkpoint",
	"/tile/0/00%30", "/%74ile/0/000", "/tile%2F0%2F000", "/checkpoin%74", "/tile/0/000?", "/tile/0/000?x=1", "/checkpoint?x",
	"/tile/entries", "/tile/entries/", "/tile/entries/0", "/tile/entries/000.p/256", "/tile/-1/000", "/tile/+1/000", "/tile/0/000.P/1",
	"/tile/data/000", "/tile/0/x009/x223/x372/x036/x854/x775/808", "/tile/0/000.p/-1",
}

func TestOneURLForAnObject(t *testing.T) {
	f := &fakeLog{}
	h := New(f, 1<<20, nil)
	for _, path := range otherPaths {
		w := ask(h, "GET", path)
		if w.Code != 404 || w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Body.String(), `{"code":5,`) {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
	if n := f.calls.Load(); n != 0 {
		t.Errorf("the log was asked %d times", n)
	}
}

func TestErrors(t *testing.T) {
	secret := errors.New("dial tcp db.internal:3306: user root")
	for _, c := range []struct {
		err   error
		code  int
		fault bool
	}{
		{fmt.Errorf("%w: tile/0/000; the log's size is 3", translog.ErrNotFound), 404, false},
		{fmt.Errorf("%w: %v", translog.ErrUnavailable, secret), 503, false},
		{secret, 500, true},
		{context.Canceled, 499, false},
	} {
		h := New(&fakeLog{err: c.err}, 1<<20, nil)
		var fault error
		h.Fault = func(_ context.Context, err error) { fault = err }
		for _, path := range []string{"/tile/0/000", "/tile/entries/000.p/3", "/checkpoint"} {
			w := ask(h, "GET", path, "Accept-Encoding", "gzip")
			if w.Code != c.code || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Etag") != "" {
				t.Errorf("%v: %s: %d %v", c.err, path, w.Code, w.Header())
			}
			if strings.Contains(w.Body.String(), "db.internal") {
				t.Errorf("a client is shown %s", w.Body)
			}
			if (fault != nil) != c.fault || (c.code == 503) != (w.Header().Get("Retry-After") == "1") {
				t.Errorf("%v: fault %v, %v", c.err, fault, w.Header())
			}
		}
	}
}

func TestConstantMemory(t *testing.T) {
	const bound = 1 << 20
	f := &fakeLog{bundleLength: 300}
	h := New(f, bound, nil)
	for i := range int64(300) {
		for _, path := range []string{
			merkle.Bundle{Index: i, Width: 256}.Path(), merkle.Bundle{Index: i, Width: 255}.Path(),
			merkle.Tile{Level: 0, Index: i, Width: 256}.Path(), merkle.Tile{Level: 0, Index: i, Width: 255}.Path(),
		} {
			if w := ask(h, "GET", "/"+path); w.Code != 200 {
				t.Fatal(path, w.Code)
			}
			if n := h.full.Bytes() + h.partial.Bytes(); n > bound {
				t.Fatalf("%d bytes are kept of %d", n, bound)
			}
		}
	}
	if h.full.Bytes() < bound/2 || h.partial.Bytes() == 0 {
		t.Fatalf("only %d and %d bytes are kept", h.full.Bytes(), h.partial.Bytes())
	}
}

func TestPartialTilesDisplaceNoFullOnes(t *testing.T) {
	f := &fakeLog{}
	h := New(f, 256<<10, nil)
	ask(h, "GET", "/tile/0/000")
	for i := range 1000 {
		ask(h, "GET", fmt.Sprintf("/tile/0/%03d.p/255", i))
	}
	before := f.calls.Load()
	ask(h, "GET", "/tile/0/000")
	if f.calls.Load() != before {
		t.Fatal("the full tile was made again")
	}
}

func TestFewLoadsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeLog{hold: make(chan struct{})}
		h := New(f, 1<<20, nil)
		maxLoads := int64(answers.HeavyPlaces())
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if w := ask(h, "GET", fmt.Sprintf("/tile/entries/%03d", i%30)); w.Code != 200 {
					t.Error(w.Code)
				}
			})
		}
		synctest.Wait()
		if n := f.now.Load(); n != maxLoads {
			t.Errorf("%d loads are going on", n)
		}
		close(f.hold)
		wg.Wait()
		if f.most.Load() != maxLoads || f.calls.Load() != 30 {
			t.Errorf("at most %d at a time, %d in all", f.most.Load(), f.calls.Load())
		}
	})
}

func TestAStuckDatabaseIsNotWaitedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(&fakeLog{hold: make(chan struct{})}, 1<<20, nil)
		if w := ask(h, "GET", "/tile/0/000"); w.Code != 504 {
			t.Error(w.Code, w.Body)
		}
	})
}

// shape is what paths look like; numbers checks their numbers.
var shape = regexp.MustCompile(`^/tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?$`)

func isPath(path string) bool {
	m := shape.FindStringSubmatch(path)
	if m == nil || strings.HasPrefix(m[2], "x000/") {
		return false
	}
	if level, err := strconv.Atoi(m[1]); err == nil && level > 63 {
		return false
	}
	if _, err := strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(m[2]), 10, 64); err != nil {
		return false
	}
	w, _ := strconv.Atoi(m[3])
	return w < 256
}

func FuzzPath(f *testing.F) {
	for _, p := range append(otherPaths, "/tile/0/000", "/tile/63/x001/x234/067.p/255", "/tile/entries/x999/999", "/checkpoint") {
		f.Add(p)
	}
	h := New(&fakeLog{}, 1<<20, nil)
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") || strings.Contains(target, "#") {
			return // it is part of the host, a port (":/" is an empty one), or is not sent to a server
		}
		r, err := http.NewRequest("GET", "http://log.example.com"+target, nil)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		// Tiles that would be of more than 2^63 entries are refused as well.
		want := isPath(target) || target == "/checkpoint"
		if w.Code == 200 && !want || w.Code != 200 && want && len(target) < 24 {
			t.Fatalf("%q: %d", target, w.Code)
		}
	})
}

// static is plain net/http's answer with the same bytes.
func static(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(body)
	}
}

func BenchmarkFullTile(b *testing.B) {
	h := New(&fakeLog{bundleLength: 1024}, 4<<20, nil)
	for _, c := range []struct {
		name, path string
		h          http.Handler
	}{
		{"tile", "/tile/0/000", h},
		{"bundle", "/tile/entries/000", h},
		{"net-http-8K", "/tile/0/000", static(make([]byte, 8192))},
		{"net-http-256K", "/tile/entries/000", static(make([]byte, 256<<10))},
	} {
		b.Run(c.name, func(b *testing.B) { serve(b, c.h, c.path) })
	}
}

func serve(b *testing.B, h http.Handler, path string) {
	s := httptest.NewServer(h)
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Get(s.URL + path)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}

// entriesLog is a log whose bundles are some.
type entriesLog struct {
	fakeLog
	entry []byte
}

func (e *entriesLog) Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error) {
	if _, err := e.load(ctx, b.Path(), 1); err != nil {
		return nil, err
	}
	var data []byte
	for range b.Width {
		data, _ = merkle.AppendBundleEntry(data, e.entry)
	}
	return data, nil
}

// All widths of a bundle, large ones too, cost one load, and are kept.
func TestPartialBundlesAreLoadedOnce(t *testing.T) {
	log := &entriesLog{fakeLog: fakeLog{size: 256 + 200}, entry: make([]byte, 65535)}
	h := New(log, 48<<20, nil)
	tags := map[string]bool{}
	for range 2 {
		for _, width := range []int{1, 100, 200} {
			for index := range 2 {
				path := "/" + merkle.Bundle{Index: int64(index), Width: width}.Path()
				w := ask(h, "GET", path)
				if _, err := merkle.ParseBundle(w.Body.Bytes(), width); w.Code != 200 || err != nil || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
					t.Fatalf("%s: %d, %d bytes, %v", path, w.Code, w.Body.Len(), err)
				}
				tag := w.Header().Get("Etag")
				if ask(h, "GET", path, "If-None-Match", tag).Code != 304 {
					t.Errorf("%s: its tag %s does not match", path, tag)
				}
				tags[tag+w.Header().Get("Content-Length")] = true
			}
		}
	}
	if n := log.calls.Load(); n != 2 || len(tags) != 6 {
		t.Errorf("%d loads, and %d tags", n, len(tags))
	}
	ask(h, "GET", "/tile/entries/001.p/201") // the log says that there is none
	if n := log.calls.Load(); n != 3 {
		t.Errorf("%d loads", n)
	}
}

// What nobody asks to be compressed is not, and what is, once.
func TestCompressedOnce(t *testing.T) {
	h := New(&fakeLog{bundleLength: 1024}, 4<<20, nil)
	const path = "/tile/entries/000"
	ask(h, "GET", path)
	if _, ok := h.full.Peek("tile/entries/000.gz"); ok {
		t.Fatal("it was compressed")
	}
	ask(h, "GET", path, "Accept-Encoding", "gzip")
	first, ok := h.full.Peek("tile/entries/000.gz")
	ask(h, "GET", path, "Accept-Encoding", "gzip")
	if again, _ := h.full.Peek("tile/entries/000.gz"); !ok || again != first {
		t.Fatal("it was compressed again")
	}
	small := New(&fakeLog{bundleLength: 1024}, 100<<10, nil) // it is not kept
	if w := ask(small, "GET", path, "Accept-Encoding", "gzip"); w.Code != 200 || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// Beyond those that wait, readers are told to come back at once.
func TestTooManyLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeLog{hold: make(chan struct{})}
		h := New(f, 1<<20, nil)
		codes := make(chan int, 300)
		for i := range 300 {
			go func() { codes <- ask(h, "GET", fmt.Sprintf("/tile/entries/%03d", i)).Code }()
		}
		synctest.Wait()
		if n := len(codes); n < 200 {
			t.Errorf("%d of 300 were told at once", n)
		}
		for range len(codes) {
			if code := <-codes; code != 503 {
				t.Errorf("told %d", code)
			}
		}
		close(f.hold)
	})
}

// slowLog takes its time for a bundle.
type slowLog struct {
	*fakeLog
	each time.Duration
}

func (s slowLog) Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error) {
	time.Sleep(s.each)
	return s.fakeLog.Bundle(ctx, b)
}

// Sixteen readers of what nobody has read before wait for each other, and are all
// answered.
func TestSixteenColdReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := answers.New(0)
		h := gate.HTTP(New(slowLog{&fakeLog{}, time.Duration(answers.HeavyPlaces()) * 250 * time.Millisecond}, 1<<20, gate))
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if w := ask(h, "GET", fmt.Sprintf("/tile/entries/%03d", i)); w.Code != 200 {
					t.Error(w.Code)
				}
			})
		}
		wg.Wait()
	})
}
