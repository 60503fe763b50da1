// Package native is the log's own API: the gRPC service of
// api/proto/indelible/v1, which grpc-gateway serves as REST too. It translates,
// and admits entries in the request's own goroutine; everything else is the
// log's.
package native

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	"indelible/internal/answers"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/admission"
	"indelible/server/failure"
)

// Log is what the service needs of a log.
type Log interface {
	Origin() string
	AddMany(ctx context.Context, entries []entry.Entry) ([]translog.Outcome, error)
	Published() (translog.Published, error)
	AwaitNewer(ctx context.Context, than int64) (translog.Published, error)
	Entries(ctx context.Context, start, limit int64) ([]translog.Record, translog.Published, error)
	EntryWithProof(ctx context.Context, index int64) (translog.Record, translog.Proof, translog.Published, error)
	LookupWithProof(ctx context.Context, leaf merkle.Hash) (translog.Record, translog.Proof, translog.Published, error)
	InclusionProof(ctx context.Context, index, size int64) (translog.Proof, error)
	ConsistencyProof(ctx context.Context, from, to int64) (translog.ConsistencyProof, error)
}

var _ Log = (*translog.Log)(nil)

const (
	// MaxAdd is the most entries that one call adds.
	MaxAdd = 1024
	// defaultList is how many entries are listed when no limit is asked for.
	defaultList = 100
	// fewEntries is how many entries an answer has that costs little to make.
	fewEntries = 8
	// perEntry and perPage are what an answer takes until it is sent: its entries
	// as they were read, and in JSON.
	perEntry = 3 << 16
	perPage  = 3 * translog.MaxListBytes
	// readTimeout is how long a read waits for the database.
	readTimeout = 10 * time.Second
)

// Config is what a Service is made from.
type Config struct {
	Log     Log
	Kinds   []entry.Kind  // the kinds that may be added
	Timeout time.Duration // how long an add may wait; 30 s
	Search  Search        // nil: there is none
	// Admission is shared by all APIs of a server; nil: one of its own.
	Admission *admission.Admission
	// Answers bounds what answers to reads cost; nil: one that this service has alone.
	Answers *answers.Gate
	// Fault is called with the errors that clients are not shown; it may be nil.
	Fault func(context.Context, error)
}

// Service implements the generated service.
type Service struct {
	pb.UnimplementedLogServer
	cfg Config
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Fault == nil {
		cfg.Fault = func(context.Context, error) {}
	}
	if cfg.Admission == nil {
		cfg.Admission = admission.New(admission.Config{})
	}
	if cfg.Answers == nil {
		cfg.Answers = answers.New(0)
	}
	return &Service{cfg: cfg}
}

// failed is an error as it goes over the wire.
func (s *Service) failed(ctx context.Context, err error) error {
	return s.told(ctx, err, failure.Status(err))
}

// admitFailed is failed, for an entry that was not verified.
func (s *Service) admitFailed(ctx context.Context, err error) error {
	return s.told(ctx, err, failure.Admit(err))
}

// addFailed is failed, for an add.
func (s *Service) addFailed(ctx context.Context, err error) error {
	return s.told(ctx, err, failure.Add(err))
}

func (s *Service) told(ctx context.Context, err, wire error) error {
	if failure.Internal(wire) {
		s.cfg.Fault(ctx, err)
	}
	return wire
}

// AddEntry implements the service.
func (s *Service) AddEntry(ctx context.Context, req *pb.AddEntryRequest) (*pb.AddEntryResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	ctx, err := s.cfg.Admission.Enter(ctx)
	if err != nil {
		return nil, s.admitFailed(ctx, err)
	}
	e, err := s.admit(s.cfg.Admission.Work(ctx), req.GetEntry())
	if err == nil {
		err = s.cfg.Admission.Allow(ctx, e)
	}
	if err != nil {
		return nil, s.admitFailed(ctx, err)
	}
	outcomes, err := s.cfg.Log.AddMany(ctx, []entry.Entry{e})
	if err == nil {
		err = outcomes[0].Err
	}
	if err != nil {
		return nil, s.addFailed(ctx, err)
	}
	r := outcomes[0].Receipt
	logged := loggedEntry(r.Index, r.LeafHash, r.IntegratedAt, e.Kind())
	if e.Kind() != entry.KindRaw {
		logged.Canonical = e.Canonical()
	}
	return &pb.AddEntryResponse{
		Entry: logged, Proof: inclusion(r.Proof), Checkpoint: s.checkpoint(r.Checkpoint), Duplicate: r.Duplicate,
	}, nil
}

// admit makes an entry of what a client asks to be logged.
func (s *Service) admit(work entry.Work, e *pb.Entry) (entry.Entry, error) {
	kind, make, err := kindOf(work, e)
	if err != nil {
		return entry.Entry{}, err
	}
	if !slices.Contains(s.cfg.Kinds, kind) {
		return entry.Entry{}, fmt.Errorf("%w: entries of kind %s are not taken by this log, which takes %s (the operator sets it with --entry-kinds)",
			entry.ErrInvalid, kind, join(s.cfg.Kinds))
	}
	return make()
}

func join(kinds []entry.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

func kindOf(work entry.Work, e *pb.Entry) (entry.Kind, func() (entry.Entry, error), error) {
	switch k := e.GetKind().(type) {
	case *pb.Entry_HashedRekord:
		h := k.HashedRekord
		return entry.KindHashedRekord, func() (entry.Entry, error) {
			return entry.NewHashedRekord(entry.HashedRekord{Digest: h.GetDigest(), Signature: h.GetSignature(), Verifier: verifier(h.GetVerifier()), Work: work})
		}, nil
	case *pb.Entry_Dsse:
		d := k.Dsse
		return entry.KindDSSE, func() (entry.Entry, error) {
			if n := len(d.GetVerifiers()); n > entry.MaxSignatures {
				return entry.Entry{}, fmt.Errorf("%w: there are %d verifiers; give 1 to %d", entry.ErrInvalid, n, entry.MaxSignatures)
			}
			verifiers := make([]entry.Verifier, len(d.GetVerifiers()))
			for i, v := range d.GetVerifiers() {
				verifiers[i] = verifier(v)
			}
			return entry.NewDSSE(entry.DSSE{Envelope: d.GetEnvelope(), Verifiers: verifiers, Work: work})
		}, nil
	case *pb.Entry_Raw:
		return entry.KindRaw, func() (entry.Entry, error) { return entry.NewRaw(k.Raw) }, nil
	}
	return "", nil, fmt.Errorf("%w: it has no entry; give one of hashedRekord, dsse and raw", entry.ErrInvalid)
}

func verifier(v *pb.Verifier) entry.Verifier {
	return entry.Verifier{PublicKey: v.GetPublicKey(), Certificate: v.GetCertificate(), KeyDetails: entry.KeyDetails(v.GetKeyDetails())}
}

// GetEntry implements the service.
func (s *Service) GetEntry(ctx context.Context, req *pb.GetEntryRequest) (*pb.GetEntryResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if req.Index == nil {
		return nil, missing("index", "the index of an entry, from 0 up")
	}
	leave, err := s.cfg.Answers.Answer(ctx, answers.Light, perEntry)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	defer leave()
	r, p, c, err := s.cfg.Log.EntryWithProof(ctx, req.GetIndex())
	return s.answer(ctx, r, p, c, err)
}

// LookupEntry implements the service.
func (s *Service) LookupEntry(ctx context.Context, req *pb.LookupEntryRequest) (*pb.GetEntryResponse, error) {
	if n := len(req.GetLeafHash()); n != merkle.HashSize {
		return nil, status.Errorf(codes.InvalidArgument, "leafHash has %d bytes; a leaf hash has %d (in a URL it is written in base64)", n, merkle.HashSize)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	leave, err := s.cfg.Answers.Answer(ctx, answers.Light, perEntry)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	defer leave()
	r, p, c, err := s.cfg.Log.LookupWithProof(ctx, merkle.Hash(req.GetLeafHash()))
	return s.answer(ctx, r, p, c, err)
}

// missing refuses a request without a number that has no meaning when it is left
// out: 0 is another question.
func missing(field, what string) error {
	return status.Errorf(codes.InvalidArgument, "%s is not given: it is %s", field, what)
}

func (s *Service) answer(ctx context.Context, r translog.Record, p translog.Proof, c translog.Published, err error) (*pb.GetEntryResponse, error) {
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return &pb.GetEntryResponse{Entry: logged(r), Proof: inclusion(p), Checkpoint: s.checkpoint(c)}, nil
}

// ListEntries implements the service.
func (s *Service) ListEntries(ctx context.Context, req *pb.ListEntriesRequest) (*pb.ListEntriesResponse, error) {
	limit := req.GetLimit()
	if limit == 0 {
		limit = defaultList
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	leave, err := s.pageOf(ctx, limit)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	defer leave()
	records, published, err := s.cfg.Log.Entries(ctx, req.GetStart(), limit)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return &pb.ListEntriesResponse{
		Entries: loggedAll(records), Next: req.GetStart() + int64(len(records)), TreeSize: published.Size,
	}, nil
}

// pageOf waits for room for a page of up to limit entries.
func (s *Service) pageOf(ctx context.Context, limit int64) (leave func(), err error) {
	if limit <= fewEntries {
		return s.cfg.Answers.Answer(ctx, answers.Light, min(perPage, max(0, limit)*perEntry))
	}
	return s.cfg.Answers.Answer(ctx, answers.Heavy, perPage)
}

func loggedAll(records []translog.Record) []*pb.LoggedEntry {
	if len(records) == 0 {
		return nil
	}
	all := make([]*pb.LoggedEntry, len(records))
	for i, r := range records {
		all[i] = logged(r)
	}
	return all
}

// GetCheckpoint implements the service.
func (s *Service) GetCheckpoint(ctx context.Context, _ *pb.GetCheckpointRequest) (*pb.Checkpoint, error) {
	p, err := s.cfg.Log.Published()
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return s.checkpoint(p), nil
}

// GetInclusionProof implements the service.
func (s *Service) GetInclusionProof(ctx context.Context, req *pb.GetInclusionProofRequest) (*pb.InclusionProof, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if req.Index == nil {
		return nil, missing("index", "the index of an entry, from 0 up")
	}
	if req.TreeSize != nil && req.GetTreeSize() == 0 { // which asks the log for its newest
		return nil, status.Error(codes.InvalidArgument, "treeSize is 0, and that tree has no entry; give a size larger than the index, or leave it out for the published one")
	}
	p, err := s.cfg.Log.InclusionProof(ctx, req.GetIndex(), req.GetTreeSize())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return inclusion(p), nil
}

// GetConsistencyProof implements the service.
func (s *Service) GetConsistencyProof(ctx context.Context, req *pb.GetConsistencyProofRequest) (*pb.ConsistencyProof, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if req.From == nil {
		return nil, missing("from", "the size of the older tree")
	}
	if req.To != nil && req.GetTo() == 0 { // which asks the log for its newest
		return nil, status.Error(codes.InvalidArgument, "to is 0; give a size from 1 up that is not less than from, or leave it out for the published one")
	}
	c, err := s.cfg.Log.ConsistencyProof(ctx, req.GetFrom(), req.GetTo())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return &pb.ConsistencyProof{From: c.From, To: c.To, FromRoot: c.FromRoot[:], ToRoot: c.ToRoot[:], Hashes: hashes(c.Hashes)}, nil
}

// WatchCheckpoints implements the service.
func (s *Service) WatchCheckpoints(_ *pb.WatchCheckpointsRequest, stream grpc.ServerStreamingServer[pb.Checkpoint]) error {
	size := int64(-1)
	for {
		p, err := s.cfg.Log.AwaitNewer(stream.Context(), size)
		if err != nil {
			return s.failed(stream.Context(), err)
		}
		if err := stream.Send(s.checkpoint(p)); err != nil {
			return err
		}
		size = p.Size
	}
}

func (s *Service) checkpoint(p translog.Published) *pb.Checkpoint {
	return &pb.Checkpoint{Origin: s.cfg.Log.Origin(), TreeSize: p.Size, RootHash: p.Root[:], Note: string(p.Note)}
}

func logged(r translog.Record) *pb.LoggedEntry {
	kind, _ := entry.KindOf(r.Canonical)
	l := loggedEntry(r.Index, r.LeafHash, r.IntegratedAt, kind)
	l.Canonical = r.Canonical
	return l
}

func loggedEntry(index int64, leaf merkle.Hash, at time.Time, kind entry.Kind) *pb.LoggedEntry {
	return &pb.LoggedEntry{Index: index, LeafHash: leaf[:], IntegratedAt: at.UnixMilli(), Kind: string(kind)}
}

func inclusion(p translog.Proof) *pb.InclusionProof {
	return &pb.InclusionProof{Index: p.Index, TreeSize: p.Size, RootHash: p.Root[:], Hashes: hashes(p.Hashes)}
}

func hashes(list []merkle.Hash) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i][:]
	}
	return out
}
