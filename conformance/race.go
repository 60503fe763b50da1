package conformance

import (
	"context"
	"net/http"
	"sync"
)

const (
	raceRounds = 4
	racers     = 8
)

// raceRules are those of requests that come at once.
func raceRules() []rule {
	return []rule{{
		"race", Must, inAdd, "of requests that come at once with one old size, one alone is cosigned", race,
	}}
}

// race lets requests with one old size and different new ones race, all of one
// tree, so that the run can go on from whichever wins.
func race(ctx context.Context, s *session) verdict {
	for range raceRounds {
		answers, requests := s.volley(ctx)
		won, v := winner(answers, requests)
		if v.state == Failed {
			s.probe(ctx)
			return v
		}
		s.heed(requests[won], answers[won])
		s.keep(requests[won], answers[won])
		if was := s.size; s.probe(ctx) && s.size != was {
			return fail("size %d was cosigned, and yet the witness holds %d", was, s.size)
		}
	}
	return pass("%d requests", raceRounds*racers)
}

// winner finds the one request that was cosigned.
func winner(answers []answer, requests []request) (int, verdict) {
	won := -1
	for i, got := range answers {
		switch {
		case got.status == http.StatusOK && won >= 0:
			return won, fail("both %d and %d were cosigned as what follows %d", requests[won].checkpoint.Size, requests[i].checkpoint.Size, requests[i].old)
		case got.status == http.StatusOK:
			won = i
		case got.status != http.StatusConflict:
			return won, fail("expected 200 once and 409 else, got %s", got.says())
		}
	}
	if won < 0 {
		return won, fail("none of %d requests from size %d was cosigned", racers, requests[0].old)
	}
	return won, pass("")
}

// volley sends requests at once. The bodies are made before.
func (s *session) volley(ctx context.Context) ([]answer, []request) {
	requests, bodies, answers := make([]request, racers), make([][]byte, racers), make([]answer, racers)
	for i := range requests {
		requests[i] = s.log.extend(s.size, s.size+1+int64(i))
		bodies[i] = s.log.body(requests[i])
	}
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = s.post(ctx, "/add-checkpoint", bodies[i]) })
	}
	all.Wait()
	return answers, requests
}
