package rekorv2

import (
	"context"
	"fmt"
	"time"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/emptypb"

	"indelible/internal/answers"
	"indelible/merkle"
	"indelible/server/failure"
)

const (
	// loadTimeout is how long a reader waits for the database.
	loadTimeout = 10 * time.Second
	// maxMessage is what gRPC's clients take, in bytes, unless they are told
	// otherwise: 4 MiB with what is around a bundle.
	maxMessage = 4<<20 - 64
)

// GetCheckpoint implements the service.
func (s *Service) GetCheckpoint(ctx context.Context, _ *emptypb.Empty) (*httpbody.HttpBody, error) {
	p, err := s.cfg.Log.Published()
	return s.body(ctx, "text/plain; charset=utf-8", p.Note, err)
}

// GetTile implements the service.
func (s *Service) GetTile(ctx context.Context, req *rekorpb.TileRequest) (*httpbody.HttpBody, error) {
	t, err := merkle.ParseTilePath(fmt.Sprintf("tile/%d/%s", req.GetL(), req.GetN()))
	if err != nil {
		return s.body(ctx, "", nil, invalid("%w; n is such as x001/067, or 000.p/12 for a partial tile", err))
	}
	data, err := s.load(ctx, func(ctx context.Context) ([]byte, error) { return s.cfg.Log.Tile(ctx, t) })
	return s.body(ctx, "application/octet-stream", data, err)
}

// GetEntryBundle implements the service.
func (s *Service) GetEntryBundle(ctx context.Context, req *rekorpb.EntryBundleRequest) (*httpbody.HttpBody, error) {
	b, err := merkle.ParseBundlePath("tile/entries/" + req.GetN())
	if err != nil {
		return s.body(ctx, "", nil, invalid("%w; n is such as x001/067, or 000.p/12 for a partial bundle", err))
	}
	data, err := s.load(ctx, func(ctx context.Context) ([]byte, error) { return s.cfg.Log.Bundle(ctx, b) })
	if len(data) > maxMessage {
		return s.body(ctx, "", nil, invalid("the bundle has %d bytes, and gRPC's clients take messages of 4 MiB at most: get it from the HTTP port, at /%s", len(data), b.Path()))
	}
	return s.body(ctx, "application/octet-stream", data, err)
}

// load makes a tile or a bundle when it is its turn: a bundle can have 16 MiB.
func (s *Service) load(ctx context.Context, fetch func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	leave, err := s.turns.Work(ctx, answers.Heavy)
	if err != nil {
		return nil, err
	}
	defer leave()
	return fetch(ctx)
}

func (s *Service) body(ctx context.Context, contentType string, data []byte, err error) (*httpbody.HttpBody, error) {
	if err != nil {
		return nil, s.told(ctx, err, failure.Status(err))
	}
	return &httpbody.HttpBody{ContentType: contentType, Data: data}, nil
}
