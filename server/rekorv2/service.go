// Package rekorv2 is Rekor v2's API on the log, for Sigstore's clients: the gRPC
// service dev.sigstore.rekor.v2.Rekor, and the same over REST.
//
//	POST /api/v2/log/entries    201 and a TransparencyLogEntry
//	GET  /api/v2/checkpoint     the same as /checkpoint
//	GET  /api/v2/tile/…         the same as /tile/…
//
// A request names one of two kinds; names may be written in snake_case too, and
// a field that the messages do not have is an error:
//
//	{"hashedRekordRequestV002":{"digest":"…","signature":{"content":"…","verifier":
//	  {"publicKey":{"rawBytes":"…"},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}
//	{"dsseRequestV002":{"envelope":{"payload":"…","payloadType":"…","signatures":[{"sig":"…"}]},"verifiers":[…]}}
//
// The answer waits until the entry is published, and holds all that proves it:
//
//	{"logIndex":"7","logId":{"keyId":"…"},"kindVersion":{"kind":"hashedrekord","version":"0.0.2"},
//	 "integratedTime":"0","inclusionPromise":null,
//	 "inclusionProof":{"logIndex":"7","rootHash":"…","treeSize":"9","hashes":["…"],"checkpoint":{"envelope":"…"}},
//	 "canonicalizedBody":"…"}
//
// # Where it differs from Rekor
//
// The same entry again is a success: 201, the index that it has, and a proof in
// the present tree. Errors say what was wrong. dsse requests are taken, which
// newer Rekors refuse and older clients send. Reads work over gRPC too.
//
// Over REST two errors have other statuses, as all of this server's have: a body
// that is too large is 413, and Rekor's 400, which does not tell it from one that is
// wrong; another method than a path has is 405 with an Allow header, and Rekor's
// 501, which says that no path has it. To clients both are final, as with Rekor.
package rekorv2

import (
	"context"
	"net/http"
	"time"

	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	entrypb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/entry"
	"indelible/internal/answers"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/admission"
	"indelible/server/failure"
)

// Log is what the service needs of a log.
type Log interface {
	AddMany(ctx context.Context, entries []entry.Entry) ([]translog.Outcome, error)
	Published() (translog.Published, error)
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
	Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error)
}

var _ Log = (*translog.Log)(nil)

// version is that of the entries made here.
const version = "0.0.2"

// Config is what a Service is made from.
type Config struct {
	Log     Log
	KeyID   [32]byte      // logId.keyId: all of the key id in a checkpoint's signature line
	Kinds   []entry.Kind  // the kinds that may be added; others than hashedrekord and dsse are of no use here
	Timeout time.Duration // how long an add may wait; 20 s, and Sigstore's clients wait 30 s
	Tiles   http.Handler  // serves /checkpoint and /tile/
	MaxBody int64         // bytes of a request's body; 8 MiB
	// Admission is shared by all APIs of a server; nil: one of its own.
	Admission *admission.Admission
	// Fault is called with the errors that clients are not shown; it may be nil.
	Fault func(context.Context, error)
}

// Service implements the generated service.
type Service struct {
	rekorpb.UnimplementedRekorServer
	cfg   Config
	turns *answers.Gate // of tiles and bundles that are made
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 8 << 20
	}
	if cfg.Fault == nil {
		cfg.Fault = func(context.Context, error) {}
	}
	if cfg.Admission == nil {
		cfg.Admission = admission.New(admission.Config{})
	}
	return &Service{cfg: cfg, turns: answers.New(0)}
}

// CreateEntry implements the service.
func (s *Service) CreateEntry(ctx context.Context, req *rekorpb.CreateEntryRequest) (*entrypb.TransparencyLogEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	ctx, err := s.cfg.Admission.Enter(ctx)
	if err != nil {
		return nil, s.told(ctx, err, failure.Admit(err))
	}
	e, err := s.admit(s.cfg.Admission.Work(ctx), req)
	if err == nil {
		err = s.cfg.Admission.Allow(ctx, e)
	}
	if failure.Limited(err) {
		return nil, failure.Admit(err)
	}
	if err != nil {
		return nil, s.told(ctx, err, busy(failure.Admit(err)))
	}
	outcomes, err := s.cfg.Log.AddMany(ctx, []entry.Entry{e})
	if err == nil {
		err = outcomes[0].Err
	}
	if err != nil {
		return nil, s.told(ctx, err, busy(failure.Add(err)))
	}
	return s.logged(e, outcomes[0].Receipt), nil
}

// logged is an entry as Rekor answers with it. Rekor v2 gives no time.
func (s *Service) logged(e entry.Entry, r translog.Receipt) *entrypb.TransparencyLogEntry {
	hashes := make([][]byte, len(r.Proof.Hashes))
	for i := range hashes {
		hashes[i] = r.Proof.Hashes[i][:]
	}
	return &entrypb.TransparencyLogEntry{
		LogIndex:    r.Index,
		LogId:       &commonpb.LogId{KeyId: s.cfg.KeyID[:]},
		KindVersion: &entrypb.KindVersion{Kind: string(e.Kind()), Version: version},
		InclusionProof: &entrypb.InclusionProof{
			LogIndex: r.Index, RootHash: r.Proof.Root[:], TreeSize: r.Proof.Size, Hashes: hashes,
			Checkpoint: &entrypb.Checkpoint{Envelope: string(r.Checkpoint.Note)},
		},
		CanonicalizedBody: e.Canonical(),
	}
}

// told reports the errors that clients are not shown.
func (s *Service) told(ctx context.Context, err, wire error) error {
	if failure.Internal(wire) {
		s.cfg.Fault(ctx, err)
	}
	return wire
}

// busy makes ResourceExhausted Unavailable, as Rekor says it: its clients try that
// again by themselves, and nothing else.
func busy(wire error) error {
	st := status.Convert(wire).Proto()
	if codes.Code(st.GetCode()) == codes.ResourceExhausted {
		st.Code = int32(codes.Unavailable)
	}
	return status.ErrorProto(st)
}
