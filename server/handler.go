// Package server joins what a log answers on its HTTP port: the native API as
// REST, the tiles, and the pages for people who look.
//
//	/v1/…            the native API (server/native), by grpc-gateway, in process
//	/checkpoint      C2SP tlog-tiles (server/tiles)
//	/tile/…
//	/log.vkey        the log's verifier keys, one a line
//	/openapi.json    the native API, described
//	/                a page that says what this is
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
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	pb "indelible/api/proto/indelible/v1"
	"indelible/server/failure"
	"indelible/server/rest"
)

// DefaultMaxBody is the most bytes of a request's body: a batch of 1,024 signed
// entries with certificates fits (some 3 KiB each), and a thousand requests at
// once do not fill a small machine.
const DefaultMaxBody = 8 << 20

// Config is what the handler is made from.
type Config struct {
	Native  pb.LogServer
	Tiles   http.Handler // serves /checkpoint and /tile/
	Origin  string
	Keys    []string // vkeys
	Size    func() int64
	MaxBody int64 // bytes; DefaultMaxBody
}

// Handler makes the handler of the HTTP port.
func Handler(ctx context.Context, cfg Config) (http.Handler, error) {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	native, err := restHandler(ctx, cfg.Native)
	if err != nil {
		return nil, err
	}
	vkeys := strings.Join(cfg.Keys, "\n") + "\n"
	return &handler{
		native: rest.LimitBody(native, cfg.MaxBody),
		tiles:  cfg.Tiles,
		pages: map[string]http.HandlerFunc{
			"/log.vkey":     text("text/plain; charset=utf-8", vkeys),
			"/openapi.json": text("application/json", pb.OpenAPI()),
			"/":             landing(cfg),
		},
	}, nil
}

// handler routes by the path as it was sent. http.ServeMux would clean it
// first, and so give one tile many URLs.
type handler struct {
	native, tiles http.Handler
	pages         map[string]http.HandlerFunc
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	switch page := h.pages[path]; {
	case strings.HasPrefix(path, "/v1/"):
		h.native.ServeHTTP(w, r)
	case path == "/checkpoint" || strings.HasPrefix(path, "/tile/"):
		h.tiles.ServeHTTP(w, r)
	case page == nil:
		failure.Write(w, http.StatusNotFound, codes.NotFound, fmt.Sprintf("there is nothing at %.200q", path))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%s takes GET and HEAD, and not %.20q", path, r.Method))
	default:
		page(w, r)
	}
}

func text(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		io.WriteString(w, body)
	}
}
