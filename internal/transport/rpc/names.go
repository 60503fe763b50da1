package rpc

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"indelible/internal/requestid"
)

// requestKey is the metadata that has a call's id.
const requestKey = "x-request-id"

// nameCall gives a call its id.
func nameCall(ctx context.Context, header metadata.MD) context.Context {
	first := func(name string) string {
		if values := header[name]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	return requestid.With(ctx, requestid.Choose(first(requestKey), first("traceparent")))
}

// answerID is the metadata of a call's answer.
func answerID(ctx context.Context) metadata.MD { return metadata.MD{requestKey: {requestid.Of(ctx)}} }

// withID adds the id to an error that goes over the wire.
func withID(ctx context.Context, err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	with, failed := st.WithDetails(&errdetails.RequestInfo{RequestId: requestid.Of(ctx)})
	if failed != nil { // never, of an error
		return err
	}
	return with.Err()
}

// accessed writes a call's line to the access log, if there is one.
func (c Config) accessed(ctx context.Context, err error, bytes int64, took time.Duration) {
	if c.Access == nil {
		return
	}
	client := ""
	if c.Client != nil {
		client = c.Client(ctx)
	}
	method, _ := grpc.Method(ctx)
	c.Access.Write(ctx, client, "grpc", "POST", method, slog.String("status", status.Code(err).String()), bytes, took)
}

// sizeOf is the size of an answer.
func sizeOf(answer any) int64 {
	if a, ok := answer.(answered); ok {
		answer = a.msg
	}
	if m, ok := answer.(proto.Message); ok {
		return int64(proto.Size(m))
	}
	return 0
}

// countedStream counts the bytes of a stream's answers.
type countedStream struct {
	grpc.ServerStream
	bytes *int64
}

// SendMsg implements grpc.ServerStream.
func (s countedStream) SendMsg(m any) error {
	*s.bytes += sizeOf(m)
	return s.ServerStream.SendMsg(m)
}
