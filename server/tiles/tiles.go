// Package tiles serves a log as C2SP tlog-tiles: /checkpoint, /tile/<L>/<N>
// and /tile/entries/<N>, whole or partial.
//
// Each object has one path, and every other spelling is a 404, so that caches
// hold one copy. What is served under a tile's path never changes, and says so;
// partial tiles are made on the fly, of every size, for ever. Full tiles and
// bundles are kept ready to send, in memory bounded in bytes.
package tiles

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"indelible/internal/bytecache"
	translog "indelible/log"
	"indelible/merkle"
)

// Log is what the tiles are made from.
type Log interface {
	Published() (translog.Published, error)
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
	Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error)
}

var _ Log = (*translog.Log)(nil)

// Handler serves the tiles of one log.
type Handler struct {
	log   Log
	ready *bytecache.Cache[string, *object]
	v     header
}

// object is a response ready to send.
type object struct {
	body, gzipped      []byte // gzipped: nil where it is not worth it
	etag               []string
	length, gzipLength []string
}

// New makes a Handler that keeps up to cacheBytes of responses.
func New(log Log, cacheBytes int64) *Handler {
	size := func(path string, o *object) int64 { return int64(len(path) + len(o.body) + len(o.gzipped) + 300) }
	return &Handler{log: log, ready: bytecache.New(cacheBytes, size), v: values()}
}

// Header values that all responses share; they are never modified.
type header struct{ octets, text, immutable, fresh, any, encodings, gzip []string }

func values() header {
	return header{
		octets:    []string{"application/octet-stream"},
		text:      []string{"text/plain; charset=utf-8"},
		immutable: []string{"public, max-age=604800, immutable"},
		fresh:     []string{"public, max-age=1"},
		any:       []string{"*"},
		encodings: []string{"Accept-Encoding"},
		gzip:      []string{"gzip"},
	}
}

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	v := h.v
	head["Access-Control-Allow-Origin"] = v.any
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		head.Set("Access-Control-Allow-Methods", "GET, HEAD")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		head.Set("Allow", "GET, HEAD, OPTIONS")
		fail(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
		return
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if path == "checkpoint" {
		h.checkpoint(w, r, v)
		return
	}
	o, err := h.object(r.Context(), path)
	if err != nil {
		failWith(w, err)
		return
	}
	head["Content-Type"], head["Cache-Control"] = v.octets, v.immutable
	send(w, r, o, v)
}

func (h *Handler) checkpoint(w http.ResponseWriter, r *http.Request, v header) {
	p, err := h.log.Published()
	if err != nil {
		failWith(w, err)
		return
	}
	w.Header()["Content-Type"], w.Header()["Cache-Control"] = v.text, v.fresh
	send(w, r, newObject(p.Note, false), v)
}

// errPath: there is no such path.
var errPath = errors.New("this is not the path of a tile, such as tile/0/x001/067, or of an entry bundle, such as tile/entries/000.p/12")

// object returns what a path names. Only full ones are kept: a partial one is
// soon of no interest.
func (h *Handler) object(ctx context.Context, path string) (*object, error) {
	if o, ok := h.ready.Peek(path); ok {
		return o, nil
	}
	if t, err := merkle.ParseTilePath(path); err == nil {
		return h.load(ctx, path, t.Width, false, func(ctx context.Context) ([]byte, error) { return h.log.Tile(ctx, t) })
	}
	if b, err := merkle.ParseBundlePath(path); err == nil {
		return h.load(ctx, path, b.Width, true, func(ctx context.Context) ([]byte, error) { return h.log.Bundle(ctx, b) })
	}
	return nil, errPath
}

func (h *Handler) load(ctx context.Context, path string, width int, compress bool, fetch func(context.Context) ([]byte, error)) (*object, error) {
	make := func(ctx context.Context) (*object, error) {
		body, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		return newObject(body, compress), nil
	}
	if width < merkle.TileWidth {
		return make(ctx)
	}
	return h.ready.Get(ctx, path, make)
}

func newObject(body []byte, compress bool) *object {
	sum := sha256.Sum256(body)
	o := &object{body: body, etag: []string{`"` + hex.EncodeToString(sum[:16]) + `"`}, length: []string{strconv.Itoa(len(body))}}
	if !compress {
		return o
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(body) // a Buffer takes everything
	if z.Close() == nil && b.Len() < len(body)*9/10 {
		o.gzipped, o.gzipLength = b.Bytes(), []string{strconv.Itoa(b.Len())}
	}
	return o
}

// send writes an object as the request wants it.
func send(w http.ResponseWriter, r *http.Request, o *object, v header) {
	head := w.Header()
	head["Etag"] = o.etag
	body, length := o.body, o.length
	if o.gzipped != nil {
		head["Vary"] = v.encodings
		if acceptsGzip(r) {
			body, length = o.gzipped, o.gzipLength
			head["Content-Encoding"] = v.gzip
			// One tag for each encoding: they are different bytes.
			head.Set("Etag", strings.TrimSuffix(o.etag[0], `"`)+`-gzip"`)
		}
	}
	if notModified(r, head.Get("Etag")) {
		head.Del("Content-Encoding")
		head.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head["Content-Length"] = length
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

func notModified(r *http.Request, etag string) bool {
	asked := r.Header["If-None-Match"]
	if len(asked) == 0 {
		return false
	}
	for tag := range strings.SplitSeq(strings.Join(asked, ","), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == etag || tag == "*" {
			return true
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding as far as it matters: gzip, not refused by
// q=0.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, q, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q = strings.ReplaceAll(q, " ", "")
				return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
			}
		}
	}
	return false
}

func failWith(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errPath), errors.Is(err, translog.ErrNotFound):
		fail(w, http.StatusNotFound, err.Error())
	case errors.Is(err, context.Canceled):
		fail(w, 499, "the client is gone")
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "the log is not available at present; try again")
	}
}

// fail writes an error. Nothing may keep it: a partial tile that is not there
// yet may be there in a second.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header()["Cache-Control"] = []string{"no-store"}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write([]byte(message + "\n"))
}
