package rpc

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"indelible/internal/answers"
)

// deaf is a connection whose client stops to read.
type deaf struct {
	net.Conn
	stop *atomic.Bool
	ctx  context.Context
}

func (d deaf) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if d.stop.Load() {
		<-d.ctx.Done()
	}
	return n, err
}

// largeAnswers serves answers of a size over gRPC, each of which the gate lets
// through or not, as results says.
func largeAnswers(t *testing.T, gate *answers.Gate, size int64) (on net.Listener, results chan error) {
	t.Helper()
	s := NewServer(t.Context(), Config{MaxMessage: 1 << 20, Answers: gate, Log: slog.New(slog.DiscardHandler)})
	results = make(chan error, 100)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Large", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Get",
		Handler: func(_ any, ctx context.Context, decode func(any) error, next grpc.UnaryServerInterceptor) (any, error) {
			in := &emptypb.Empty{}
			if err := decode(in); err != nil {
				return nil, err
			}
			return next(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/test.Large/Get"}, func(ctx context.Context, _ any) (any, error) {
				_, err := gate.Answer(ctx, answers.Light, size)
				select {
				case results <- err:
				default: // nobody counts
				}
				if err != nil {
					return nil, status.Error(codes.Unavailable, err.Error())
				}
				return wrapperspb.Bytes(make([]byte, size)), nil
			})
		},
	}}}, struct{}{})
	on = listen(t, 100)
	go s.Serve(on)
	t.Cleanup(s.Stop)
	return on, results
}

func getLarge(ctx context.Context, conn *grpc.ClientConn, size int) error {
	return conn.Invoke(ctx, "/test.Large/Get", &emptypb.Empty{}, &wrapperspb.BytesValue{}, grpc.MaxCallRecvMsgSize(2*size))
}

// One client that reads nothing, and keeps its connection, does not keep others
// out for good: its connection is closed for the memory of its answers.
func TestUnreadAnswersOverGRPCGiveWay(t *testing.T) {
	const size = 4 << 20
	on, results := largeAnswers(t, answers.New(3*size), size)
	var stop atomic.Bool
	deafness, end := context.WithCancel(context.Background())
	defer end()
	silent := dialTo(t, on, func(c net.Conn) net.Conn { return deaf{c, &stop, deafness} })
	if err := getLarge(t.Context(), silent, size); err != nil || <-results != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	for full := false; !full; {
		go getLarge(t.Context(), silent, size)
		full = <-results != nil
	}
	other := dialTo(t, on, func(c net.Conn) net.Conn { return c })
	until := time.Now().Add(2 * time.Minute)
	for err := getLarge(t.Context(), other, size); err != nil; err = getLarge(t.Context(), other, size) {
		if status.Code(err) != codes.Unavailable || time.Now().After(until) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What is answered over gRPC counts until it was sent, or its connection ends,
// and not until the call returns.
func TestUnreadAnswersOverGRPC(t *testing.T) {
	const size = 4 << 20
	on, results := largeAnswers(t, answers.New(3*size), size)
	var stop atomic.Bool
	deafness, end := context.WithCancel(context.Background())
	defer end()
	conn := dialTo(t, on, func(c net.Conn) net.Conn { return deaf{c, &stop, deafness} })
	get := func(conn *grpc.ClientConn) error { return getLarge(t.Context(), conn, size) }
	if err := get(conn); err != nil || <-results != nil { // one that is read
		t.Fatal(err)
	}
	stop.Store(true)
	ended := make(chan struct{}, 20)
	for range 20 {
		go func() {
			get(conn)
			ended <- struct{}{}
		}()
	}
	busy := 0
	for range 20 {
		select {
		case err := <-results:
			if err != nil {
				busy++
			}
		case <-ended: // its connection gave way before all had asked: the machine is slow
			busy++
		}
	}
	if busy < 20-3 { // of three there is room
		t.Errorf("%d of 20 were refused", busy)
	}
	end()
	conn.Close()
	other := dialTo(t, on, func(c net.Conn) net.Conn { return c })
	for err := get(other); err != nil; err = get(other) { // what the connection had comes back
		if status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		runtime.GC()
	}
}

func dialTo(t *testing.T, on net.Listener, wrap func(net.Conn) net.Conn) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(on.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
