// Package server joins what a log answers on its HTTP port: the native API as
// REST, the tiles, and the pages for people who look.
//
//	/v1/…            the native API (server/native), by grpc-gateway, in process;
//	                 and /v1/entries/{index}/proof, a proof file
//	/api/v2/…        Rekor v2's (server/rekorv2)
//	/api/v1/…        Rekor v1's (server/rekorv1), and its /ping
//	/trust/…         the files with which clients trust the log (server/trustfiles)
//	/checkpoint      C2SP tlog-tiles (server/tiles)
//	/tile/…
//	/log.vkey        the log's verifier keys, one a line
//	/openapi.json    the native API, described
//	/healthz         {"status":"SERVING"}; 503, NOT_SERVING and why, while the log cannot take entries
//	/                a page to look entries up on, and to see them proven (package page)
//	/page/…          its files
//
// # REST
//
// JSON is protojson's, with every field written: int64 are strings, bytes are
// base64. A request is one JSON value and nothing else, whatever its
// Content-Type says; an unknown field, an unknown query parameter and a field
// given twice are errors. Errors have the shape of server/failure.
package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	pb "indelible/api/proto/indelible/v1"
	"indelible/internal/answers"
	"indelible/internal/transport"
	"indelible/page"
	"indelible/server/admission"
	"indelible/server/failure"
	"indelible/server/rest"
)

// DefaultMaxBody is the most bytes of a request's body: a batch of 1,024 signed
// entries with certificates fits (some 3 KiB each). What many requests hold at
// once is bounded by a transport.Budget.
const DefaultMaxBody = 8 << 20

// Config is what the handler is made from.
type Config struct {
	Native  pb.LogServer
	Tiles   http.Handler // serves /checkpoint and /tile/
	RekorV2 http.Handler // serves /api/v2/; nil: it is turned off
	RekorV1 http.Handler // serves /api/v1/ and /ping; nil: it is turned off
	Trust   http.Handler // serves /trust/; nil: nothing is there
	Origin  string
	// PublicURL is the log's URL as clients reach it; empty: the one each used.
	PublicURL string
	Keys      []string // vkeys
	Version   string   // of the program, for the page; empty: it is not said
	Size      func() int64
	Ready     func() error      // why the log cannot take entries; clients are told it in the words of failure.Reason; nil: it always can
	MaxBody   int64             // bytes; DefaultMaxBody
	Budget    *transport.Budget // of the bodies of all requests; nil: one of its default size
	// Admission says which client a request is of; nil: its address.
	Admission *admission.Admission
	Answers   *answers.Gate // of what answers to reads cost: the one that the APIs have; nil: they hold what they like
}

// Handler makes the handler of the HTTP port.
func Handler(ctx context.Context, cfg Config) (http.Handler, error) {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Budget == nil {
		cfg.Budget = transport.NewBudget(0)
	}
	if cfg.Admission == nil {
		cfg.Admission = admission.New(admission.Config{})
	}
	native, err := restHandler(ctx, cfg.Native)
	if err != nil {
		return nil, err
	}
	vkeys := strings.Join(cfg.Keys, "\n") + "\n"
	look := page.New()
	v1, v2 := cfg.RekorV1, cfg.RekorV2
	if v1 == nil {
		v1 = http.HandlerFunc(v1Off)
	}
	if v2 == nil {
		v2 = http.HandlerFunc(v2Off)
	}
	h := &handler{
		mounts: []mount{
			{"/v1/", cors(cfg.Admission.Writes(proofFiles(cfg.Native, rest.LimitBody(native, cfg.MaxBody, cfg.Admission.Decode)), failure.WriteError))},
			{"/checkpoint", cfg.Tiles},
			{"/tile/", cfg.Tiles},
			{"/api/v2/", v2},
			{"/api/v1/", v1},
			{"/ping", v1},
			{"/trust/", cfg.Trust},
			{"/" + page.Prefix, pageFiles(look)},
		},
		pages: map[string]http.HandlerFunc{
			"/log.vkey":     text("text/plain; charset=utf-8", vkeys),
			"/openapi.json": text("application/json", pb.OpenAPI()),
			"/healthz":      healthz(cfg.Ready),
			"/":             landing(cfg, look),
		},
	}
	var handler http.Handler = h
	if cfg.Answers != nil {
		handler = cfg.Answers.HTTP(h)
	}
	return cfg.Admission.HTTP(cfg.Budget.Bodies(handler)), nil
}

// mount is a handler, and the path that it serves, or what is below where the
// path ends in a slash.
type mount struct {
	path string
	http.Handler
}

func (m mount) serves(path string) bool {
	if m.Handler == nil {
		return false
	}
	return path == m.path || strings.HasSuffix(m.path, "/") && strings.HasPrefix(path, m.path)
}

// v1Off answers for Rekor v1's API where the operator turned it off, in the shape
// of that API's errors.
func v1Off(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	sendJSON(w, http.StatusNotFound, fmt.Sprintf(`{"code":%d,"message":"Rekor v1's API is turned off on this server; its operator turns it on with --rekor-v1"}`, http.StatusNotFound))
}

func v2Off(w http.ResponseWriter, _ *http.Request) {
	failure.Write(w, http.StatusNotFound, codes.NotFound, "Rekor v2's API is turned off on this server; its operator turns it on with --rekor-v2")
}

// healthz is gRPC's health protocol over HTTP, as Rekor v2's servers have it, with
// the reason for a bad answer.
func healthz(ready func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if ready == nil {
			ready = func() error { return nil }
		}
		err := ready()
		if err == nil {
			sendJSON(w, http.StatusOK, `{"status":"SERVING"}`)
			return
		}
		body, err := json.Marshal(struct {
			Status  string `json:"status"`
			Message string `json:"message,omitempty"`
		}{"NOT_SERVING", failure.Reason(err)})
		if err != nil { // never, of two texts
			body = []byte(`{"status":"NOT_SERVING"}`)
		}
		sendJSON(w, http.StatusServiceUnavailable, string(body))
	}
}

// sendJSON answers with what is true at this moment only.
func sendJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, body+"\n")
}

// handler routes by the path as it was sent. http.ServeMux would clean it
// first, and so give one tile many URLs.
type handler struct {
	mounts []mount
	pages  map[string]http.HandlerFunc
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if clean := rekorPath(r.URL.Path); clean != r.URL.Path && r.URL.RawPath == "" {
		url := *r.URL
		url.Path = clean
		r = r.WithContext(r.Context())
		r.URL = &url
	}
	path := r.URL.EscapedPath()
	for _, m := range h.mounts {
		if m.serves(path) {
			m.ServeHTTP(w, r)
			return
		}
	}
	switch page := h.pages[path]; {
	case page == nil:
		failure.Write(w, http.StatusNotFound, codes.NotFound, fmt.Sprintf("there is nothing at %.200q", path))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%s takes GET and HEAD, and not %.20q", path, r.Method))
	default:
		page(w, r)
	}
}

// cors lets pages of other servers read the native API, as they may read tiles.
// What adds entries they may not.
func cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allow := methods(r.URL.EscapedPath())
		if r.Method == http.MethodPost || !strings.HasPrefix(allow, http.MethodGet) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD")
		w.Header().Set("Access-Control-Allow-Headers", "If-None-Match")
		w.Header().Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	})
}

// pageFiles serves the files of the page.
func pageFiles(p *page.Page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		switch name := strings.TrimPrefix(path, "/"+page.Prefix); {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%.200q takes GET and HEAD, and not %.20q", path, r.Method))
		case !p.File(w, r, name):
			failure.Write(w, http.StatusNotFound, codes.NotFound, fmt.Sprintf("there is nothing at %.200q", path))
		}
	})
}

// rekorPath returns the path that Rekor's servers take a path of their API for:
// without slashes that are doubled or at the end. sigstore-js sends the first if
// its base URL ends in a slash, and sigstore-python the second. Any other path it
// returns as it is.
func rekorPath(path string) string {
	clean := path
	for strings.Contains(clean, "//") {
		clean = strings.ReplaceAll(clean, "//", "/")
	}
	switch {
	case strings.HasPrefix(clean, "/api/v1/"):
		return strings.TrimSuffix(clean, "/")
	case clean == "/api/v2/log/entries":
		return clean
	}
	return path
}

// text answers with what is the same as long as the program runs.
func text(contentType, body string) http.HandlerFunc {
	sum := sha256.Sum256([]byte(body))
	tag := fmt.Sprintf(`"%x"`, sum[:16])
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "no-cache") // it is asked again whether it is the same
		w.Header().Set("Etag", tag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	}
}
