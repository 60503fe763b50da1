package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"sync"

	pb "indelible/api/proto/indelible/v1"
	"indelible/merkle"
)

const (
	// bigEntries is how many entries of bigEntry bytes a log of large ones has: some
	// full bundles, and a partial one.
	bigEntries, bigEntry = 6*merkle.TileWidth + 200, 60_000
	// bigReaders is how many connections read them, and bigWriters how many clients
	// add small entries meanwhile.
	bigReaders, bigWriters = 4, 4
)

// measureBigReads measures what adds are left with while others read large entries.
// A reader that is told to come back does so at once.
func measureBigReads(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := fillBig(ctx, p); err != nil {
		return err
	}
	reads := []struct {
		what string
		path func() string
	}{
		{"random partial bundles", func() string {
			return "/" + merkle.Bundle{Index: mrand.Int64N(6), Width: 1 + mrand.IntN(255)}.Path()
		}},
		{"random full bundles", func() string { return "/" + merkle.Bundle{Index: mrand.Int64N(6), Width: 256}.Path() }},
		{"pages of a list", func() string { return fmt.Sprintf("/v1/entries?limit=1000&start=%d", mrand.IntN(bigEntries-256)) }},
	}
	ways := []way{b.rawWay([]*process{p}, bigWriters)}
	for _, r := range reads {
		ways = append(ways, b.besideReaders(p, r.what, r.path))
	}
	medians, err := b.alternate(ctx, ways...)
	if err != nil {
		return err
	}
	b.table.add(medians[0].row(fmt.Sprintf("adds by %d clients, alone", bigWriters)))
	for i, r := range reads {
		b.table.add(medians[i+1].against(medians[0], fmt.Sprintf("the same beside %d that read %s of large entries", bigReaders, r.what), "alone", 0.33))
	}
	return nil
}

// fillBig adds large entries, which do not compress.
func fillBig(ctx context.Context, p *process) error {
	cs, err := dial(p.grpc, 1)
	if err != nil {
		return err
	}
	defer cs.close()
	for n := 0; n < bigEntries; {
		var req pb.AddEntriesRequest
		for range min(40, bigEntries-n) {
			body := make([]byte, bigEntry)
			rand.Read(body)
			req.Entries = append(req.Entries, &pb.Entry{Kind: &pb.Entry_Raw{Raw: body}})
			n++
		}
		if _, err := pb.NewLogClient(cs[0]).AddEntries(ctx, &req); err != nil {
			return err
		}
	}
	return nil
}

// besideReaders is rawWay while others read.
func (b *bench) besideReaders(p *process, what string, path func() string) way {
	return func(ctx context.Context, round int) (measured, error) {
		reading, stop := context.WithCancel(ctx)
		var done sync.WaitGroup
		answered, refused := make([]int, bigReaders), make([]int, bigReaders)
		for c := range bigReaders {
			done.Go(func() {
				web := newWeb(1)
				defer web.close()
				for reading.Err() == nil {
					if err := web.get(reading, p.http+path()); err == nil {
						answered[c]++
					} else if !errors.Is(err, context.Canceled) && strings.Contains(err.Error(), " 50") {
						refused[c]++
					}
				}
			})
		}
		m := b.meter([]*process{p})
		r, err := b.rawAdds(ctx, []*process{p}, bigWriters, 0, fmt.Sprintf("beside %s, round %d", what, round))
		note := m.note()
		stop()
		done.Wait()
		sum := func(all []int) (n int) {
			for _, x := range all {
				n += x
			}
			return n
		}
		return measured{r, join(note, fmt.Sprintf("%d reads answered, %d refused", sum(answered), sum(refused)))}, err
	}
}
