package rekorv1

import (
	"encoding/json"
	"errors"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/internal/strictjson"
	"indelible/internal/transport"
)

// readBody reads a request's body: JSON, up to the limit.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := h.cfg.MaxBody
	if r.ContentLength > limit {
		return nil, tooLarge(w, limit)
	}
	most := limit
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	counted, _ := r.Body.(*transport.Body)
	data, err := transport.ReadBody(http.MaxBytesReader(w, r.Body, limit), counted, most)
	var big *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &big):
		return nil, tooLarge(w, limit)
	case errors.Is(err, transport.ErrFull), errors.Is(err, transport.ErrSlow):
		w.Header().Set("Connection", "close")
		return nil, h.refusalOf(w, r, status.Error(codes.Unavailable, err.Error()), err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusRequestTimeout, "the request's body did not arrive in time")
	default:
		return nil, refuse(http.StatusBadRequest, "the request's body ended early")
	}
	if len(data) == 0 {
		return nil, nil
	}
	return data, checkContentType(r.Header.Get("Content-Type"))
}

func tooLarge(w http.ResponseWriter, limit int64) error {
	w.Header().Set("Connection", "close")
	return refuse(http.StatusRequestEntityTooLarge, "Request Entity Too Large. Limit set to %d", limit)
}

func checkContentType(value string) error {
	if value == "application/json" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(value); err == nil && kind == "application/json" {
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, "unsupported media type %.100q, only [application/json] are allowed", value)
}

const (
	// maxDepth is how deep JSON may be nested. Rekor's requests have six levels.
	maxDepth = 32
	// maxValues is how many values JSON may have, so that looking through it
	// takes milliseconds. Ten proposed entries have some hundred.
	maxValues = 4096
)

// checkJSON takes one JSON value: nothing after it, no member twice anywhere,
// and valid UTF-8, so that whoever reads it reads the same.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return badJSON("it is not UTF-8")
	}
	err := strictjson.Check(data, strictjson.Limits{Depth: maxDepth, Values: maxValues})
	switch {
	case errors.Is(err, strictjson.ErrDepth):
		return badJSON("it is nested deeper than %d levels", maxDepth)
	case errors.Is(err, strictjson.ErrValues):
		return badJSON("it has more than %d values", maxValues)
	}
	if syntax, ok := errors.AsType[*strictjson.SyntaxError](err); ok {
		return badSyntax(syntax)
	}
	if err != nil {
		return badJSON("%v", err)
	}
	return nil
}

func badSyntax(err *strictjson.SyntaxError) error { return badJSON("byte %d: %v", err.Offset, err) }

func badJSON(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "the body is not good JSON: "+format, args...)
}

// members takes a JSON object apart, which checkJSON took. Members that are null are left
// out, as if they were not there: Go's clients write them so. Names other than
// the known ones are refused, unless there are none of those.
func members(data []byte, known ...string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, notObject(data)
	}
	for name, value := range m {
		if string(value) == "null" {
			delete(m, name)
		}
	}
	return m, checkKnown(m, known)
}

func notObject(data []byte) error {
	return unfit(codeType, "the body must be a JSON object, and not %.20s", data)
}

func checkKnown(m map[string]json.RawMessage, known []string) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if len(known) > 0 && !slices.Contains(known, name) {
			return refuse(http.StatusBadRequest, "the member %.100q is not known here; there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// text reads a member that is a string; "" if it is not there.
func text(m map[string]json.RawMessage, name string) (string, error) { return textOf(name, m[name]) }

// textOf reads the value of a member that is a string; "" if there is none.
func textOf(name string, raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", unfit(codeType, "%s in body must be of type string: %.100s", name, raw)
	}
	return s, nil
}

// list reads a member that is an array.
func list(m map[string]json.RawMessage, name string) ([]json.RawMessage, error) {
	raw, ok := m[name]
	if !ok {
		return nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, unfit(codeType, "%s in body must be of type array: %.100s", name, raw)
	}
	return items, nil
}
