package forward

import (
	"context"
	"fmt"
	"sync"

	"indelible/merkle"
)

// ahead is how many bundles are being fetched, or wait, at most. Each can have
// 16 MiB.
const ahead = 4

// fetched is a bundle's entries, or why there are none.
type fetched struct {
	entries [][]byte
	err     error
}

// missing calls f with the mirror's entries from the database's end on to the
// target, a bundle at a time and in order. Some are fetched ahead.
func (f *run) missing(ctx context.Context, each func(entries [][]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer cancel()
	for slot := range f.fetch(ctx, &fetching) {
		got := <-slot
		if got.err != nil {
			return got.err
		}
		if err := each(got.entries); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// fetch returns, in order, the slots that the bundles come into.
func (f *run) fetch(ctx context.Context, fetching *sync.WaitGroup) <-chan chan fetched {
	from, to := f.edge.Size(), f.target().Size
	slots := make(chan chan fetched, ahead-1)
	fetching.Go(func() {
		defer close(slots)
		for start := from / merkle.TileWidth * merkle.TileWidth; start < to; start += merkle.TileWidth {
			slot := make(chan fetched, 1)
			select {
			case slots <- slot:
			case <-ctx.Done():
				return
			}
			fetching.Go(func() {
				entries, err := f.bundle(ctx, start, min(start+merkle.TileWidth, to))
				if err == nil {
					entries = entries[max(from-start, 0):] // the database has the others
				}
				slot <- fetched{entries, err}
			})
		}
	})
	return slots
}

func (f *run) bundle(ctx context.Context, start, end int64) ([][]byte, error) {
	entries, err := f.Mirror.Entries(ctx, start, end)
	if err == nil && int64(len(entries)) != end-start {
		err = fmt.Errorf("there are %d", len(entries))
	}
	if err != nil {
		return nil, fmt.Errorf("the mirror's entries %d to %d: %w", start, end-1, err)
	}
	return entries, nil
}

func leafHashes(entries [][]byte) []merkle.Hash {
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = merkle.LeafHash(e)
	}
	return leaves
}
