package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	pb "indelible/api/proto/indelible/v1"
)

// measured is one measurement: what it came to, and what it cost.
type measured struct {
	result
	note string
}

// way is one of several ways to do the same thing. It is told which round of
// the comparison it is in, since an entry is added only once.
type way func(ctx context.Context, round int) (measured, error)

// compared is the median measurement of a way, by rate, and the rates of all.
type compared struct {
	measured
	rates []float64 // ascending
}

// alternate measures each way once, then each once more, and so on for
// -rounds rounds. So what changes on the machine meanwhile changes for all: a
// comparison of two that were measured one after the other says as much about
// the machine's neighbours.
func (b *bench) alternate(ctx context.Context, ways ...way) ([]compared, error) {
	all := make([][]measured, len(ways))
	for round := range b.o.rounds {
		for i, run := range ways {
			m, err := run(ctx, round)
			if err == nil {
				err = m.err
			}
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], m)
		}
	}
	medians := make([]compared, len(ways))
	for i, runs := range all {
		medians[i] = median(runs)
	}
	return medians, nil
}

// median returns the measurement in the middle, of an even number the lower of
// the two.
func median(runs []measured) compared {
	slices.SortFunc(runs, func(a, b measured) int { return cmp.Compare(a.rate(), b.rate()) })
	c := compared{measured: runs[(len(runs)-1)/2]}
	for _, r := range runs {
		c.rates = append(c.rates, r.rate())
	}
	return c
}

// row is the comparison's line in the table.
func (c compared) row(what string) row {
	return row{what: what, rate: c.rate(), runs: c.rates, times: c.times, note: c.note}
}

// against is row, measured by the rate of another way.
func (c compared) against(limit compared, what, limitNote string, goal float64) row {
	r := c.row(what)
	r.limit, r.goal, r.note = limit.rate(), goal, join(c.note, "limit: "+limitNote)
	return r
}

// rawAdds has clients add raw entries of 1 KiB to the servers of one log, a
// share to each, and rest after each. name tells the entries from those of other
// loads.
func (b *bench) rawAdds(ctx context.Context, servers []*process, clients int, rest time.Duration, name string) (result, error) {
	var apis []pb.LogClient
	for _, p := range servers {
		cs, err := dial(p.grpc, clients/len(servers))
		if err != nil {
			return result{}, err
		}
		defer cs.close()
		for _, c := range cs {
			apis = append(apis, pb.NewLogClient(c))
		}
	}
	r := restingLoop(ctx, clients, b.o.duration, rest, func(ctx context.Context, c int, n int64) error {
		return addRaw(ctx, apis[c%len(apis)], name, n)
	})
	return r, r.err
}

// rawWay is rawAdds as a way. The log stays the same in all rounds.
func (b *bench) rawWay(servers []*process, clients int, witnesses ...*process) way {
	return b.restingWay(servers, clients, 0, witnesses...)
}

// restingWay is rawWay with clients that rest after each add.
func (b *bench) restingWay(servers []*process, clients int, rest time.Duration, witnesses ...*process) way {
	return func(ctx context.Context, round int) (measured, error) {
		m := b.meter(servers, witnesses...)
		r, err := b.rawAdds(ctx, servers, clients, rest, fmt.Sprintf("%d clients that rest %v, round %d", clients, rest, round))
		return measured{r, m.note()}, err
	}
}
