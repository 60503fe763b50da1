// Package server joins what a log answers on its HTTP port: the native API as
// REST, the tiles, and the pages for people who look.
//
//	/v1/…            the native API (server/native), by grpc-gateway, in process
//	/checkpoint      C2SP tlog-tiles (server/tiles)
//	/tile/…
//	/log.vkey        the log's verifier keys, one a line
//	/openapi.json    the native API, described
//	/                a page that says what this is
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	pb "indelible/api/proto/indelible/v1"
	"indelible/server/failure"
)

// DefaultMaxBody is the most bytes of a request's body: a batch of 1,024 signed
// entries with certificates fits, and a thousand requests at once do not fill a
// small machine.
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
	rest, err := restHandler(ctx, cfg.Native)
	if err != nil {
		return nil, err
	}
	vkeys := strings.Join(cfg.Keys, "\n") + "\n"
	h := &handler{
		rest:  limitBody(rest, cfg.MaxBody),
		tiles: cfg.Tiles,
		pages: map[string]http.HandlerFunc{
			"/log.vkey":     text("text/plain; charset=utf-8", vkeys),
			"/openapi.json": text("application/json", pb.OpenAPI()),
			"/":             landing(cfg),
		},
	}
	return h, nil
}

// handler routes by the path as it was sent. http.ServeMux would clean it
// first, and so give one tile many URLs.
type handler struct {
	rest, tiles http.Handler
	pages       map[string]http.HandlerFunc
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	switch page := h.pages[path]; {
	case strings.HasPrefix(path, "/v1/"):
		h.rest.ServeHTTP(w, r)
	case path == "/checkpoint" || strings.HasPrefix(path, "/tile/"):
		h.tiles.ServeHTTP(w, r)
	case page == nil:
		WriteError(w, http.StatusNotFound, codes.NotFound, fmt.Sprintf("there is nothing at %.200q", path))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		WriteError(w, http.StatusMethodNotAllowed, codes.Unimplemented, "only GET and HEAD are answered here")
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

// restHandler serves the native API as REST by direct calls: no socket lies
// between.
func restHandler(ctx context.Context, native pb.LogServer) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true},
			// An unknown field is an error: it is more often a typing error in
			// one that matters.
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
		runtime.WithDisablePathLengthFallback(),
	)
	return mux, pb.RegisterLogHandlerServer(ctx, mux, native)
}

// limitBody cuts request bodies off.
func limitBody(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			tooLarge(w, limit)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

func tooLarge(w http.ResponseWriter, limit int64) {
	w.Header().Set("Connection", "close")
	WriteError(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument, fmt.Sprintf("the request's body is over the limit of %d bytes", limit))
}

// writeError writes a call's error in the one shape.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	var big *http.MaxBytesError
	if errors.As(err, &big) || strings.Contains(err.Error(), "http: request body too large") {
		limit := int64(DefaultMaxBody)
		if big != nil {
			limit = big.Limit
		}
		tooLarge(w, limit)
		return
	}
	st := status.Convert(err)
	WriteError(w, failure.HTTPStatus(st.Code()), st.Code(), st.Message())
}

// writeRoutingError is for paths and methods that the API does not have.
func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	switch httpStatus {
	case http.StatusMethodNotAllowed:
		WriteError(w, httpStatus, codes.Unimplemented, fmt.Sprintf("%s does not take %s", r.URL.Path, r.Method))
	case http.StatusNotFound:
		WriteError(w, httpStatus, codes.NotFound, fmt.Sprintf("there is nothing at %.200q; /openapi.json lists what there is", r.URL.Path))
	default:
		WriteError(w, httpStatus, codes.InvalidArgument, http.StatusText(httpStatus))
	}
}

// WriteError writes an error in the shape that all of them have:
// {"code","message","details"}, the code being gRPC's.
func WriteError(w http.ResponseWriter, httpStatus int, code codes.Code, message string) {
	body, err := json.Marshal(struct {
		Code    uint32     `json:"code"`
		Message string     `json:"message"`
		Details []struct{} `json:"details"`
	}{uint32(code), message, []struct{}{}})
	if err != nil {
		body = []byte(`{"code":13,"message":"internal error","details":[]}`)
	}
	if httpStatus == http.StatusTooManyRequests || httpStatus == http.StatusServiceUnavailable && code == codes.Unavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(failure.RetryAfter.Seconds())))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(httpStatus)
	w.Write(append(body, '\n'))
}
