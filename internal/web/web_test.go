package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow answers after a pause, and then sends a byte after each further one. What
// it has sent it follows with silence.
type slow struct {
	before time.Duration
	pauses []time.Duration
}

func (s slow) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
	}
	if err := rest(req.Context(), s.before); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &dripping{req.Context(), s.pauses}, Request: req}, nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type dripping struct {
	ctx    context.Context
	pauses []time.Duration
}

func (d *dripping) Read(b []byte) (int, error) {
	pause := 1000 * time.Hour
	if len(d.pauses) > 0 {
		pause, d.pauses = d.pauses[0], d.pauses[1:]
	}
	if pause < 0 {
		return 0, io.EOF
	}
	if err := rest(d.ctx, pause); err != nil {
		return 0, err
	}
	return copy(b, "x"), nil
}

func (d *dripping) Close() error { return nil }

const limit = 30 * time.Second

func TestStalling(t *testing.T) {
	const sec = time.Second
	for name, c := range map[string]struct {
		log     slow
		stalled bool
		took    time.Duration
	}{
		"no answer":         {slow{before: time.Hour}, true, 30 * sec},
		"an answer in time": {slow{before: 29 * sec, pauses: []time.Duration{-1}}, false, 29 * sec},
		"a slow body":       {slow{before: 29 * sec, pauses: []time.Duration{29 * sec, 29 * sec, 29 * sec, -1}}, false, 116 * sec},
		"half a body":       {slow{pauses: []time.Duration{sec, sec}}, true, 32 * sec},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: Stalling(c.log, limit)}
				start := time.Now()
				res, err := client.Get("http://log.example")
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				var stalled *StalledError
				if errors.As(err, &stalled) != c.stalled || (err == nil) == c.stalled || time.Since(start) != c.took {
					t.Errorf("%v after %v, and not after %v", err, time.Since(start), c.took)
				}
				if c.stalled && (!strings.Contains(err.Error(), "not a byte came for 30s") || errors.Is(err, context.Canceled)) {
					t.Error(err)
				}
			})
		})
	}
}

// The pauses of a reader are not the log's, and what a user ends is not stalled.
func TestStallingIsTheLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: Stalling(slow{pauses: []time.Duration{1, 1, -1}}, limit)}
		res, err := client.Post("http://log.example", "", io.MultiReader(strings.NewReader("a"), strings.NewReader("b")))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			time.Sleep(time.Hour)
			if _, err := res.Body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := res.Body.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		res.Body.Close()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://log.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		client.Transport = Stalling(slow{before: time.Hour}, limit)
		if _, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A redirect goes where the policy lets it go, and otherwise is the answer.
func TestRedirects(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	to, status := "", 0
	log := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, to, status)
		}
	}))
	defer log.Close()
	for _, c := range []struct {
		method, to string
		status     int
		same, any  int // the status in the end, by each policy
		elsewhere  int // requests to the other host by both together
	}{
		{"GET", "/to", 301, 200, 200, 0},
		{"GET", log.URL + "/to", 307, 200, 200, 0},
		{"GET", other.URL, 302, 302, 200, 1},
		{"GET", "/from", 302, 302, 302, 0},
		{"POST", "/to", 307, 307, 200, 0},
		{"POST", other.URL, 308, 308, 200, 1},
		{"POST", other.URL, 302, 302, 302, 0},
		{"POST", "/to", 301, 301, 301, 0},
	} {
		asked, to, status = 0, c.to, c.status
		for policy, want := range map[*http.Client]int{{CheckRedirect: SameHost}: c.same, {CheckRedirect: AnyHost}: c.any} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, log.URL+"/from", strings.NewReader("an entry"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := policy.Do(req)
			if err != nil || res.StatusCode != want {
				t.Fatalf("%+v: %v, %+v, and not %d", c, err, res, want)
			}
			res.Body.Close()
		}
		if asked != c.elsewhere {
			t.Errorf("%+v: the other host was asked %d times", c, asked)
		}
	}
}

func TestNoDowngrade(t *testing.T) {
	from, _ := http.NewRequest("GET", "https://log.example/a", nil)
	to, _ := http.NewRequest("GET", "http://log.example/b", nil)
	if err := SameHost(to, []*http.Request{from}); err != http.ErrUseLastResponse {
		t.Error("https led to http")
	}
	if err := SameHost(from, []*http.Request{to}); err != nil {
		t.Error(err)
	}
}
