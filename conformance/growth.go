package conformance

import (
	"context"
	"crypto/sha256"
	"net/http"
)

// firstRules are those that show while the witness has cosigned nothing.
func firstRules() []rule {
	return []rule{
		{
			"monitor-none", Must, inMonitor, "404 for a log of which nothing was cosigned",
			func(_ context.Context, s *session) verdict {
				if !s.fresh {
					return notFresh(s)
				}
				return expect(s.atFirst, http.StatusNotFound)
			},
		},
		{"first-old", Must, inAdd, "409 for an old size other than 0 when nothing was cosigned", firstOld},
		{"size-0-root", Must, inAdd, "422 for a checkpoint of size 0 with another root than the empty tree's", falseEmptyTree},
		{"first-proof", Must, inAdd, "422 for a proof that is not empty when old is 0", firstProof},
		{"size-0", Must, inAdd, "a checkpoint of size 0 with the empty tree's root is cosigned", emptyTree},
	}
}

func falseEmptyTree(ctx context.Context, s *session) verdict {
	if s.size != 0 {
		return notFresh(s)
	}
	r := s.log.extend(0, 0)
	r.checkpoint.Root = sha256.Sum256([]byte("not the empty tree"))
	return s.refused(ctx, "a false root at size 0", r, http.StatusUnprocessableEntity)
}

func firstProof(ctx context.Context, s *session) verdict {
	if s.size != 0 {
		return notFresh(s)
	}
	r := s.log.extend(0, 5)
	r.proof = s.log.tree.proof(0, 3, 5)
	return s.refused(ctx, "a proof with old 0", r, http.StatusUnprocessableEntity)
}

// firstOld is about the first request of the run. That it is cosigned can mean
// that an earlier run stopped at size 1, if nobody serves what was cosigned.
func firstOld(_ context.Context, s *session) verdict {
	switch {
	case s.fresh:
		return expect(s.first, http.StatusConflict)
	case s.first.status == http.StatusOK && s.atFirst.status != http.StatusOK:
		return fail("the first checkpoint that it ever saw of the log, of size 1 with old size 1, was cosigned")
	}
	return notFresh(s)
}

func emptyTree(ctx context.Context, s *session) verdict {
	if s.size != 0 {
		return notFresh(s)
	}
	return expect(s.add(ctx, s.log.extend(0, 0)), http.StatusOK)
}

// refused sends a request that must be refused, and looks that it changed
// nothing.
func (s *session) refused(ctx context.Context, what string, r request, status int) verdict {
	got := s.try(ctx, r, s.log.body(r))
	s.settle(ctx, what, got)
	return expect(got, status)
}

func expect(got answer, status int) verdict {
	if got.err != nil || got.status != status {
		return fail("expected %d, got %s", status, got.says())
	}
	return pass("")
}

// steps are how many entries the log grows by between two checkpoints. Together
// they are over 256, so that every run crosses the end of a tile.
func steps() []int64 {
	return []int64{4, 1, 1, 1, 1, 2, 3, 5, 8, 13, 1, 7, 16, 1, 15, 2, 31, 1, 1, 64, 1, 9, 33, 1, 40, 6}
}

// growthRules are those of a log that does nothing wrong.
func growthRules() []rule {
	return []rule{
		{"grow", Must, inAdd, "a checkpoint that extends the one cosigned last is cosigned, from any size", grow},
		{"same-size", Must, inAdd, "the checkpoint that was cosigned last is cosigned again", sameSize},
		{"keep-alive", Should, inHTTP, "connections are kept alive", keepAlive},
	}
}

func grow(ctx context.Context, s *session) verdict {
	defer func() { s.floor = s.size }()
	from, n := s.size, 0
	for _, by := range steps() {
		before := s.size
		got := s.advance(ctx, by)
		if got.status != http.StatusOK {
			return fail("from %d to %d: %s", before, before+by, got.says())
		}
		n++
	}
	return pass("%d proofs, from size %d to %d", n, from, s.size)
}

func sameSize(ctx context.Context, s *session) verdict {
	return expect(s.advance(ctx, 0), http.StatusOK)
}

// keepAlive takes a second request to be enough: the first may have found that
// an idle connection was closed.
func keepAlive(ctx context.Context, s *session) verdict {
	for range 3 {
		got := s.advance(ctx, 0)
		if got.err != nil {
			return fail("%s", got.says())
		}
		if got.reused {
			return pass("")
		}
	}
	return fail("each of 3 requests in a row needed a connection of its own")
}
