package rekorv1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/server/failure"
)

// The codes of requests that do not fit the schema, as go-openapi numbers them.
// Their HTTP status is 422.
const (
	codeType     = 601
	codeRequired = 602
	codeTooLong  = 603
	codePattern  = 605
	codeEnum     = 606
	codeMinimum  = 609
	codeMaxItems = 611
	codeMinItems = 612
)

// refusal is an error as it goes over the wire.
type refusal struct {
	status, code int
	message      string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, status, fmt.Sprintf(format, args...)}
}

// unfit is a request that does not fit the schema.
func unfit(code int, format string, args ...any) error {
	return &refusal{http.StatusUnprocessableEntity, code, fmt.Sprintf(format, args...)}
}

// errNoEntry is answered with 404 and no body.
var errNoEntry = errors.New("there is no such entry")

// fail writes an error as the answer.
func (h *Handler) fail(w http.ResponseWriter, req *http.Request, err error) {
	if errors.Is(err, errNoEntry) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	r, ok := errors.AsType[*refusal](err)
	if u, late := errors.AsType[*unsigned](err); late && !errors.Is(err, context.Canceled) {
		r = notSigned(w, u.err)
	} else if !ok {
		r = h.refusalOf(w, req, failure.Status(err), err)
	}
	body, err := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{r.code, r.message})
	if err != nil {
		h.cfg.Fault(req.Context(), err)
		body = []byte(`{"code":500,"message":"internal error"}`)
	}
	head := w.Header()
	head["Content-Type"] = h.v.json
	head.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.status)
	w.Write(append(body, '\n'))
}

// refusalOf gives an error of the log the status that Rekor's clients act upon:
// they try 503 again, and 429 not, which a writer gets whose rate is used up.
func (h *Handler) refusalOf(w http.ResponseWriter, req *http.Request, wire, err error) *refusal {
	st := status.Convert(wire)
	code := failure.HTTPStatus(st.Code())
	switch st.Code() {
	case codes.ResourceExhausted, codes.Unavailable:
		if !failure.Limited(err) {
			code = http.StatusServiceUnavailable
		}
		w.Header().Set("Retry-After", failure.Seconds(st))
	case codes.Unauthenticated:
		w.Header().Set("Www-Authenticate", `Bearer realm="log"`)
	case codes.Internal:
		h.cfg.Fault(req.Context(), err)
	}
	return &refusal{code, code, st.Message()}
}
