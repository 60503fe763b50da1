package mirror

import (
	"context"
	"time"

	"indelible/merkle"
	"indelible/mirror/source"
)

// Estimate is what a copy of a log costs, of the entries that are not there yet.
type Estimate struct {
	Origin   string `json:"origin"`
	Size     int64  `json:"size"` // of the log
	Entries  int64  `json:"entries"`
	Requests int64  `json:"requests"`
	Bytes    int64  `json:"bytes"` // of entries, uncompressed; a few blocks are the sample
	Disk     int64  `json:"disk"`  // with the hash tiles
}

// Hours is how long that takes at a number of requests a second.
func (e Estimate) Hours(perSecond float64) float64 {
	return float64(e.Requests) / perSecond / time.Hour.Seconds()
}

// samples is how many blocks are fetched for an Estimate.
const samples = 5

// NewEstimate estimates what the entries from an index on cost. It fetches a few blocks.
func NewEstimate(ctx context.Context, log source.Log, from int64) (Estimate, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Origin: log.Origin(), Size: head.Size, Entries: max(head.Size-from, 0)}
	if e.Entries == 0 {
		return e, nil
	}
	first, last := from/source.BlockSize, (head.Size-1)/source.BlockSize
	e.Requests = last - first + 1
	for level := 1; merkle.HashesAt(level, head.Size) > 0; level++ {
		e.Requests += merkle.TilesAt(level, head.Size) - merkle.TilesAt(level, from) + 1
	}
	if log.Format() == source.RekorV1 {
		e.Requests = (e.Entries + 9) / 10
	}
	var entries, bytes int64
	for i := range min(samples, last-first+1) {
		b, err := log.Block(ctx, head, first+i*(last-first)/max(samples-1, 1))
		if err != nil {
			return e, err
		}
		entries += int64(len(b.Entries))
		for _, entry := range b.Entries {
			bytes += int64(len(entry)) + 2
		}
	}
	e.Bytes = bytes * e.Entries / max(entries, 1)
	e.Disk = e.Bytes + e.Entries*merkle.HashSize*256/255
	return e, nil
}
