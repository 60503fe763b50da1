package rekorv2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	entrypb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/internal/fair"
	"indelible/server/failure"
	"indelible/server/rest"
)

const (
	prefix    = "/api/v2"
	entryPath = prefix + "/log/entries"
)

// Handler serves what is below /api/v2/.
func (s *Service) Handler() http.Handler {
	create := s.cfg.Admission.Writes(rest.LimitBody(http.HandlerFunc(s.create), s.cfg.MaxBody, s.decode), failure.WriteError)
	tiles := http.StripPrefix(prefix, s.cfg.Tiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.EscapedPath(); {
		case path == entryPath && r.Method == http.MethodPost:
			create.ServeHTTP(w, r)
		case path == entryPath:
			w.Header().Set("Allow", http.MethodPost)
			failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%s takes POST, and not %.20q", path, r.Method))
		case path == prefix+"/checkpoint" || strings.HasPrefix(path, prefix+"/tile/"):
			tiles.ServeHTTP(w, r)
		default:
			failure.Write(w, http.StatusNotFound, codes.NotFound,
				fmt.Sprintf("there is nothing at %.200q; Rekor v2's API is POST %s, and checkpoint and tile/… below %s", path, entryPath, prefix))
		}
	})
}

// create answers POST /api/v2/log/entries.
func (s *Service) create(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		rest.WriteError(w, r, status.Errorf(codes.InvalidArgument, "unknown query parameters %.100q; there are none", r.URL.RawQuery))
		return
	}
	logged, err := s.post(r)
	if err != nil {
		rest.WriteError(w, r, err)
		return
	}
	answer, err := marshal(logged)
	if err != nil {
		rest.WriteError(w, r, s.told(r.Context(), err, failure.Status(err)))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Rekor's own client takes no other status.
	w.WriteHeader(http.StatusCreated)
	w.Write(answer)
}

func (s *Service) post(r *http.Request) (*entrypb.TransparencyLogEntry, error) {
	var req rekorpb.CreateEntryRequest
	err := rest.ReadMessage(r.Body, &req)
	if errors.Is(err, io.EOF) {
		return nil, status.Error(codes.InvalidArgument, `the request has no body; give JSON such as {"hashedRekordRequestV002":{…}}`)
	}
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return s.CreateEntry(r.Context(), &req)
}

// decode is Decode of the Admission, whose refusals clients of Rekor try again.
func (s *Service) decode(ctx context.Context, size int, decode func() error) error {
	err := s.cfg.Admission.Decode(ctx, size, decode)
	if errors.Is(err, fair.ErrBusy) {
		return busy(failure.Admit(err))
	}
	return err
}
