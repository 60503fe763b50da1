// Package rekorv2 is Rekor v2's API on the log: the gRPC service
// dev.sigstore.rekor.v2.Rekor, and POST /api/v2/log/entries.
package rekorv2

import (
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
)

// Service implements the generated service.
type Service struct {
	rekorpb.UnimplementedRekorServer
}
