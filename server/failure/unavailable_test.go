package failure_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	translog "indelible/log"
	"indelible/server/failure"
)

// TestUnavailable: a reader is told what the log cannot do, and nothing of what
// its database or its witnesses said.
func TestUnavailable(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.1:3306: refused")
	for _, test := range []struct {
		err  error
		says string
	}{
		{fmt.Errorf("%w: %w", translog.ErrUnavailable, secret), "the log is not available at present; try again"},
		{fmt.Errorf("%w: publish: %w: %w", translog.ErrUnavailable, translog.ErrUnwitnessed, secret), "the log is not available, since too few of the log's witnesses cosign at present; try again"},
		{fmt.Errorf("%w: %w: %w", translog.ErrUnavailable, secret, translog.ErrNotAppending), "the log is not available, since the log cannot append to its database at present; try again"},
		{fmt.Errorf("%w: %w: %w", translog.ErrUnavailable, secret, translog.ErrNotPublishing), "the log is not available, since the log cannot publish what it appended at present; try again"},
	} {
		if st := status.Convert(failure.Status(test.err)); st.Code() != codes.Unavailable || st.Message() != test.says || len(st.Details()) != 1 {
			t.Errorf("over the wire it is %v, want %q", st, test.says)
		}
	}
}

// TestDamaged: a reader is told which entry the database lost.
func TestDamaged(t *testing.T) {
	st := status.Convert(failure.Status(fmt.Errorf("%w: entry 5 is not served", translog.ErrDamaged)))
	if st.Code() != codes.DataLoss || failure.HTTPStatus(st.Code()) != 500 || st.Message() != "the database holds damaged data: entry 5 is not served" {
		t.Errorf("over the wire it is %v", st)
	}
}
