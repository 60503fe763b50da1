package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/merkle"
)

// over serves requests in the test's own process.
type over struct{ http.Handler }

func (o over) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	o.ServeHTTP(rec, r)
	r.Body.Close()
	return rec.Result(), nil
}

func (w *world) client(h http.Handler) *Client {
	w.t.Helper()
	c, err := NewClient(ClientConfig{URL: "http://mirror.example", HTTP: &http.Client{Transport: over{h}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) push(c *Client, tr *tree) error {
	if err := c.AddCheckpoint(w.t.Context(), tr.note(w.t), tr.size, tr); err != nil {
		return err
	}
	lines, err := c.AddEntries(w.t.Context(), tr.origin, tr.size, tr.size, tr)
	if err == nil && len(lines) != 2 {
		err = fmt.Errorf("%d cosignatures", len(lines))
	}
	return err
}

// The client brings a mirror from nothing to everything, in requests of 32
// packages, and goes on from there; again, compressed and not.
func TestClient(t *testing.T) {
	l := newLog(t, "log.example")
	for _, plain := range []bool{false, true} {
		w := newWorld(t, l)
		requests := 0
		c := w.client(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			requests++
			if r.URL.Path == "/add-entries" && (r.Header.Get("Content-Encoding") == "gzip") == plain {
				t.Errorf("%q", r.Header)
			}
			w.server.ServeHTTP(rw, r)
		}))
		c.cfg.Plain = plain
		var have []int64
		c.cfg.Progress = func(n, _ int64) { have = append(have, n) }
		first := l.at(70*PackageSize + 17)
		if err := w.push(c, first); err != nil {
			t.Fatal(err)
		}
		w.has(first)
		if requests != 1+1+3 || fmt.Sprint(have) != "[0 8192 16384 17937]" {
			t.Errorf("%d requests; it had %v", requests, have)
		}
		next := l.at(first.size + 300)
		if err := w.push(c, next); err != nil {
			t.Fatal(err)
		}
		w.has(next)
		if err := w.push(c, next); err != nil { // a fresh time
			t.Fatal(err)
		}
		var ahead *AheadError
		if err := w.push(c, first); !errors.As(err, &ahead) || ahead.Size != next.size {
			t.Errorf("an older checkpoint: %v", err)
		}
	}
}

// A newer checkpoint becomes pending while entries are sent: tickets let the
// upload end.
func TestClientTicket(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	one, two := l.at(40*PackageSize), l.at(41*PackageSize)
	requests := 0
	c := w.client(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.server.ServeHTTP(rw, r)
		if requests++; requests == 3 {
			w.pending(one.size, two)
			w.restart()
		}
	}))
	if err := w.push(c, one); err != nil {
		t.Fatal(err)
	}
	w.has(one)
}

// What may pass is tried again, and no sooner than the mirror says; what does not
// pass is not.
func TestClientRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, "log.example")
		w := newWorld(t, l)
		tr := l.at(300)
		fail := 0
		c := w.client(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if fail++; fail%2 == 1 {
				rw.Header().Set("Retry-After", []string{"7", time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)}[fail/2%2])
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.server.ServeHTTP(rw, r)
		}))
		start := time.Now()
		if err := w.push(c, tr); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 19*time.Second || took > 22*time.Second {
			t.Errorf("it took %s", took)
		}
		w.has(tr)
		for status, tries := range map[int]int64{http.StatusForbidden: 1, http.StatusUnprocessableEntity: 1, http.StatusFound: 1, http.StatusBadGateway: 5} {
			var asked atomic.Int64
			c := w.client(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				rw.Header().Set("Location", "http://user:secret@elsewhere.example/x")
				rw.WriteHeader(status)
			}))
			c.cfg.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			err := w.push(c, tr)
			if s := (*StatusError)(nil); !errors.As(err, &s) || s.Status != status || asked.Load() != tries || strings.Contains(err.Error(), "secret") {
				t.Errorf("%d: asked %d times: %v", status, asked.Load(), err)
			}
		}
	})
}

// A mirror that says the same for ever, or nonsense, is not asked for ever.
func TestClientLies(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(300)
	for name, c := range map[string]struct {
		status           int
		kind, body, text string
	}{
		"the same for ever":   {409, infoType, "300\n7\n\n", "again and again"},
		"no progress":         {202, infoType, "300\n0\n\n", "again and again"},
		"another type":        {409, "text/plain", "300\n7\n\n", infoType},
		"no info":             {202, infoType, "300\n", "mirror-info"},
		"another checkpoint":  {409, infoType, "301\n7\n\n", "size 301 already"},
		"no signatures":       {200, "text/plain", "thanks", "signature"},
		"an endless answer":   {200, "text/plain", strings.Repeat("x", maxAnswer+1), "more than"},
		"beyond what it gets": {202, infoType, "300\n301\n\n", "again and again"},
	} {
		c2 := w.client(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/add-checkpoint" {
				return
			}
			rw.Header().Set("Content-Type", c.kind)
			rw.WriteHeader(c.status)
			rw.Write([]byte(c.body))
		}))
		c2.cfg.Tries = 1
		if err := w.push(c2, tr); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// broken is a tree that cannot be read.
type broken struct{ *tree }

func (b broken) Entries(context.Context, int64, int64) ([][]byte, error) {
	return nil, errors.New("the disk is broken")
}

// That what is pushed cannot be read is said, and not blamed on the mirror.
func TestClientBrokenTree(t *testing.T) {
	l := newLog(t, "log.example")
	w := newWorld(t, l)
	tr := l.at(300)
	s := httptest.NewServer(w.server)
	defer s.Close()
	c, err := NewClient(ClientConfig{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddCheckpoint(t.Context(), tr.note(t), tr.size, tr); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddEntries(t.Context(), tr.origin, 0, tr.size, broken{tr}); err == nil || !strings.Contains(err.Error(), "the disk is broken") {
		t.Error(err)
	}
}

// What is read from tiles proves the same.
func TestTreeOf(t *testing.T) {
	tr := newLog(t, "log.example").at(70_000)
	from := TreeOf(tiles{tr}, tr.size)
	for _, start := range []int64{0, 256, 69_888} {
		got, err := from.Subtree(t.Context(), start, min(start+256, tr.size))
		want, _ := tr.Subtree(t.Context(), start, min(start+256, tr.size))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("from %d: %v", start, err)
		}
	}
}

type tiles struct{ *tree }

func (t tiles) Tile(_ context.Context, tile merkle.Tile) ([]byte, error) {
	if n := t.full[merkle.Tile{Level: tile.Level, Index: tile.Index}]; n != nil {
		return n.Encode(tile.Width), nil
	}
	return merkle.EncodeTile(t.edge.Partial(tile.Level)), nil
}
