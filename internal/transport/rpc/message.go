package rpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"indelible/internal/fair"
	"indelible/internal/transport"
)

// message is what a request is received into.
type message struct {
	into any
	size int64 // bytes, as it came
	err  error // why it was not decoded
}

// codec is gRPC's, except for messages.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	m.size = int64(data.Len())
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	if msg, ok := m.into.(protobuf.Message); ok {
		if m.err = checkFields(whole.ReadOnlyData(), msg); m.err != nil {
			return nil // gRPC would call an error from here an internal one
		}
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{whole}, m.into)
}

func checkFields(data []byte, msg protobuf.Message) error {
	limit := transport.MaxValues(len(data))
	if len(data) <= 2*limit { // a field's tag, and its length
		return nil
	}
	if left := limit; !countFields(data, msg.ProtoReflect().Descriptor(), &left) {
		return status.Errorf(codes.InvalidArgument, "the message has more than %d fields in its %d bytes, which no request needs", limit, len(data))
	}
	return nil
}

// countFields takes the fields of a message, and of those in it, off what is left,
// until nothing is. What is wrong with the message is for others to say.
func countFields(data []byte, d protoreflect.MessageDescriptor, left *int) bool {
	for len(data) > 0 {
		if *left--; *left < 0 {
			return false
		}
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return true
		}
		data = data[n:]
		size := protowire.ConsumeFieldValue(number, kind, data)
		if size < 0 {
			return true
		}
		if f := d.Fields().ByNumber(number); kind == protowire.BytesType && f != nil && f.Message() != nil {
			if inner, _ := protowire.ConsumeBytes(data); !countFields(inner, f.Message(), left) {
				return false
			}
		}
		data = data[size:]
	}
	return true
}

// request is a call's, from its arrival until it is answered.
type request struct {
	*transport.Hold
	arrival *arrival
	free    func() // gives back what it has of the room for large requests; nil: it has none
}

func (s *Server) request(ctx context.Context) *request {
	a, _ := ctx.Value(arrivalKey{}).(*arrival)
	return &request{Hold: s.budget.Hold(), arrival: a}
}

func (r *request) leave() {
	r.Release()
	if r.free != nil {
		r.free()
	}
	r.arrival.answered()
}

// receive receives a message by next.
func (r *request) receive(msg any, next func(any) error) error {
	m := &message{into: msg}
	err := next(m)
	if err == nil {
		err = m.err
	}
	if err != nil {
		return err
	}
	r.Release() // what an earlier message of a stream held
	if r.Reserve(m.size) != nil {
		return full()
	}
	return nil
}

// full is transport.ErrFull over the wire.
func full() error {
	st := status.New(codes.Unavailable, transport.ErrFull.Error())
	if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}); err == nil {
		st = with
	}
	return st.Err()
}

// RegisterService implements grpc.ServiceRegistrar.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	counted := *desc
	counted.Methods, counted.Streams = slices.Clone(desc.Methods), slices.Clone(desc.Streams)
	for i, m := range desc.Methods {
		counted.Methods[i].Handler = s.unary(m)
	}
	for i, d := range desc.Streams {
		counted.Streams[i].Handler = s.stream(d)
	}
	s.Server.RegisterService(&counted, impl)
}

func (s *Server) unary(m grpc.MethodDesc) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, next grpc.UnaryServerInterceptor) (any, error) {
		begin := time.Now()
		r := s.request(ctx)
		defer r.leave()
		if s.client != nil {
			ctx = fair.As(ctx, s.client(ctx))
		}
		grpc.SetHeader(ctx, answerID(ctx)) // fails where nobody waits for it any more
		answer, err := m.Handler(srv, ctx, func(msg any) error {
			defer r.arrival.answer()
			if err := r.receive(msg, decode); err != nil {
				return err
			}
			var err error
			if r.free, err = r.Share(ctx); err != nil {
				return full()
			}
			return nil
		}, next)
		if s.cfg.Access != nil { // else its size need not be known
			s.cfg.accessed(ctx, err, sizeOf(answer), time.Since(begin))
		}
		return answer, withID(ctx, err)
	}
}

func (s *Server) stream(d grpc.StreamDesc) grpc.StreamHandler {
	return func(srv any, ss grpc.ServerStream) error {
		r := s.request(ss.Context())
		defer r.leave()
		r.arrival.stream()
		return d.Handler(srv, receivingStream{ss, r, d.ClientStreams})
	}
}

// receivingStream receives one message, or more: then it is never complete.
type receivingStream struct {
	grpc.ServerStream
	*request
	more bool
}

// RecvMsg implements grpc.ServerStream.
func (s receivingStream) RecvMsg(msg any) error {
	if !s.more {
		defer s.arrival.complete()
	}
	return s.receive(msg, s.ServerStream.RecvMsg)
}

// SendMsg implements grpc.ServerStream.
func (s receivingStream) SendMsg(msg any) error {
	err := s.ServerStream.SendMsg(msg)
	if err == nil {
		s.arrival.sent()
	}
	return err
}
