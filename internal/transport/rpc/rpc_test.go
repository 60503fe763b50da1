package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"indelible/internal/transport"
)

const kib = 1 << 10

var quiet = slog.New(slog.DiscardHandler)

func listen(t *testing.T, most int) net.Listener {
	t.Helper()
	on, err := transport.Listen("127.0.0.1:0", most, nil)
	if err != nil {
		t.Fatal(err)
	}
	return on
}

// patient answers a check of "wait" when it is told to, and others at once.
type patient struct {
	healthpb.UnimplementedHealthServer
	waits, goOn chan struct{}
}

func (p patient) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if strings.HasPrefix(r.GetService(), "wait") {
		p.waits <- struct{}{}
		select {
		case <-p.goOn:
		case <-ctx.Done():
		}
	}
	return &healthpb.HealthCheckResponse{}, nil
}

// serveGRPC serves until the test ends.
func serveGRPC(t *testing.T, cfg Config, service healthpb.HealthServer) (net.Addr, healthpb.HealthClient) {
	t.Helper()
	cfg.Log = quiet
	ctx, cancel := context.WithCancel(context.Background())
	s, on := NewServer(ctx, cfg), listen(t, transport.DefaultConnections)
	healthpb.RegisterHealthServer(s, service)
	done := make(chan error, 1)
	go func() { done <- transport.Servers{GRPC: s, GRPCOn: on, Grace: time.Minute}.Run(ctx) }()
	conn, err := grpc.NewClient(on.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return on.Addr(), healthpb.NewHealthClient(conn)
}

// slowCall is one whose request does not arrive in one piece.
type slowCall struct {
	w      *io.PipeWriter
	status chan string
}

// startCall sends the first bytes of a request.
func startCall(t *testing.T, client *http.Client, addr net.Addr, sent []byte) slowCall {
	t.Helper()
	r, w := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr.String()+"/grpc.health.v1.Health/Check", r)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	c := slowCall{w, make(chan string, 1)}
	go func() {
		res, err := client.Do(request)
		if err != nil {
			c.status <- err.Error()
			return
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		c.status <- res.Header.Get("Grpc-Status") + res.Trailer.Get("Grpc-Status")
	}()
	if _, err := w.Write(sent); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSlowGRPCRequests: of calls whose requests do not end the oldest are ended,
// when more has arrived since than the budget allows; others go on.
func TestSlowGRPCRequests(t *testing.T) {
	addr, fast := serveGRPC(t, Config{MaxMessage: 1 << 20, Budget: transport.NewBudget(256 * kib)}, patient{})
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	http2 := &http.Transport{Protocols: protocols}
	defer http2.CloseIdleConnections()
	client := &http.Client{Transport: http2}

	message, err := proto.Marshal(&healthpb.HealthCheckRequest{Service: strings.Repeat("x", 110*kib)})
	if err != nil {
		t.Fatal(err)
	}
	request := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	first := startCall(t, client, addr, request[:100*kib])
	second := startCall(t, client, addr, request[:100*kib])
	third := startCall(t, client, addr, request[:100*kib])
	if got := <-first.status; got != "1" { // Canceled
		t.Errorf("the oldest call ended with %q", got)
	}
	first.w.Close()
	if _, err := fast.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("a small call: %v", err)
	}
	for _, c := range []slowCall{second, third} {
		c.w.Write(request[100*kib:])
		c.w.Close()
		if got := <-c.status; got != "0" {
			t.Errorf("a younger call ended with %q", got)
		}
	}
}

// TestLargeGRPCRequests hold their part of the budget until they are answered.
func TestLargeGRPCRequests(t *testing.T) {
	service := patient{waits: make(chan struct{}), goOn: make(chan struct{})}
	_, client := serveGRPC(t, Config{MaxMessage: 1 << 20, Budget: transport.NewBudget(256 * kib)}, service)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "wait" + strings.Repeat("x", 200*kib)})
		done <- err
	}()
	<-service.waits
	large := &healthpb.HealthCheckRequest{Service: strings.Repeat("x", 200*kib)}
	_, err := client.Check(ctx, large)
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || st.Message() != transport.ErrFull.Error() || len(st.Details()) != 2 || detailedID(err) == "" {
		t.Fatalf("a second: %v", err)
	}
	if info, ok := st.Details()[0].(*errdetails.RetryInfo); !ok || info.RetryDelay.AsDuration() != time.Second {
		t.Errorf("its details: %v", st.Details())
	}
	if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "small"}); err != nil {
		t.Errorf("a small one: %v", err)
	}
	service.goOn <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := client.Check(ctx, large); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestClientsShareLargeGRPCRequests: one has as much of the budget as it leaves free.
func TestClientsShareLargeGRPCRequests(t *testing.T) {
	service := patient{waits: make(chan struct{}), goOn: make(chan struct{})}
	defer close(service.goOn)
	of := func(ctx context.Context) string { return fmt.Sprint(metadata.ValueFromIncomingContext(ctx, "client")) }
	_, client := serveGRPC(t, Config{MaxMessage: 1 << 20, Budget: transport.NewBudget(512 * kib), Client: of}, service)
	as := func(name string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "client", name)
	}
	for range 3 {
		go client.Check(as("large"), &healthpb.HealthCheckRequest{Service: "wait" + strings.Repeat("x", 100*kib)})
		<-service.waits
	}
	large := &healthpb.HealthCheckRequest{Service: strings.Repeat("x", 100*kib)}
	if _, err := client.Check(as("large"), large); status.Code(err) != codes.Unavailable {
		t.Error("a fourth:", err)
	}
	if _, err := client.Check(as("other"), large); err != nil {
		t.Error("another client found no room:", err)
	}
}

// TestCallsThatEndAreForgotten, however they end.
func TestCallsThatEndAreForgotten(t *testing.T) {
	r := newReceiving(10)
	idle := r.oldest.Load()
	ctx, cancel := context.WithCancel(t.Context())
	for _, end := range []func(ctx context.Context){
		func(ctx context.Context) { ctx.Value(arrivalKey{}).(*arrival).complete() },
		func(context.Context) { r.count(11) },
		func(ctx context.Context) { cancel(); ctx.Value(arrivalKey{}).(*arrival).remove() },
	} {
		call, err := r.begin(ctx, &tap.Info{})
		if err != nil || r.calls.Len() != 1 || r.oldest.Load() != r.arrived.Load() {
			t.Fatal(err, r.calls.Len())
		}
		r.count(10) // and no more
		if call.Err() != nil {
			t.Error(call.Err())
		}
		end(call)
		if r.calls.Len() != 0 || r.oldest.Load() != idle {
			t.Errorf("%d calls, the oldest %d", r.calls.Len(), r.oldest.Load())
		}
	}
}

// TestTooManyFields: they are counted before they are decoded.
func TestTooManyFields(t *testing.T) {
	of := &descriptorpb.FileDescriptorProto{}
	enum := []byte("\x2a\x00") // an empty EnumDescriptorProto
	for _, c := range []struct {
		n    int
		says string
	}{{4000, ""}, {6000, "more than 4846 fields in its 12000 bytes"}, {1 << 20, "more than 65536 fields"}} {
		err := checkFields(bytes.Repeat(enum, c.n), of)
		if c.says == "" && err != nil || c.says != "" && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%d: %v", c.n, err)
		}
	}
}

// FuzzCountFields: a message has no more values than are counted.
func FuzzCountFields(f *testing.F) {
	seed, err := proto.Marshal(protodesc.ToFileDescriptorProto(healthpb.File_grpc_health_v1_health_proto))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("\x2a\x00\x2a\x00"))
	f.Add([]byte("\x22\x04\x12\x02\x1a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &descriptorpb.FileDescriptorProto{}
		left := len(data)
		if !countFields(data, m.ProtoReflect().Descriptor(), &left) {
			t.Fatalf("%q has more fields than bytes", data)
		}
		if err := proto.Unmarshal(data, m); err != nil {
			return
		}
		if n := fieldsOf(m.ProtoReflect()); n > len(data)-left {
			t.Errorf("%q has %d fields, and %d are counted", data, n, len(data)-left)
		}
	})
}

// fieldsOf counts the fields of a message except for numbers, which may be packed.
func fieldsOf(m protoreflect.Message) (n int) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind && f.Kind() != protoreflect.StringKind:
		case !f.IsList() && f.Message() == nil:
			n++
		case !f.IsList():
			n += 1 + fieldsOf(v.Message())
		default:
			for i := range v.List().Len() {
				n++
				if f.Message() != nil {
					n += fieldsOf(v.List().Get(i).Message())
				}
			}
		}
		return true
	})
	return n
}

// TestIdleClientsOfGRPC: they give way to new ones, as those of HTTP do.
func TestIdleClientsOfGRPC(t *testing.T) {
	service := patient{waits: make(chan struct{}), goOn: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	s := NewServer(ctx, Config{MaxMessage: 1 << 20, Log: quiet})
	healthpb.RegisterHealthServer(s, service)
	on := listen(t, 2)
	done := make(chan error, 1)
	go func() { done <- transport.Servers{GRPC: s, GRPCOn: on, Grace: time.Minute}.Run(ctx) }()
	client := func() healthpb.HealthClient {
		conn, err := grpc.NewClient(on.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return healthpb.NewHealthClient(conn)
	}
	within, end := context.WithTimeout(ctx, 5*time.Minute)
	defer end()
	first := make(chan error, 1)
	go func() {
		_, err := client().Check(within, &healthpb.HealthCheckRequest{Service: "wait"})
		first <- err
	}()
	<-service.waits
	for i := range 5 {
		if _, err := client().Check(within, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	service.goOn <- struct{}{}
	if err := <-first; err != nil {
		t.Errorf("the call that was at work: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// service is a gRPC service: Check panics, Watch goes on for ever.
type service struct {
	healthpb.UnimplementedHealthServer
}

func (service) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	panic("a fault")
}

func (service) Watch(_ *healthpb.HealthCheckRequest, s grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if err := s.Send(&healthpb.HealthCheckResponse{}); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}

type call struct {
	method string
	code   codes.Code
}

func TestGRPC(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan call, 10)
	var said bytes.Buffer
	s := NewServer(ctx, Config{
		MaxMessage: 1000, Log: slog.New(slog.NewTextHandler(&said, nil)),
		Seen: func(method string, code codes.Code, _ time.Duration) { seen <- call{method, code} },
	})
	healthpb.RegisterHealthServer(s, service{})
	on := listen(t, transport.DefaultConnections)
	done := make(chan error, 1)
	go func() { done <- transport.Servers{GRPC: s, GRPCOn: on, Grace: time.Minute}.Run(ctx) }()
	conn, err := grpc.NewClient(on.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthpb.NewHealthClient(conn)

	if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "a fault") {
		t.Errorf("a panic gave %v", err)
	}
	if got := <-seen; got != (call{"/grpc.health.v1.Health/Check", codes.Internal}) {
		t.Errorf("%v", got)
	}
	if !strings.Contains(said.String(), "a fault") {
		t.Errorf("the log says %q", said.String())
	}
	if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: strings.Repeat("x", 2000)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a big message gave %v", err)
	}

	watch, err := client.Watch(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("at the end the stream got %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := <-seen; got != (call{"/grpc.health.v1.Health/Watch", codes.Unavailable}) {
		t.Errorf("%v", got)
	}
}
