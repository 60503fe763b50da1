// Package failure is the one table from the product's errors to the wire: gRPC
// status codes, which grpc-gateway turns into HTTP's.
//
//	InvalidArgument     400  the entry or the request is wrong, more than the log ever takes, or
//	                         an entry that its database does not take; the message says how.
//	                         Clients do not try that again, and it would not help
//	OutOfRange          400  an index or a tree size that the log does not have
//	NotFound            404
//	Unauthenticated     401  the log's policy asks for a writer's token or certificate, and there is
//	                         none, or it is wrong
//	PermissionDenied    403  the policy does not let this writer add this entry
//	ResourceExhausted   429  the queue is full, or that client has too much waiting to be verified,
//	                         or the writer's rate is used up; Retry-After says when to come back
//	Canceled            499  the client is gone
//	Internal            500  a fault of ours, whose details are for the operator's log only
//	DataLoss            500  the database does not return an entry or a tile as it was logged; the
//	                         message says which. Everything else is served
//	FailedPrecondition  503  the log is poisoned. It is not Unavailable, since clients try that
//	                         again by themselves, and here only an operator helps
//	Unavailable         503  the database does not answer, the log has published nothing yet, it is
//	                         stopping, the search index is rebuilt since it was ahead of the log,
//	                         or too much is searched or read; Retry-After says when to come back, and the
//	                         message what the log cannot do at present
//	DeadlineExceeded    504  the add may have succeeded; the same add again tells. The message
//	                         says what the log cannot do at present, or that nothing is logged. A
//	                         read took too long
//
// In HTTP an error's body is
//
//	{"code":8,"message":"the queue is full: …","details":[…]}
//
// with gRPC's code, and its details as protojson writes them.
package failure

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"indelible/entry"
	"indelible/index"
	"indelible/internal/answers"
	"indelible/internal/fair"
	translog "indelible/log"
	"indelible/writers"
)

// RetryAfter is when a client that was turned away should come back.
const RetryAfter = time.Second

// code finds an error's code. The context's errors come last: a database's
// answer that took too long is wrapped by what it means for the log.
func code(err error) codes.Code {
	if r, ok := errors.AsType[*writers.Refusal](err); ok {
		return refused(r.Reason)
	}
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{translog.ErrDamaged, codes.DataLoss},
		{entry.ErrInvalid, codes.InvalidArgument},
		{translog.ErrTooMuch, codes.InvalidArgument},
		{translog.ErrRefused, codes.InvalidArgument},
		{translog.ErrQueueFull, codes.ResourceExhausted},
		{fair.ErrBusy, codes.ResourceExhausted},
		{translog.ErrNotFound, codes.NotFound},
		{translog.ErrOutOfRange, codes.OutOfRange},
		{translog.ErrPoisoned, codes.FailedPrecondition},
		{index.ErrAhead, codes.Unavailable},
		{index.ErrBusy, codes.Unavailable},
		{answers.ErrBusy, codes.Unavailable},
		{translog.ErrClock, codes.Unavailable},
		{translog.ErrStopping, codes.Unavailable},
		{translog.ErrUnavailable, codes.Unavailable},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return codes.Internal
}

// refused is the code of a writer's refusal.
func refused(why writers.Reason) codes.Code {
	switch why {
	case writers.Unknown:
		return codes.Unauthenticated
	case writers.TooMany:
		return codes.ResourceExhausted
	case writers.Unavailable:
		return codes.Unavailable
	}
	return codes.PermissionDenied
}

// Limited reports whether an error is that of a writer whose rate is used up, whom
// every API tells so.
func Limited(err error) bool {
	r, ok := errors.AsType[*writers.Refusal](err)
	return ok && r.Reason == writers.TooMany
}

// after is when to come back after an error.
func after(err error) time.Duration {
	if r, ok := errors.AsType[*writers.Refusal](err); ok && r.After > RetryAfter {
		return r.After
	}
	return RetryAfter
}

// Internal reports whether an error is a fault of ours, which belongs in the
// operator's log.
func Internal(err error) bool {
	return status.Code(Status(err)) == codes.Internal
}

// Status is an error as it goes over the wire. What is not in the table may
// hold anything, and is not shown.
func Status(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	c := code(err)
	st := status.New(c, message(c, err))
	if c == codes.ResourceExhausted || c == codes.Unavailable {
		if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after(err))}); err == nil {
			st = with
		}
	}
	return st.Err()
}

// message leaves out what the database said, which may name hosts and users.
func message(c codes.Code, err error) string {
	switch {
	case errors.Is(err, index.ErrAhead):
		return index.ErrAhead.Error() + ", and is being rebuilt; search again in a moment"
	case c == codes.Internal:
		return "internal error; the server's log says more"
	case c == codes.Unavailable && errors.Is(err, translog.ErrUnavailable):
		return translog.ErrUnavailable.Error() + cmp.Or(since(err), " at present") + "; try again"
	case c == codes.DeadlineExceeded:
		return "timed out; try again"
	case c == codes.Canceled:
		return "the request was cancelled"
	}
	return err.Error()
}

// Admit is Status for an entry that was not verified, and so is not logged.
func Admit(err error) error {
	if code(err) == codes.DeadlineExceeded {
		return status.Error(codes.DeadlineExceeded, "the server verifies so much that the entry's turn did not come in time; nothing is logged: add it again")
	}
	return Status(err)
}

// Add is Status for an add, where the end of the time does not mean that the
// entry is not logged.
func Add(err error) error {
	if code(err) == codes.DeadlineExceeded {
		return status.Error(codes.DeadlineExceeded, "the entry was not published in time"+since(err)+"; it may be yet: add it again, and the answer has the index it got")
	}
	return Status(err)
}

// Reason says why a log is not ready, in words that clients may see; empty where
// there are none.
func Reason(err error) string {
	var clock *translog.ClockError
	switch {
	case errors.Is(err, translog.ErrPoisoned):
		return translog.ErrPoisoned.Error() + ": it signs nothing, and takes nothing, until its operator acts"
	case errors.As(err, &clock):
		return clock.Error()
	case errors.Is(err, translog.ErrStopping):
		return translog.ErrStopping.Error()
	case since(err) != "":
		return translog.ErrUnavailable.Error() + since(err)
	case errors.Is(err, translog.ErrUnavailable):
		return translog.ErrUnavailable.Error() + " at present"
	}
	return ""
}

// since says what the log cannot do at present, in no words of the database's.
func since(err error) string {
	for _, why := range []error{translog.ErrUnwitnessed, translog.ErrNotAppending, translog.ErrNotPublishing} {
		if errors.Is(err, why) {
			return ", since " + why.Error()
		}
	}
	return ""
}

// HTTPStatus is grpc-gateway's, except for a poisoned log: that is no fault of the
// request.
func HTTPStatus(c codes.Code) int {
	if c == codes.FailedPrecondition {
		return http.StatusServiceUnavailable
	}
	return runtime.HTTPStatusFromCode(c)
}
