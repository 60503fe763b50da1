package failure_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/index"
	"indelible/server/failure"
)

// TestIndexAhead: clients try again, and what is wrong with the database is the
// operator's affair.
func TestIndexAhead(t *testing.T) {
	st := status.Convert(failure.Status(fmt.Errorf("%w: the database was edited", index.ErrAhead)))
	if st.Code() != codes.Unavailable || st.Message() != "the search index is ahead of the log, and is being rebuilt; search again in a moment" || len(st.Details()) != 1 {
		t.Errorf("over the wire it is %v", st)
	}
}

// TestSearchBusy: clients try again.
func TestSearchBusy(t *testing.T) {
	st := status.Convert(failure.Status(index.ErrBusy))
	if st.Code() != codes.Unavailable || st.Message() != "too much is being searched; search again in a moment" || len(st.Details()) != 1 {
		t.Errorf("over the wire it is %v", st)
	}
}
