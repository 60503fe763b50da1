package native

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "indelible/api/proto/indelible/v1"
)

// Register adds the service to a gRPC server. A request with a field that its
// message does not have is refused, as it is over REST: what the client meant by
// it would be ignored.
func Register(on grpc.ServiceRegistrar, s *Service) {
	desc := pb.Log_ServiceDesc
	desc.Methods = make([]grpc.MethodDesc, len(pb.Log_ServiceDesc.Methods))
	for i, m := range pb.Log_ServiceDesc.Methods {
		desc.Methods[i] = grpc.MethodDesc{
			MethodName: m.MethodName,
			Handler: func(srv any, ctx context.Context, decode func(any) error, next grpc.UnaryServerInterceptor) (any, error) {
				return m.Handler(srv, ctx, decode, strictly(next))
			},
		}
	}
	desc.Streams = make([]grpc.StreamDesc, len(pb.Log_ServiceDesc.Streams))
	for i, d := range pb.Log_ServiceDesc.Streams {
		desc.Streams[i] = d
		desc.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			return d.Handler(srv, strictStream{stream})
		}
	}
	on.RegisterService(&desc, s)
}

// strictly is an interceptor (which may be nil) before a call whose request is
// checked.
func strictly(next grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		checked := func(ctx context.Context, req any) (any, error) {
			if err := checkFields(req); err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}
		if next == nil {
			return checked(ctx, req)
		}
		return next(ctx, req, info, checked)
	}
}

type strictStream struct{ grpc.ServerStream }

// RecvMsg receives a request and checks it.
func (s strictStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return checkFields(m)
}

func checkFields(req any) error {
	msg, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	path, number, found := unknownField(msg.ProtoReflect())
	if !found {
		return nil
	}
	if path != "" {
		path = " in " + path
	}
	return status.Errorf(codes.InvalidArgument, "unknown field number %d%s of %s", number, path, msg.ProtoReflect().Descriptor().Name())
}

// unknownField finds a field that its message does not have, and says where it
// is, such as entries[3].hashedRekord.
func unknownField(m protoreflect.Message) (path string, number protowire.Number, found bool) {
	if raw := m.GetUnknown(); len(raw) > 0 {
		number, _, _ = protowire.ConsumeTag(raw)
		return "", number, true
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap(): // no request has a map
		case f.IsList():
			for i := range v.List().Len() {
				if path, number, found = unknownField(v.List().Get(i).Message()); found {
					path = within(f.JSONName()+"["+strconv.Itoa(i)+"]", path)
					break
				}
			}
		default:
			if path, number, found = unknownField(v.Message()); found {
				path = within(f.JSONName(), path)
			}
		}
		return !found
	})
	return path, number, found
}

func within(outer, inner string) string {
	if inner == "" {
		return outer
	}
	return outer + "." + inner
}
