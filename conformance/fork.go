package conformance

import (
	"context"
	"fmt"
	"net/http"
)

// forkRules come last of those that change the witness: if it cosigns a false
// head, nothing can follow.
func forkRules() []rule {
	return []rule{
		{
			"same-size-root", Must, inAdd, "422 for another root at the size that was cosigned last",
			func(ctx context.Context, s *session) verdict {
				r := s.log.extend(s.size, s.size)
				r.checkpoint.Root[31] ^= 1
				return s.refuseFork(ctx, "another root at the same size", r)
			},
		},
		{
			"fork", Must, inAdd, "422 for another history, whose proof is right in itself",
			func(ctx context.Context, s *session) verdict {
				return s.refuseFork(ctx, "another history", s.log.fork(s.size, s.size+3))
			},
		},
		{
			"fork-root", Must, inAdd, "422 for a root that does not follow from the proof",
			func(ctx context.Context, s *session) verdict {
				r := s.log.extend(s.size, s.size+3)
				r.checkpoint.Root = s.log.other.root(0, s.size+3)
				return s.refuseFork(ctx, "a root beside the proof", r)
			},
		},
	}
}

func (s *session) refuseFork(ctx context.Context, what string, r request) verdict {
	if s.spoiled != "" {
		return untested("%s", s.spoiled)
	}
	got := s.post(ctx, "/add-checkpoint", s.log.body(r))
	v := expect(got, http.StatusUnprocessableEntity)
	if got.status == http.StatusOK {
		v.detail = fmt.Sprintf("it cosigned a head of size %d that contradicts what it cosigned before", r.checkpoint.Size)
	}
	s.settle(ctx, what, got)
	if got.status == http.StatusOK && s.advance(ctx, 0).status != http.StatusOK {
		s.spoiled = "the witness cosigned a false head, which nothing of this log extends; make a new log"
	}
	return v
}
