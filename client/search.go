package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"indelible/checkpoint"
	"indelible/internal/wait"
	"indelible/merkle"
)

const (
	// searchPage is how many entries a search asks for at once.
	searchPage = 256
	// proving is how many tiles are fetched at once to prove what was found.
	proving = 8
)

// Query is what a log is searched for.
type Query struct {
	By    string // artifact, publicKey, subject, issuer, payload or envelope
	Value string // see SearchEntriesRequest in log.proto
}

// Hit is an entry that a log found, as it says: neither that it is in the log
// nor that it is what was asked for is proven.
type Hit struct {
	Index        int64
	Canonical    []byte
	LeafHash     merkle.Hash // of Canonical
	IntegratedAt int64       // Unix milliseconds
}

// Found is one page of an answer. That nothing is missing in it is the log's
// word as well.
type Found struct {
	Hits       []Hit // by index
	CompleteTo int64 // every entry below it was searched; at most the tree's size
}

// Search searches the tree of a checkpoint, and yields the answer page by page.
// What the log has beyond that tree is left out. Each page goes on behind the
// one before, and an answer about more entries than the log has signed is not
// believed, so whatever a log answers, there is an end.
func (c *Client) Search(ctx context.Context, q Query, at checkpoint.Opened) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		s := search{client: c, query: q, size: at.Size, signed: at.Size, last: -1}
		for {
			f, err := s.next(ctx)
			if !yield(f, err) || err != nil || s.token == "" {
				return
			}
		}
	}
}

// search is a search that is going on.
type search struct {
	client *Client
	query  Query
	size   int64  // of the tree that is searched
	signed int64  // the greatest that a checkpoint had
	token  string // asks for the next page; empty at the beginning, and at the end
	last   int64  // index of the last hit
}

func (s *search) next(ctx context.Context) (Found, error) {
	var res searchResponse
	path := fmt.Sprintf("/v1/entries:search?%s=%s&pageSize=%d&pageToken=%s", url.QueryEscape(s.query.By), url.QueryEscape(s.query.Value), searchPage, url.QueryEscape(s.token))
	if err := s.client.call(ctx, http.MethodGet, path, nil, &res, answer(searchPage, entryBytes)); err != nil {
		return Found{}, err
	}
	f, err := readFound(&res, s.last)
	if err == nil {
		err = s.checkSigned(ctx, f.CompleteTo)
	}
	if err != nil {
		return Found{}, err
	}
	s.token = res.NextPageToken
	if n := len(f.Hits); n > 0 {
		s.last = f.Hits[n-1].Index
	}
	if s.last >= s.size-1 {
		s.token = "" // the tree has no more
	}
	return f.upTo(s.size), nil
}

const (
	// laterAsked is how often a checkpoint is asked for again that is behind
	// what a search says.
	laterAsked = 4
	// laterPause is the first pause between two of these; each is twice as long
	// as the one before. A replica shows what another published within a second.
	laterPause = 300 * time.Millisecond
)

// checkSigned makes sure that the log has signed a tree of a size. It may have
// grown since the search began, and another replica may serve the checkpoint.
func (s *search) checkSigned(ctx context.Context, size int64) error {
	for asked := 0; size > s.signed; asked++ {
		if asked == laterAsked {
			return fmt.Errorf("%w: the search was said to be complete up to %d entries, and the log's checkpoint has %d", ErrUntrusted, size, s.signed)
		}
		if asked > 0 {
			if err := wait.For(ctx, laterPause<<(asked-1)); err != nil {
				return err
			}
		}
		o, err := s.client.Checkpoint(ctx)
		if err != nil {
			return err
		}
		s.signed = max(s.signed, o.Size)
	}
	return nil
}

// readFound checks a page: it comes after the last entry of the page before.
func readFound(res *searchResponse, last int64) (Found, error) {
	f := Found{CompleteTo: int64(res.CompleteTo)}
	if n := len(res.Entries); n > searchPage || n == 0 && res.NextPageToken != "" {
		return f, fmt.Errorf("%w: a page of %d entries; it has 1 to %d where there are more", ErrUntrusted, n, searchPage)
	}
	if f.CompleteTo < 0 || f.CompleteTo > int64(res.TreeSize) {
		return f, fmt.Errorf("%w: the search is complete up to %d of %d entries", ErrUntrusted, f.CompleteTo, res.TreeSize)
	}
	for _, e := range res.Entries {
		index := int64(e.Index)
		if index <= last || index >= f.CompleteTo {
			return f, fmt.Errorf("%w: it found entry %d after entry %d, in %d entries", ErrUntrusted, index, last, f.CompleteTo)
		}
		last = index
		f.Hits = append(f.Hits, Hit{
			Index: index, Canonical: e.Canonical, LeafHash: merkle.LeafHash(e.Canonical), IntegratedAt: int64(e.IntegratedAt),
		})
	}
	return f, nil
}

// upTo is the part of a page that is about a tree of a size.
func (f Found) upTo(size int64) Found {
	n := len(f.Hits)
	for n > 0 && f.Hits[n-1].Index >= size {
		n--
	}
	return Found{Hits: f.Hits[:n], CompleteTo: min(f.CompleteTo, size)}
}

// Prove proves that what was found is in the tree of a checkpoint.
func (c *Client) Prove(ctx context.Context, hits []Hit, at checkpoint.Opened) ([]Logged, error) {
	p := newProver(c, at)
	if err := p.prefetch(ctx, hits); err != nil {
		return nil, err
	}
	list := make([]Logged, len(hits))
	for i, h := range hits {
		var err error
		if list[i], err = p.prove(ctx, h.Index, loggedEntry{Canonical: h.Canonical, IntegratedAt: number(h.IntegratedAt)}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// prefetch fetches the tiles that the hits' proofs are made of, several at
// once: entries that are far apart have each a tile of their own.
func (p *prover) prefetch(ctx context.Context, hits []Hit) error {
	for _, h := range hits {
		plan, err := merkle.PlanInclusion(h.Index, p.at.Size)
		if err != nil {
			return fmt.Errorf("%w: it found entry %d, and its checkpoint has size %d", ErrUntrusted, h.Index, p.at.Size)
		}
		for _, t := range plan.Tiles() {
			p.nodes[t] = nil
		}
	}
	tiles, fetched := make([]merkle.Tile, 0, len(p.nodes)), make([]*merkle.Nodes, len(p.nodes))
	for t := range p.nodes {
		tiles = append(tiles, t)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(proving)
	for i, t := range tiles {
		g.Go(func() error {
			var err error
			fetched[i], err = newProver(p.client, p.at).tile(ctx, t)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, t := range tiles {
		p.nodes[t] = fetched[i]
	}
	return nil
}
