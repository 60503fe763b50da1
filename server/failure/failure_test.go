package failure_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/index"
	"indelible/server/failure"
)

// TestIndexAhead: only an operator helps, and clients need not try again.
func TestIndexAhead(t *testing.T) {
	st := status.Convert(failure.Status(fmt.Errorf("%w: logserver index rebuild", index.ErrAhead)))
	if st.Code() != codes.FailedPrecondition || failure.HTTPStatus(st.Code()) != http.StatusServiceUnavailable || !strings.Contains(st.Message(), "index rebuild") {
		t.Errorf("over the wire it is %v", st)
	}
}
