package client

import (
	"context"
	"fmt"
	"net/http"

	"indelible/checkpoint"
	"indelible/merkle"
)

// maxList is how many entries a log lists at once.
const maxList = 1000

// List fetches consecutive entries from start on, up to limit; 0 leaves the
// number to the log, which may always return fewer. The API lists without
// proofs, so these are made here, from tiles; each tile is fetched once.
func (c *Client) List(ctx context.Context, start, limit int64) ([]Logged, error) {
	entries, err := c.list(ctx, start, limit)
	if err != nil && !noAPI(err) {
		return nil, err
	}
	tiles := err != nil
	// Fetched afterwards, so that its tree has all that was listed.
	o, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if tiles {
		return c.listByTiles(ctx, start, limit, o)
	}
	return c.proveAll(ctx, start, entries, o)
}

// ListAt is List in the tree of a checkpoint, so that many pages are of one
// tree. What the log has beyond it is left out.
func (c *Client) ListAt(ctx context.Context, start, limit int64, at checkpoint.Opened) ([]Logged, error) {
	entries, err := c.list(ctx, start, limit)
	if noAPI(err) {
		return c.listByTiles(ctx, start, limit, at)
	}
	if err != nil {
		return nil, err
	}
	if left := max(at.Size-start, 0); int64(len(entries)) > left {
		entries = entries[:left]
	}
	return c.proveAll(ctx, start, entries, at)
}

func (c *Client) list(ctx context.Context, start, limit int64) ([]loggedEntry, error) {
	if c.tilesAlone.Load() {
		return nil, &StatusError{Status: http.StatusNotFound}
	}
	var res listResponse
	path := fmt.Sprintf("/v1/entries?start=%d&limit=%d", start, limit)
	// SPEC: log.proto: a limit is at most 1,000, and 0 stands for a smaller one.
	most := int64(maxList)
	if limit > 0 {
		most = min(limit, maxList)
	}
	if err := c.call(ctx, http.MethodGet, path, nil, &res, answer(int(most), entryBytes)); err != nil {
		c.tilesAlone.Store(noAPI(err))
		return nil, err
	}
	if n := int64(len(res.Entries)); n > most {
		return nil, fmt.Errorf("%w: asked for up to %d entries, it listed %d", ErrUntrusted, most, n)
	}
	return res.Entries, nil
}

func (c *Client) proveAll(ctx context.Context, start int64, entries []loggedEntry, at checkpoint.Opened) (_ []Logged, err error) {
	p := newProver(c, at)
	list := make([]Logged, len(entries))
	for i, e := range entries {
		if list[i], err = p.prove(ctx, start+int64(i), e); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (p *prover) prove(ctx context.Context, index int64, e loggedEntry) (Logged, error) {
	plan, err := merkle.PlanInclusion(index, p.at.Size)
	if err != nil {
		return Logged{}, fmt.Errorf("%w: it listed entry %d, and its checkpoint has size %d", ErrUntrusted, index, p.at.Size)
	}
	hashes, err := p.compute(ctx)(plan, nil)
	if err != nil {
		return Logged{}, err
	}
	proof := inclusionProof{Index: number(index)}
	for i := range hashes {
		proof.Hashes = append(proof.Hashes, hashes[i][:])
	}
	return prove(e.Canonical, e, proof, p.at)
}
