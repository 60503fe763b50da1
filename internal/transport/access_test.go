package transport

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"indelible/internal/requestid"
)

// accessLines are the lines of an access log, without their time.
func accessLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if l["msg"] != "request" {
			continue
		}
		if took, ok := l["seconds"].(float64); !ok || took < 0 {
			t.Errorf("%v", l)
		}
		for _, varies := range []string{"time", "msg", "level", "seconds"} {
			delete(l, varies)
		}
		lines = append(lines, l)
	}
	return lines
}

// same compares two values as JSON.
func same(t *testing.T, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g, w) {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// A request over HTTP has the id that it came with, or a new one, in its context, in
// its answer, and in what the log says of it.
func TestRequestsAreNamed(t *testing.T) {
	var said bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&said, nil))
	inside := ""
	access := &AccessLog{Log: logger}
	h := HTTPServer(ObserveHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside = requestid.Of(r.Context())
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "12345")
	}), access.HTTP), time.Minute, logger).Handler
	for _, c := range []struct{ header, value, want string }{
		{"X-Request-Id", "from-a-proxy", "from-a-proxy"},
		{"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"X-Request-Id", "not one\n", ""},
	} {
		said.Reset()
		r := httptest.NewRequest("PUT", "/a%20b/"+strings.Repeat("c", 1000)+"?token=secret", strings.NewReader("secret"))
		r.Header.Set(c.header, c.value)
		r.Header.Set("Authorization", "secret")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		if id == "" || id != inside || c.want != "" && id != c.want || c.want == "" && len(id) != 32 {
			t.Errorf("%q: the answer has %q, and inside it was %q", c.value, id, inside)
		}
		same(t, accessLines(t, said.String()), []map[string]any{{
			"api": "http", "method": "PUT", "path": ("/a%20b/" + strings.Repeat("c", 1000))[:shownPath] + "…", "status": 418, "bytes": 5, "client": "192.0.2.1", "request": id,
		}})
		if strings.Contains(said.String(), "secret") {
			t.Errorf("it says %s", said.String())
		}
	}
	h = HTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") }), time.Minute, logger).Handler
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if id := w.Header().Get("X-Request-Id"); id == "" || !strings.Contains(said.String(), `"request":"`+id+`"`) {
		t.Errorf("%q; the log says %s", id, said.String())
	}
}
