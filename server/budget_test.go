package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/internal/transport"
	"indelible/server"
	"indelible/server/admission"
	"indelible/server/native"
	"indelible/server/rekorv1"
	"indelible/server/rekorv2"
	"indelible/server/tiles"
)

const rekorV1Entries = "/api/v1/log/entries"

// everyAPI is what a server answers on its HTTP port over a log.
func everyAPI(tb testing.TB, log *fakeLog, budget *transport.Budget) http.Handler {
	tb.Helper()
	return everyAPISharing(tb, log, budget, nil)
}

// everyAPISharing is everyAPI with clients that share processors.
func everyAPISharing(tb testing.TB, log *fakeLog, budget *transport.Budget, turns *admission.Admission) http.Handler {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	v1, err := rekorv1.New(rekorv1.Config{Log: log, Key: rekorv1.LocalKey(key), Host: origin, TreeID: 7, Kinds: allKinds, Admission: turns})
	if err != nil {
		tb.Fatal(err)
	}
	h, err := server.Handler(tb.Context(), server.Config{
		Native: native.New(native.Config{Log: log, Kinds: allKinds, Admission: turns}), Tiles: tiles.New(log, 1<<20, nil),
		RekorV2: rekorv2.New(rekorv2.Config{Log: log, KeyID: keyID, Kinds: allKinds, Admission: turns}).Handler(), RekorV1: v1,
		Size: func() int64 { return 0 }, Budget: budget, Admission: turns,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// upload sends a request whose body is held open after what is sent of it.
type upload struct {
	w    *io.PipeWriter
	rec  *httptest.ResponseRecorder
	done chan struct{}
}

func begin(h http.Handler, path string, sent []byte) *upload {
	r, w := io.Pipe()
	u := &upload{w: w, rec: httptest.NewRecorder(), done: make(chan struct{})}
	request := httptest.NewRequest(http.MethodPost, path, r)
	request.Header.Set("Content-Type", "application/json")
	go func() {
		defer close(u.done)
		h.ServeHTTP(u.rec, request)
		r.Close() // the handler is gone: nobody reads any more
	}()
	// The last byte is read when the others were counted; or nothing is read any more.
	w.Write(sent[:len(sent)-1])
	w.Write(sent[len(sent)-1:])
	return u
}

func (u *upload) end() *httptest.ResponseRecorder {
	u.w.Close()
	<-u.done
	return u.rec
}

// TestSlowBodiesHaveABudget: large bodies that do not end are refused where there
// is no room for more of them, each API in its own words; small requests are
// answered all the while, and large ones when those have ended.
func TestSlowBodiesHaveABudget(t *testing.T) {
	synctest.Test(t, slowBodiesHaveABudget)
}

func slowBodiesHaveABudget(t *testing.T) {
	const mib = 1 << 20
	h := everyAPI(t, &fakeLog{}, transport.NewBudget(3*mib))
	part := bytes.Repeat([]byte(" "), mib-1)
	var slow []*upload
	for _, path := range []string{"/v1/entries", rekorEntries, rekorV1Entries} {
		slow = append(slow, begin(h, path, part))
	}
	for path, wantCode := range map[string]float64{"/v1/entries": 14, "/v1/entries:batch": 14, rekorEntries: 14, rekorV1Entries: 503} {
		rec := begin(h, path, part).end()
		var f map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &f); err != nil {
			t.Fatalf("%s: %v: %s", path, err, rec.Body)
		}
		message, _ := f["message"].(string)
		if rec.Code != http.StatusServiceUnavailable || f["code"] != wantCode || rec.Header().Get("Retry-After") != "1" || !strings.Contains(message, "try again") {
			t.Errorf("%s: %d %v %s", path, rec.Code, rec.Header(), rec.Body)
		}
	}
	small := newSigner(t).request(t, "small")
	if rec := begin(h, "/v1/entries", small).end(); rec.Code != http.StatusOK {
		t.Errorf("a small request: %d %s", rec.Code, rec.Body)
	}
	for _, u := range slow {
		u.end()
	}
	padded := append(part, small...)
	if rec := begin(h, "/v1/entries", padded).end(); rec.Code != http.StatusOK {
		t.Errorf("a large request, when there is room again: %d %s", rec.Code, rec.Body)
	}
}

// TestManySmallBodiesHaveABudget, too: those that came first give way, and each
// API says so in its own words.
func TestManySmallBodiesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kib = 1 << 10
		h := everyAPI(t, &fakeLog{}, transport.NewBudget(64*kib)) // and a quarter of that for small ones
		part := bytes.Repeat([]byte(" "), 60*kib)
		var slow []*upload
		for _, path := range []string{"/v1/entries", rekorEntries, rekorV1Entries} {
			slow = append(slow, begin(h, path, part))
			time.Sleep(time.Second)
		}
		last := begin(h, "/v1/entries", part)
		for _, u := range slow {
			if rec := u.end(); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), "too slowly") {
				t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
			}
		}
		if rec := last.end(); rec.Code != http.StatusBadRequest {
			t.Errorf("the last: %d %s", rec.Code, rec.Body)
		}
	})
}
