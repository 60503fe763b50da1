package transport

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"indelible/internal/requestid"
)

// nameRequests gives each request its id, which its answer has too.
func nameRequests(next http.Handler) http.Handler {
	first := func(values []string) string {
		if len(values) == 0 {
			return ""
		}
		return values[0]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestid.Choose(first(r.Header[requestid.Header]), first(r.Header["Traceparent"]))
		w.Header()[requestid.Header] = []string{id}
		next.ServeHTTP(w, r.WithContext(requestid.With(r.Context(), id)))
	})
}

// Answered is what became of a request over HTTP.
type Answered struct {
	Status int
	Bytes  int64 // of the answer's body
	Took   time.Duration
}

// AccessLog writes a line for each request that was answered: which, by whom, and
// what became of it. It has no query, no header and no body.
type AccessLog struct {
	Log *slog.Logger
	// Client names the client of a request over HTTP; nil: its address.
	Client func(*http.Request) string
}

// Maximum bytes of what clients make up.
const (
	shownPath   = 256
	shownMethod = 16
)

// HTTP is for ObserveHTTP.
func (a *AccessLog) HTTP(r *http.Request, got Answered) {
	client := clientAddress
	if a.Client != nil {
		client = a.Client
	}
	a.Write(r.Context(), client(r), "http", cut(r.Method, shownMethod), cut(r.URL.EscapedPath(), shownPath), slog.Int("status", got.Status), got.Bytes, got.Took)
}

// Write writes the line of a request over any protocol. status is its HTTP status or
// the code of its protocol; bytes are those of the answer.
func (a *AccessLog) Write(ctx context.Context, client, api, method, path string, status slog.Attr, bytes int64, took time.Duration) {
	a.Log.LogAttrs(ctx, slog.LevelInfo, "request", slog.String("api", api), slog.String("method", method), slog.String("path", path), status,
		slog.Int64("bytes", bytes), slog.Float64("seconds", took.Seconds()), slog.String("client", client), slog.String("request", requestid.Of(ctx)))
}

func clientAddress(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

func cut(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
