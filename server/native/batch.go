package native

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	translog "indelible/log"
)

// AddEntries implements the service.
func (s *Service) AddEntries(ctx context.Context, req *pb.AddEntriesRequest) (*pb.AddEntriesResponse, error) {
	n := len(req.GetEntries())
	if n < 1 || n > MaxAdd {
		return nil, status.Errorf(codes.InvalidArgument, "%d entries; one call adds 1 to %d", n, MaxAdd)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	ctx, err := s.cfg.Admission.Enter(ctx)
	if err != nil {
		return nil, s.admitFailed(ctx, err)
	}
	entries, refused := s.admitAll(ctx, req.GetEntries())
	if err := ctx.Err(); err != nil {
		return nil, s.admitFailed(ctx, err)
	}
	var admitted []entry.Entry
	for i, e := range entries {
		if refused[i] == nil {
			admitted = append(admitted, e)
		}
	}
	var outcomes []translog.Outcome
	if len(admitted) > 0 {
		var err error
		if outcomes, err = s.cfg.Log.AddMany(ctx, admitted); err != nil {
			return nil, s.addFailed(ctx, err)
		}
	}
	return s.batchAnswer(ctx, entries, refused, outcomes)
}

// admitAll admits entries on all cores: checking signatures is most of the work
// of a batch. Each takes its own turns among what the other clients ask for. What
// is left when ctx ends is refused.
func (s *Service) admitAll(ctx context.Context, asked []*pb.Entry) ([]entry.Entry, []error) {
	entries, refused := make([]entry.Entry, len(asked)), make([]error, len(asked))
	work := s.cfg.Admission.Work(ctx)
	var g errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), len(asked))
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(asked); i += workers {
				if refused[i] = ctx.Err(); refused[i] == nil {
					entries[i], refused[i] = s.admit(work, asked[i])
				}
				if refused[i] == nil {
					refused[i] = s.cfg.Admission.Allow(ctx, entries[i])
				}
			}
			return nil
		})
	}
	g.Wait() // no worker fails: what is refused is in refused
	return entries, refused
}

// batchAnswer puts the outcomes back in the order asked. What was added has its
// proof for one checkpoint; without any there is the published one.
func (s *Service) batchAnswer(ctx context.Context, entries []entry.Entry, refused []error, outcomes []translog.Outcome) (*pb.AddEntriesResponse, error) {
	published, err := s.cfg.Log.Published()
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	res := &pb.AddEntriesResponse{Outcomes: make([]*pb.AddOutcome, len(entries))}
	next := 0
	for i, e := range entries {
		if refused[i] != nil {
			res.Outcomes[i] = refusal(s.admitFailed(ctx, refused[i]))
			continue
		}
		o := outcomes[next]
		next++
		if o.Err != nil {
			res.Outcomes[i] = refusal(s.addFailed(ctx, o.Err))
			continue
		}
		published = o.Receipt.Checkpoint
		r := o.Receipt
		res.Outcomes[i] = &pb.AddOutcome{
			Entry: loggedEntry(r.Index, r.LeafHash, r.IntegratedAt, e.Kind()), Proof: inclusion(r.Proof), Duplicate: r.Duplicate,
		}
	}
	res.Checkpoint = s.checkpoint(published)
	return res, nil
}

func refusal(err error) *pb.AddOutcome {
	st := status.Convert(err)
	return &pb.AddOutcome{Error: &pb.OutcomeError{Code: int32(st.Code()), Message: st.Message()}}
}
