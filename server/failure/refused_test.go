package failure_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	translog "indelible/log"
	"indelible/server/failure"
)

// TestRefusedEntry: clients are told why, and not to come back.
func TestRefusedEntry(t *testing.T) {
	err := fmt.Errorf("%w of 9 bytes: too large", translog.ErrRefused)
	for _, wire := range []error{failure.Status(err), failure.Add(err)} {
		st := status.Convert(wire)
		if st.Code() != codes.InvalidArgument || st.Message() != "the log's database does not take this entry of 9 bytes: too large" || len(st.Details()) != 0 {
			t.Errorf("over the wire it is %v", st)
		}
		if code := failure.HTTPStatus(st.Code()); code != 400 {
			t.Errorf("in HTTP it is %d", code)
		}
	}
}
