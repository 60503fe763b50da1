package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
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

	"indelible/internal/transport"
)

// Over gRPC the same is metadata, and the details of an error have it, too: of a
// call, of one whose request is not read, and of a stream.
func TestCallsAreNamed(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	said := make(chan string, 100)
	logger := slog.New(slog.NewJSONHandler(lineWriter(said), nil))
	s := NewServer(ctx, Config{MaxMessage: 1000, Log: logger, Access: &transport.AccessLog{Log: logger}, Client: func(context.Context) string { return "me" }})
	healthpb.RegisterHealthServer(s, service{})
	on := listen(t, 10)
	done := make(chan error, 1)
	go func() { done <- transport.Servers{GRPC: s, GRPCOn: on, Grace: time.Minute}.Run(ctx) }()
	conn, err := grpc.NewClient(on.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthpb.NewHealthClient(conn)
	named := metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "mine")
	line := func(path, status string, bytes int, id string) {
		t.Helper()
		for {
			got := <-said
			if !strings.Contains(got, `"msg":"request"`) {
				continue
			}
			_, got, _ = strings.Cut(got, `"api"`)
			want := fmt.Sprintf(`:"grpc","method":"POST","path":%q,"status":%q,"bytes":%d,"seconds":S,"client":"me","request":%q}`+"\n", path, status, bytes, id)
			if got = regexp.MustCompile(`"seconds":[0-9.e-]+`).ReplaceAllString(got, `"seconds":S`); got != want {
				t.Errorf("the access log says %s, and not %s", got, want)
			}
			return
		}
	}

	for _, c := range []struct {
		ctx  context.Context
		text string
		code codes.Code
		id   string // empty: a new one
	}{
		{named, "", codes.Internal, "mine"},
		{context.Background(), "", codes.Internal, ""},
		{named, strings.Repeat("x", 2000), codes.ResourceExhausted, "mine"}, // gRPC itself refuses it, without details
	} {
		var header metadata.MD
		_, err := client.Check(c.ctx, &healthpb.HealthCheckRequest{Service: c.text}, grpc.Header(&header))
		id := strings.Join(header.Get("x-request-id"), ",")
		if status.Code(err) != c.code || id == "" || c.id != "" && id != c.id || c.text == "" && detailedID(err) != id {
			t.Errorf("%v; it is named %q, and in the details %q", err, id, detailedID(err))
		}
		line("/grpc.health.v1.Health/Check", c.code.String(), 0, id)
	}

	watch, err := client.Watch(named, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if header, err := watch.Header(); err != nil || strings.Join(header.Get("x-request-id"), ",") != "mine" {
		t.Errorf("%v, %v", header, err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable || detailedID(err) != "mine" {
		t.Errorf("at the end the stream got %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	line("/grpc.health.v1.Health/Watch", "Unavailable", 0, "mine")
}

// lineWriter sends what is written, a line at a time.
type lineWriter chan<- string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

// detailedID is the request's id in the details of an error.
func detailedID(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RequestInfo); ok {
			return info.GetRequestId()
		}
	}
	return ""
}
