package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "indelible/api/proto/indelible/v1"
	"indelible/server/failure"
	"indelible/server/rest"
)

// restHandler serves the native API as REST by direct calls: no socket lies
// between.
func restHandler(ctx context.Context, native pb.LogServer) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newCodec()),
		runtime.SetQueryParameterParser(strictQuery{}),
		runtime.WithMiddlewares(noQuery, plainIndex, immutable),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithWriteContentLength(),
		// The service reads no metadata.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	return headAsGet(mux), pb.RegisterLogHandlerServer(ctx, mux, native)
}

// headAsGet answers HEAD as GET, where there is one; net/http leaves the body
// out. grpc-gateway knows the methods alone that the API declares.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.HasPrefix(methods(r.URL.EscapedPath()), http.MethodGet) {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// strictQuery refuses the query parameters that a call does not have, which
// grpc-gateway would ignore: they are more often typing errors in ones that
// matter.
type strictQuery struct{ runtime.DefaultQueryParser }

func (q strictQuery) Parse(msg proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	fields := msg.ProtoReflect().Descriptor().Fields()
	for name := range values {
		if fields.ByJSONName(name) == nil && fields.ByName(protoreflect.Name(name)) == nil {
			return fmt.Errorf("unknown query parameter %.100q", name)
		}
	}
	err := q.DefaultQueryParser.Parse(msg, values, filter)
	var number *strconv.NumError
	if errors.As(err, &number) {
		return fmt.Errorf("the query says %.100q where a whole number is expected, or it is too large", number.Num)
	}
	return err
}

// noQuery refuses query parameters where a call has none, and grpc-gateway does
// not look at them.
func noQuery(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		if r.URL.RawQuery != "" && !hasQuery(r.Method, r.URL.EscapedPath()) {
			failure.Write(w, http.StatusBadRequest, codes.InvalidArgument,
				fmt.Sprintf("unknown query parameters %.100q; %s %.200q has none", r.URL.RawQuery, r.Method, r.URL.EscapedPath()))
			return
		}
		next(w, r, params)
	}
}

// plainIndex refuses an index that is not written as it is printed: grpc-gateway
// takes 010 for 8, and 0x10 for 16.
func plainIndex(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		index, ok := params["index"]
		if n, err := strconv.ParseInt(index, 10, 64); ok && (err != nil || strconv.FormatInt(n, 10) != index) {
			rest.WriteError(w, r, notAnIndex(r))
			return
		}
		next(w, r, params)
	}
}

// immutable marks proofs between sizes that the request names: they never change.
// An error's answer says that nobody may keep it.
func immutable(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		q := r.URL.Query()
		switch r.URL.EscapedPath() {
		case "/v1/proofs/inclusion":
			markImmutable(w, q.Has("treeSize") || q.Has("tree_size"))
		case "/v1/proofs/consistency":
			markImmutable(w, q.Has("to"))
		}
		next(w, r, params)
	}
}

func markImmutable(w http.ResponseWriter, is bool) {
	if is {
		w.Header().Set("Cache-Control", "public, max-age=604800, immutable")
	}
}

func notAnIndex(r *http.Request) error {
	return status.Errorf(codes.InvalidArgument, "%.200q does not end in the index of an entry, a whole number from 0 up", r.URL.EscapedPath())
}

// hasQuery reports whether a call of the API has query parameters.
func hasQuery(method, path string) bool {
	switch path {
	case "/v1/entries", "/v1/entries:lookup", "/v1/entries:search", "/v1/proofs/inclusion", "/v1/proofs/consistency":
		return method == http.MethodGet
	}
	return false
}

// writeError writes the error of a call, or of reading its request.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	// The one parameter in a path is an entry's index.
	if strings.HasPrefix(status.Convert(err).Message(), "type mismatch, parameter: index") {
		err = notAnIndex(r)
	}
	rest.WriteError(w, r, err)
}

// writeRoutingError is for paths and methods that the API does not have.
func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	path := r.URL.EscapedPath()
	switch httpStatus {
	case http.StatusMethodNotAllowed:
		allow := methods(path)
		w.Header().Set("Allow", allow)
		failure.Write(w, httpStatus, codes.Unimplemented, fmt.Sprintf("%.200q takes %s, and not %.20q", path, allow, r.Method))
	case http.StatusNotFound:
		failure.Write(w, httpStatus, codes.NotFound, fmt.Sprintf("there is nothing at %.200q; /openapi.json lists what there is", path))
	default:
		failure.Write(w, httpStatus, codes.InvalidArgument, http.StatusText(httpStatus))
	}
}

// methods are those of a path of the API.
func methods(path string) string {
	switch {
	case path == "/v1/entries":
		return "GET, HEAD, OPTIONS, POST"
	case strings.HasSuffix(path, ":batch"):
		return "POST"
	}
	return "GET, HEAD, OPTIONS"
}
