// Package rpc is a gRPC server for the listeners of package transport: a slow or greedy client does not wear it down.
//
//	s := rpc.NewServer(ctx, rpc.Config{MaxMessage: 1 << 20, Log: logger})
//	pb.RegisterLogServer(s, service)
//	err := transport.Servers{GRPC: s, GRPCOn: on, Grace: 15 * time.Second}.Run(ctx)
package rpc

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"indelible/internal/answers"
	"indelible/internal/requestid"
	"indelible/internal/transport"
)

// Config is what a Server is made from.
type Config struct {
	MaxMessage int64             // bytes of a request
	Budget     *transport.Budget // of all requests, from when they are complete until they are answered; those that arrive have as much again. nil: one of its default size
	Log        *slog.Logger      // is told of panics
	Answers    *answers.Gate     // of what answers to reads hold; nil: they hold what they like
	// Client names the client of a call, by which large requests and answers are shared;
	// nil: they are not.
	Client func(context.Context) string
	// Seen, if set, is called after every call.
	Seen func(method string, code codes.Code, took time.Duration)
	// Access, if set, has a line for every call.
	Access *transport.AccessLog
}

// Limits of a gRPC server.
const (
	maxStreams       = 4096 // calls at a time on a connection; a load generator uses one with 1,024
	handshakeTimeout = 10 * time.Second
	minPing          = 10 * time.Second // clients that ping more often are cut off
	pingAfter        = time.Minute      // of silence, to find out who is gone
	maxGRPCHeader    = 16 << 10
	grpcRead         = 16 << 10    // of a connection, as long as it is open
	retryAfter       = time.Second // for whoever is turned away
)

// Server is a gRPC server with limits: of connections, of what a request is,
// and of what all requests hold together.
type Server struct {
	*grpc.Server
	budget    *transport.Budget
	receiving *receiving
	client    func(context.Context) string
	cfg       Config
}

// NewServer makes a server. Streams end when ctx does: they would hold up a
// graceful stop.
func NewServer(ctx context.Context, cfg Config) *Server {
	if cfg.Seen == nil {
		cfg.Seen = func(string, codes.Code, time.Duration) {}
	}
	if cfg.Budget == nil {
		cfg.Budget = transport.NewBudget(0)
	}
	c, r := calls{cfg, ctx}, newReceiving(cfg.Budget.Most())
	return &Server{budget: cfg.Budget, receiving: r, client: cfg.Client, cfg: cfg, Server: grpc.NewServer(
		grpc.MaxRecvMsgSize(int(cfg.MaxMessage)),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxGRPCHeader),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter}),
		grpc.Creds(connectionInfo{insecure.NewCredentials()}),
		grpc.ReadBufferSize(grpcRead),
		grpc.InTapHandle(r.begin),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.UnaryInterceptor(c.unary),
		grpc.StreamInterceptor(c.stream),
	)}
}

// Serve serves until the server is stopped.
func (s *Server) Serve(on net.Listener) error { return s.Server.Serve(s.receiving.listener(on)) }

// calls stands around every call.
type calls struct {
	Config
	stopping context.Context
}

func (c calls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (res any, err error) {
	start := time.Now()
	defer func() { c.Seen(info.FullMethod, status.Code(err), time.Since(start)) }()
	defer c.recover(ctx, info.FullMethod, &err)
	return c.holding(ctx, func(ctx context.Context) (any, error) { return handler(ctx, req) })
}

func (c calls) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	start, sent := time.Now(), int64(0)
	if c.Access != nil {
		ss = countedStream{ss, &sent}
	}
	ss.SetHeader(answerID(ss.Context())) // fails where nobody waits for it any more
	defer func() {
		c.Seen(info.FullMethod, status.Code(err), time.Since(start))
		c.accessed(ss.Context(), err, sent, time.Since(start))
		err = withID(ss.Context(), err)
	}()
	defer c.recover(ss.Context(), info.FullMethod, &err)
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(c.stopping, cancel)()
	err = handler(srv, endingStream{ss, ctx})
	if err != nil && c.stopping.Err() != nil && ss.Context().Err() == nil {
		return status.Error(codes.Unavailable, "the server is stopping")
	}
	return err
}

// recover turns a panic into an error. Deferred, it is where the panic ends.
func (c calls) recover(ctx context.Context, method string, err *error) {
	if p := recover(); p != nil {
		c.Log.Error("a call made the server panic", "method", method, "request", requestid.Of(ctx), "panic", p, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error; the server's log says more")
	}
}

// endingStream is a stream whose context ends with the server.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s endingStream) Context() context.Context { return s.ctx }
