package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "indelible/api/proto/indelible/v1"
)

// TestSizeNought: 0 is a size like another, and not the newest.
func TestSizeNought(t *testing.T) {
	w, s, ctx := newWorld(t, nil), newSigner(t), deadline(t)
	for i := range 8 {
		w.ask(t, "POST", "/v1/entries", s.request(t, numbered(i)))
	}
	for _, target := range []string{
		"/v1/proofs/consistency?from=5&to=0", "/v1/proofs/consistency?from=0&to=0", "/v1/proofs/inclusion?index=0&treeSize=0", "/v1/proofs/inclusion?index=0&tree_size=0",
	} {
		if rec := w.ask(t, "GET", target, nil); rec.Code != 400 || !strings.Contains(rec.Body.String(), "is 0") {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
	if _, err := w.grpc.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{From: proto.Int64(5), To: proto.Int64(0)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("consistency over gRPC: %v", err)
	}
	if _, err := w.grpc.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{Index: proto.Int64(0), TreeSize: proto.Int64(0)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("inclusion over gRPC: %v", err)
	}
	var inclusion pb.InclusionProof
	if w.get(t, "/v1/proofs/inclusion?index=0", &inclusion); inclusion.GetTreeSize() != 8 {
		t.Errorf("without a size, the proof is for %d", inclusion.GetTreeSize())
	}
	var consistency pb.ConsistencyProof
	if w.get(t, "/v1/proofs/consistency?from=5", &consistency); consistency.GetTo() != 8 {
		t.Errorf("without a size, the proof is to %d", consistency.GetTo())
	}
}
