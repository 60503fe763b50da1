package rekorv2

import (
	"context"
	"fmt"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/emptypb"

	"indelible/merkle"
	"indelible/server/failure"
)

// GetCheckpoint implements the service.
func (s *Service) GetCheckpoint(context.Context, *emptypb.Empty) (*httpbody.HttpBody, error) {
	p, err := s.cfg.Log.Published()
	return s.body("text/plain; charset=utf-8", p.Note, err)
}

// GetTile implements the service.
func (s *Service) GetTile(ctx context.Context, req *rekorpb.TileRequest) (*httpbody.HttpBody, error) {
	t, err := merkle.ParseTilePath(fmt.Sprintf("tile/%d/%s", req.GetL(), req.GetN()))
	if err != nil {
		return s.body("", nil, invalid("%w; n is such as x001/067, or 000.p/12 for a partial tile", err))
	}
	data, err := s.cfg.Log.Tile(ctx, t)
	return s.body("application/octet-stream", data, err)
}

// GetEntryBundle implements the service.
func (s *Service) GetEntryBundle(ctx context.Context, req *rekorpb.EntryBundleRequest) (*httpbody.HttpBody, error) {
	b, err := merkle.ParseBundlePath("tile/entries/" + req.GetN())
	if err != nil {
		return s.body("", nil, invalid("%w; n is such as x001/067, or 000.p/12 for a partial bundle", err))
	}
	data, err := s.cfg.Log.Bundle(ctx, b)
	return s.body("application/octet-stream", data, err)
}

func (s *Service) body(contentType string, data []byte, err error) (*httpbody.HttpBody, error) {
	if err != nil {
		return nil, s.told(err, failure.Status(err))
	}
	return &httpbody.HttpBody{ContentType: contentType, Data: data}, nil
}
