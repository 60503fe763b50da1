package native

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	"indelible/index"
	translog "indelible/log"
	"indelible/merkle"
)

// hanging is a log, and a search, over a database that does not answer.
type hanging struct{ Log }

func (hanging) EntryWithProof(ctx context.Context, _ int64) (translog.Record, translog.Proof, translog.Published, error) {
	<-ctx.Done()
	return translog.Record{}, translog.Proof{}, translog.Published{}, ctx.Err()
}

func (h hanging) LookupWithProof(ctx context.Context, _ merkle.Hash) (translog.Record, translog.Proof, translog.Published, error) {
	return h.EntryWithProof(ctx, 0)
}

func (hanging) Entries(ctx context.Context, _, _ int64) ([]translog.Record, translog.Published, error) {
	<-ctx.Done()
	return nil, translog.Published{}, ctx.Err()
}

func (hanging) InclusionProof(ctx context.Context, _, _ int64) (translog.Proof, error) {
	<-ctx.Done()
	return translog.Proof{}, ctx.Err()
}

func (hanging) ConsistencyProof(ctx context.Context, _, _ int64) (translog.ConsistencyProof, error) {
	<-ctx.Done()
	return translog.ConsistencyProof{}, ctx.Err()
}

func (hanging) Find(ctx context.Context, _ entry.IndexKey, _ int64, _ int) (index.Hits, error) {
	<-ctx.Done()
	return index.Hits{}, ctx.Err()
}

func TestReadsHaveADeadline(t *testing.T) {
	s := New(Config{Log: hanging{}, Search: hanging{}})
	for name, read := range map[string]func(context.Context) error{
		"get": func(ctx context.Context) error {
			_, err := s.GetEntry(ctx, &pb.GetEntryRequest{Index: new(int64)})
			return err
		},
		"lookup": func(ctx context.Context) error {
			_, err := s.LookupEntry(ctx, &pb.LookupEntryRequest{LeafHash: make([]byte, 32)})
			return err
		},
		"list": func(ctx context.Context) error { _, err := s.ListEntries(ctx, &pb.ListEntriesRequest{}); return err },
		"search": func(ctx context.Context) error {
			_, err := s.SearchEntries(ctx, &pb.SearchEntriesRequest{Subject: "jane@example.com"})
			return err
		},
		"inclusion": func(ctx context.Context) error {
			_, err := s.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{Index: new(int64)})
			return err
		},
		"consistency": func(ctx context.Context) error {
			_, err := s.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{From: new(int64)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begin := time.Now()
				err := read(ctx)
				if took := time.Since(begin); took != readTimeout || status.Code(err) != codes.DeadlineExceeded || status.Convert(err).Message() != "timed out; try again" {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}
