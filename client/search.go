package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	pb "indelible/api/proto/indelible/v1"
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
	CompleteTo int64 // every entry below it was searched
	TreeSize   int64 // published
}

// Search searches the log, and yields the answer page by page.
func (c *Client) Search(ctx context.Context, q Query) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		for token, last := "", int64(-1); ; {
			var res pb.SearchEntriesResponse
			path := fmt.Sprintf("/v1/entries:search?%s=%s&pageSize=%d&pageToken=%s", url.QueryEscape(q.By), url.QueryEscape(q.Value), searchPage, url.QueryEscape(token))
			err := c.call(ctx, http.MethodGet, path, nil, &res, answer(searchPage, entryBytes))
			var f Found
			if err == nil {
				f, err = readFound(&res, last)
			}
			token = res.GetNextPageToken()
			if !yield(f, err) || err != nil || token == "" {
				return
			}
			last = f.Hits[len(f.Hits)-1].Index
		}
	}
}

// readFound checks a page: it comes after the last entry of the page before.
func readFound(res *pb.SearchEntriesResponse, last int64) (Found, error) {
	f := Found{CompleteTo: res.GetCompleteTo(), TreeSize: res.GetTreeSize()}
	if n := len(res.GetEntries()); n > searchPage || n == 0 && res.GetNextPageToken() != "" {
		return f, fmt.Errorf("%w: a page of %d entries; it has 1 to %d where there are more", ErrUntrusted, n, searchPage)
	}
	if f.CompleteTo < 0 || f.CompleteTo > f.TreeSize {
		return f, fmt.Errorf("%w: the search is complete up to %d of %d entries", ErrUntrusted, f.CompleteTo, f.TreeSize)
	}
	for _, e := range res.GetEntries() {
		index := e.GetIndex()
		if index <= last || index >= f.CompleteTo {
			return f, fmt.Errorf("%w: it found entry %d after entry %d, in %d entries", ErrUntrusted, index, last, f.CompleteTo)
		}
		last = index
		f.Hits = append(f.Hits, Hit{
			Index: index, Canonical: e.GetCanonical(), LeafHash: merkle.LeafHash(e.GetCanonical()), IntegratedAt: e.GetIntegratedAt(),
		})
	}
	return f, nil
}

// Prove proves that what was found is in the log: in its newest checkpoint.
func (c *Client) Prove(ctx context.Context, hits []Hit) ([]Logged, error) {
	o, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	p := prover{client: c, at: o, nodes: map[merkle.Tile]*merkle.Nodes{}}
	if err := p.prefetch(ctx, hits); err != nil {
		return nil, err
	}
	list := make([]Logged, len(hits))
	for i, h := range hits {
		if list[i], err = p.prove(ctx, h.Index, &pb.LoggedEntry{Canonical: h.Canonical, IntegratedAt: h.IntegratedAt}); err != nil {
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
			one := prover{client: p.client, nodes: map[merkle.Tile]*merkle.Nodes{}}
			err := one.fetch(ctx, t)
			fetched[i] = one.nodes[t]
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
