package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"indelible/internal/config"
	"indelible/internal/transport"
)

func (p *program) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Ask the server at --admin whether it is ready",
		Long: "Ask the server at --admin whether it is ready, and print why not, and its warnings. The exit code is 0 if it is ready,\n" +
			"else 1. A container without curl uses this as its probe.",
		Args: cobra.NoArgs,
		RunE: p.with(func(ctx context.Context, v config.Values) error {
			return transport.Health(ctx, v.Text("admin"), p.stdout)
		}),
	}
}

// healthService is gRPC's health protocol over the log's readiness: a log
// whose database does not answer is not serving.
type healthService struct {
	healthpb.UnimplementedHealthServer
	ready func() error
}

func (h healthService) status() healthpb.HealthCheckResponse_ServingStatus {
	if h.ready() != nil {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

func (h healthService) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: h.status()}, nil
}

// Watch sends the status at once and whenever it has changed, looking once a
// second.
func (h healthService) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		if now := h.status(); now != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
