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
// more than a few loads going.
package tiles

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

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

// maxLoads is how many tiles and bundles are made at the same time. A bundle
// can have 16 MiB.
const maxLoads = 4

// loadTimeout is how long a reader waits for the database.
const loadTimeout = 10 * time.Second

// Handler serves the tiles of one log.
type Handler struct {
	// Fault, if set, is called with the errors that clients are not shown.
	Fault func(error)

	log     Log
	full    *bytecache.Cache[string, *object]
	partial *bytecache.Cache[string, *object] // of its own, so that what is soon of no interest displaces nothing else
	loads   chan struct{}
	press   press
	v       values
}

// New makes a Handler that keeps up to cacheBytes of responses.
func New(log Log, cacheBytes int64) *Handler {
	return &Handler{
		log:     log,
		full:    bytecache.New(cacheBytes-cacheBytes/8, size),
		partial: bytecache.New(cacheBytes/8, size),
		loads:   make(chan struct{}, maxLoads),
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
		h.fail(w, fmt.Errorf("%w: it has a query, or is percent-encoded", errPath))
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if path == "checkpoint" {
		h.checkpoint(w, r)
		return
	}
	o, err := h.object(r.Context(), path)
	if err != nil {
		h.fail(w, err)
		return
	}
	head := w.Header()
	head["Content-Type"], head["Cache-Control"] = h.v.octets, h.v.immutable
	h.v.send(w, r, o)
}

func (h *Handler) checkpoint(w http.ResponseWriter, r *http.Request) {
	p, err := h.log.Published()
	if err != nil {
		h.fail(w, err)
		return
	}
	head := w.Header()
	head["Content-Type"], head["Cache-Control"] = h.v.text, h.v.fresh
	h.v.send(w, r, newObject(p.Note, nil))
}

// errPath: there can be no such path.
var errPath = errors.New("not the path of a tile, such as tile/0/x001/067, or of an entry bundle, such as tile/entries/000.p/12")

// object returns what a path names.
func (h *Handler) object(ctx context.Context, path string) (*object, error) {
	if o, ok := h.full.Peek(path); ok {
		return o, nil
	}
	// The path is a part of the request, all of which it would keep in memory.
	key := strings.Clone(path)
	if t, err := merkle.ParseTilePath(path); err == nil {
		return h.cache(t.Width).Get(ctx, key, func(ctx context.Context) (*object, error) {
			return h.load(ctx, nil, func(ctx context.Context) ([]byte, error) { return h.log.Tile(ctx, t) })
		})
	}
	if b, err := merkle.ParseBundlePath(path); err == nil {
		return h.cache(b.Width).Get(ctx, key, func(ctx context.Context) (*object, error) {
			return h.load(ctx, &h.press, func(ctx context.Context) ([]byte, error) { return h.log.Bundle(ctx, b) })
		})
	}
	return nil, errPath
}

func (h *Handler) cache(width int) *bytecache.Cache[string, *object] {
	if width == merkle.TileWidth {
		return h.full
	}
	return h.partial
}

func (h *Handler) load(ctx context.Context, p *press, fetch func(context.Context) ([]byte, error)) (*object, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	select {
	case h.loads <- struct{}{}:
		defer func() { <-h.loads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	body, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	return newObject(body, p), nil
}

func (h *Handler) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, errPath) {
		failure.Write(w, http.StatusNotFound, codes.NotFound, err.Error())
		return
	}
	if failure.Internal(err) && h.Fault != nil {
		h.Fault(err)
	}
	failure.WriteError(w, err)
}
