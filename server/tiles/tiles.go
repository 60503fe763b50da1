// Package tiles serves a log as C2SP tlog-tiles: /checkpoint, /tile/<L>/<N>
// and /tile/entries/<N>, whole or partial.
//
//	GET /checkpoint
//	GET /tile/0/x001/067           a full tile, 8,192 bytes
//	GET /tile/1/000.p/17           the first 17 hashes of one
//	GET /tile/entries/x001/067     256 entries
//
// Each object has one URL. Every other spelling of it, percent-encoded, with a
// query or with dots, is not found, so that caches hold one copy. What is
// served under a tile's path never changes, and says so; partial tiles are made
// on the fly, of every size, for ever.
//
// What was made is kept ready to send, in memory bounded in bytes. Whoever
// reads all of the log, in whatever order, costs no more than that, and keeps no
// more than a few loads going (package answers). A bundle is loaded once for all
// of its widths: a narrower one is the beginning of a wider one. What a client
// asks to be compressed is compressed once, and only if the result is kept.
package tiles

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"indelible/internal/answers"
	"indelible/internal/bytecache"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/failure"
)

// Log is what the tiles are made from.
type Log interface {
	Published() (translog.Published, error)
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
	Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error)
}

var _ Log = (*translog.Log)(nil)

// fewEntries is how many entries a bundle has that is light work.
const fewEntries = 8

// loadTimeout is how long a reader waits for the database.
const loadTimeout = 10 * time.Second

// Handler serves the tiles of one log.
type Handler struct {
	// Fault, if set, is called with the errors that clients are not shown.
	Fault func(context.Context, error)

	log     Log
	full    *bytecache.Cache[string, *object]
	partial *bytecache.Cache[string, *object] // of its own, so that what is soon of no interest displaces nothing else
	gate    *answers.Gate
	press   press
	v       values
}

// New makes a Handler that keeps up to cacheBytes of responses, three eighths of
// them partial ones: of the default, that is more than the largest bundle has. gate
// bounds what it does at the same time; nil: one that it has alone.
func New(log Log, cacheBytes int64, gate *answers.Gate) *Handler {
	if gate == nil {
		gate = answers.New(0)
	}
	return &Handler{
		log:     log,
		full:    bytecache.New(cacheBytes-cacheBytes/8*3, size),
		partial: bytecache.New(cacheBytes/8*3, size),
		gate:    gate,
		v:       headerValues(),
	}
}

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head["Access-Control-Allow-Origin"] = h.v.any
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.get(w, r)
	case http.MethodOptions:
		head.Set("Access-Control-Allow-Methods", "GET, HEAD")
		head.Set("Access-Control-Allow-Headers", "If-None-Match")
		head.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	default:
		head.Set("Allow", "GET, HEAD, OPTIONS")
		failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("only GET and HEAD are answered here, and not %.20q", r.Method))
	}
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request) {
	// A path that is not what its decoded form is encoded to comes with its
	// RawPath.
	if r.URL.RawPath != "" || r.URL.RawQuery != "" || r.URL.ForceQuery {
		h.fail(w, r, fmt.Errorf("%w: it has a query, or is percent-encoded", errPath))
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if path == "checkpoint" {
		h.checkpoint(w, r)
		return
	}
	o, err := h.object(r, path)
	if err == nil {
		err = h.gate.Share(r.Context(), o.held)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	head := w.Header()
	head["Content-Type"], head["Cache-Control"] = h.v.octets, h.v.immutable
	h.v.send(w, r, o)
}

func (h *Handler) checkpoint(w http.ResponseWriter, r *http.Request) {
	p, err := h.log.Published()
	if err != nil {
		h.fail(w, r, err)
		return
	}
	head := w.Header()
	head["Content-Type"], head["Cache-Control"] = h.v.text, h.v.fresh
	h.v.send(w, r, newObject(p.Note))
}

// errPath: there can be no such path.
var errPath = errors.New("not the path of a tile, such as tile/0/x001/067, or of an entry bundle, such as tile/entries/000.p/12")

// object returns what a path names, compressed where the client asks for that and
// it is worth it.
func (h *Handler) object(r *http.Request, path string) (*object, error) {
	if o, ok := h.full.Peek(path); ok && (o.bundle == 0 || !acceptsGzip(r)) {
		return o, nil
	}
	ctx := r.Context()
	if t, err := merkle.ParseTilePath(path); err == nil {
		return h.tile(ctx, t)
	}
	b, err := merkle.ParseBundlePath(path)
	if err != nil {
		return nil, errPath
	}
	wide := h.widest(b)
	o, err := h.bundle(ctx, wide)
	switch {
	case err != nil:
		return nil, err
	case b.Width < wide.Width:
		return o.narrow(b.Width)
	case acceptsGzip(r):
		return h.zipped(ctx, wide, o)
	}
	return o, nil
}

// Tile returns a tile's bytes, as Log does.
func (h *Handler) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	o, err := h.tile(ctx, t)
	if err != nil {
		return nil, err
	}
	return o.body, nil
}

// Bundle returns a bundle's bytes, as Log does.
func (h *Handler) Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error) {
	o, err := h.bundle(ctx, h.widest(b))
	if err == nil && b.Width < o.bundle {
		o, err = o.narrow(b.Width)
	}
	if err == nil {
		err = h.gate.Share(ctx, o.held)
	}
	if err != nil {
		return nil, err
	}
	return o.body, nil
}

func (h *Handler) tile(ctx context.Context, t merkle.Tile) (*object, error) {
	return h.cache(t.Width).Get(ctx, t.Path(), func(ctx context.Context) (*object, error) {
		return h.load(ctx, answers.Light, func(ctx context.Context) ([]byte, error) { return h.log.Tile(ctx, t) })
	})
}

// bundle returns a bundle as it is.
func (h *Handler) bundle(ctx context.Context, b merkle.Bundle) (*object, error) {
	kind := answers.Heavy
	if b.Width <= fewEntries {
		kind = answers.Light
	}
	return h.cache(b.Width).Get(ctx, b.Path(), func(ctx context.Context) (*object, error) {
		o, err := h.load(ctx, kind, func(ctx context.Context) ([]byte, error) { return h.log.Bundle(ctx, b) })
		if err == nil {
			o.bundle = b.Width
		}
		return o, err
	})
}

// widest is the widest bundle of an index that the published tree has; the one
// that is asked for, if that is wider.
func (h *Handler) widest(b merkle.Bundle) merkle.Bundle {
	p, err := h.log.Published()
	if err != nil {
		return b // the log says so
	}
	b.Width = max(b.Width, int(min(merkle.TileWidth, p.Size-b.Index*merkle.TileWidth)))
	return b
}

// zipped returns a bundle compressed, if that is kept and worth it.
func (h *Handler) zipped(ctx context.Context, b merkle.Bundle, o *object) (*object, error) {
	cache, path := h.cache(b.Width), b.Path()
	if _, kept := cache.Peek(path); !kept {
		return o, nil
	}
	z, err := cache.Get(ctx, path+".gz", func(ctx context.Context) (*object, error) {
		leave, err := h.gate.Work(ctx, answers.Heavy)
		if err != nil {
			return nil, err
		}
		defer leave()
		return o.zip(&h.press), nil
	})
	if err != nil || z.body == nil {
		return o, err
	}
	return z, nil
}

func (h *Handler) cache(width int) *bytecache.Cache[string, *object] {
	if width == merkle.TileWidth {
		return h.full
	}
	return h.partial
}

func (h *Handler) load(ctx context.Context, kind answers.Kind, fetch func(context.Context) ([]byte, error)) (*object, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	leave, err := h.gate.Work(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer leave()
	body, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	return newObject(body), nil
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errPath) {
		failure.Write(w, http.StatusNotFound, codes.NotFound, err.Error())
		return
	}
	if failure.Internal(err) && h.Fault != nil {
		h.Fault(r.Context(), err)
	}
	failure.WriteError(w, err)
}
