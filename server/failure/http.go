package failure

import (
	"encoding/json"
	"net/http"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/internal/requestid"
)

// WriteError writes an error as the answer to an HTTP request.
func WriteError(w http.ResponseWriter, err error) {
	st := status.Convert(Status(err))
	write(w, HTTPStatus(st.Code()), st.Proto())
}

// Write writes an error of HTTP's own, such as a method that is not allowed.
func Write(w http.ResponseWriter, httpStatus int, code codes.Code, message string) {
	write(w, httpStatus, &spb.Status{Code: int32(code), Message: message})
}

func write(w http.ResponseWriter, httpStatus int, st *spb.Status) {
	head := w.Header()
	if httpStatus == http.StatusTooManyRequests || httpStatus == http.StatusServiceUnavailable && codes.Code(st.GetCode()) == codes.Unavailable {
		head.Set("Retry-After", Seconds(status.FromProto(st)))
	}
	if httpStatus == http.StatusUnauthorized {
		head.Set("Www-Authenticate", `Bearer realm="log"`)
	}
	// An answer was begun, perhaps: what it said of its body is not true of
	// this one.
	for _, name := range []string{"Content-Encoding", "Content-Length", "Etag"} {
		head.Del(name)
	}
	head.Set("Content-Type", "application/json")
	head.Set("X-Content-Type-Options", "nosniff")
	// Nothing may keep it: what is not there yet may be in a second.
	head.Set("Cache-Control", "no-store")
	if id := head.Get(requestid.Header); id != "" { // the server has named the request
		st = named(st, id)
	}
	w.WriteHeader(httpStatus)
	w.Write(append(body(st), '\n'))
}

// Seconds is when a client should come back, as Retry-After has it.
func Seconds(st *status.Status) string {
	wait := RetryAfter
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			wait = info.GetRetryDelay().AsDuration()
		}
	}
	return strconv.Itoa(int(wait.Seconds()))
}

// named adds the request's id, by which the operator finds what the log says of it.
func named(st *spb.Status, id string) *spb.Status {
	if with, err := status.FromProto(st).WithDetails(&errdetails.RequestInfo{RequestId: id}); err == nil {
		return with.Proto()
	}
	return st
}

func body(st *spb.Status) []byte {
	shape := struct {
		Code    int32             `json:"code"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details"`
	}{st.GetCode(), st.GetMessage(), []json.RawMessage{}}
	for _, d := range st.GetDetails() {
		// A detail of a type unknown here says nothing to the client either.
		if text, err := protojson.Marshal(d); err == nil {
			shape.Details = append(shape.Details, text)
		}
	}
	out, err := json.Marshal(shape)
	if err != nil {
		return []byte(`{"code":13,"message":"internal error","details":[]}`)
	}
	return out
}
