package main

import (
	"context"
	"iter"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/entry"
	"indelible/internal/wait"
	"indelible/merkle"
)

// said is a hit that the log's search named, without the entry's bytes.
type said struct {
	index, integratedAt int64
	leaf                merkle.Hash
}

// saying is what the log's search says of one key, read page by page in the
// order of the log, while the log is looked through. It holds one page.
type saying struct {
	client *client.Client
	at     checkpoint.Opened
	key    entry.IndexKey
	waits  *int // how often any key's search was waited for; one index answers all

	next       func() (client.Found, error, bool) // the next page; nil before the search began
	stop       func()
	ended      bool   // the log said that there is no more
	hits       []said // that nobody has taken yet
	last       int64  // index of the last hit that was taken in; -1: none
	completeTo int64  // of the newest page
	again      int    // the waits after which it was asked again
}

const (
	// laterAsked is how often a search that is behind the log is waited for.
	laterAsked = 3
	// laterPause is the first pause before that; each is twice as long as the
	// one before. An index that follows is at most about a second behind.
	laterPause = 500 * time.Millisecond
	// laterAll is how long that takes.
	laterAll = laterPause<<laterAsked - laterPause
)

// upTo reads on until there is a hit, or none below an index: the search is
// complete up to there, or stays behind.
func (a *saying) upTo(ctx context.Context, end int64) error {
	for len(a.hits) == 0 {
		if a.ended && (a.completeTo >= end || a.again == laterAsked) {
			return nil
		}
		if err := a.page(ctx); err != nil {
			return err
		}
	}
	return nil
}

// page takes in the next page. Where there was no more, the search begins
// again, and what was taken in before is passed over.
func (a *saying) page(ctx context.Context) error {
	if a.ended {
		if err := a.wait(ctx); err != nil {
			return err
		}
		a.close()
	}
	if a.next == nil {
		a.next, a.stop = iter.Pull2(a.client.Search(ctx, client.Query{By: string(a.key.By), Value: a.key.Value}, a.at))
	}
	f, err, ok := a.next()
	if err != nil {
		return searchRefused(err)
	}
	if a.ended = !ok; a.ended {
		return nil
	}
	return a.take(f)
}

// wait waits for an index that is behind, unless that was waited for already
// since it was asked for this key.
func (a *saying) wait(ctx context.Context) error {
	if a.again == *a.waits {
		if err := wait.For(ctx, laterPause<<a.again); err != nil {
			return err
		}
		*a.waits++
	}
	a.again = *a.waits
	return nil
}

func (a *saying) take(f client.Found) error {
	if err := checkKey(a.key, f.Hits); err != nil {
		return err
	}
	a.completeTo = f.CompleteTo
	for _, h := range f.Hits {
		if h.Index > a.last {
			a.last = h.Index
			a.hits = append(a.hits, said{h.Index, h.IntegratedAt, h.LeafHash})
		}
	}
	return nil
}

// first is the first hit that nobody has taken, if it is below an index.
func (a *saying) first(end int64) (said, bool) {
	if len(a.hits) == 0 || a.hits[0].index >= end {
		return said{}, false
	}
	return a.hits[0], true
}

func (a *saying) drop() { a.hits = a.hits[1:] }

func (a *saying) close() {
	if a.stop != nil {
		a.stop()
	}
	a.next, a.stop, a.ended = nil, nil, false
}
