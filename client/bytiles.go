package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"indelible/checkpoint"
	"indelible/merkle"
)

// noAPI reports whether an error can say that the log has no native API, and not that
// it lacks what was asked for: tiles tell. A bucket without a listing says 403 of what
// is not there.
func noAPI(err error) bool {
	var s *StatusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.Status {
	case http.StatusNotFound:
		return true
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return !s.ofAPI()
	}
	return false
}

// ofAPI reports whether an answer is of the native API, whose errors have gRPC's codes.
func (e *StatusError) ofAPI() bool { return e.code != codeOK && e.code < 100 }

// getByTiles fetches and proves an entry of a log that has tiles alone.
// missing is the API's answer, if the log has one.
func (c *Client) getByTiles(ctx context.Context, index int64, missing error) (Logged, error) {
	at, err := c.Checkpoint(ctx)
	if err != nil {
		return Logged{}, err
	}
	list, err := c.listByTiles(ctx, index, 1, at)
	if err != nil {
		return Logged{}, err
	}
	if s := (*StatusError)(nil); len(list) == 0 && errors.As(missing, &s) && s.ofAPI() {
		return Logged{}, missing
	}
	if len(list) == 0 {
		return Logged{}, fmt.Errorf("entry %d is %w: its checkpoint has size %d", index, ErrNotFound, at.Size)
	}
	return list[0], nil
}

// listByTiles fetches and proves entries from start on, up to the limit and to the
// end of a bundle.
func (c *Client) listByTiles(ctx context.Context, start, limit int64, at checkpoint.Opened) ([]Logged, error) {
	if start < 0 || start >= at.Size {
		return nil, nil
	}
	bundle := start / merkle.TileWidth * merkle.TileWidth
	entries, err := c.Entries(ctx, bundle, min(bundle+merkle.TileWidth, at.Size))
	if err != nil {
		return nil, err
	}
	entries = entries[start-bundle:]
	if limit > 0 {
		entries = entries[:min(limit, int64(len(entries)))]
	}
	list := make([]loggedEntry, len(entries))
	for i, e := range entries {
		list[i] = loggedEntry{Canonical: e}
	}
	return c.proveAll(ctx, start, list, at)
}

// Prefix returns the root of the first size entries of a tree, and the proof that
// the tree begins with them. Both are made from the log's tiles, and hold.
func (c *Client) Prefix(ctx context.Context, size int64, tree checkpoint.Checkpoint) (root merkle.Hash, proof []merkle.Hash, err error) {
	if size < 0 || size > tree.Size {
		return root, nil, fmt.Errorf("size %d: the log's is %d", size, tree.Size)
	}
	p := newProver(c, checkpoint.Opened{Checkpoint: tree})
	perfect, err := p.compute(ctx)(merkle.PlanRange(size))
	if err != nil {
		return root, nil, err
	}
	if root, err = merkle.RangeRoot(size, perfect); err != nil {
		return root, nil, err
	}
	if proof, err = p.compute(ctx)(merkle.PlanConsistency(size, tree.Size)); err != nil {
		return root, nil, err
	}
	if err = merkle.VerifyConsistency(size, tree.Size, root, tree.Root, proof); err != nil {
		return root, nil, fmt.Errorf("%w: its tiles do not lead to the root that it signed for %d entries: %w", ErrUntrusted, tree.Size, err)
	}
	return root, proof, nil
}

// includedByTiles is Included of a log that has tiles alone.
func (c *Client) includedByTiles(ctx context.Context, index int64, leaf merkle.Hash, at checkpoint.Checkpoint) ([]merkle.Hash, error) {
	p := newProver(c, checkpoint.Opened{Checkpoint: at})
	proof, err := p.compute(ctx)(merkle.PlanInclusion(index, at.Size))
	if err != nil {
		return nil, err
	}
	if err := merkle.VerifyInclusion(index, at.Size, leaf, proof, at.Root); err != nil {
		return nil, fmt.Errorf("%w: entry %d in a tree of size %d: %w", ErrUntrusted, index, at.Size, err)
	}
	return proof, nil
}

// consistentByTiles is Consistent of a log that has tiles alone.
func (c *Client) consistentByTiles(ctx context.Context, older, newer checkpoint.Checkpoint) ([]merkle.Hash, error) {
	root, proof, err := c.Prefix(ctx, older.Size, newer)
	if err == nil && root != older.Root {
		err = fmt.Errorf("%w: the tree of size %d is not a prefix of that of size %d", ErrUntrusted, older.Size, newer.Size)
	}
	return proof, err
}

// prover makes proofs in the tree of a checkpoint.
type prover struct {
	client *Client
	at     checkpoint.Opened
	nodes  map[merkle.Tile]*merkle.Nodes
}

func newProver(c *Client, at checkpoint.Opened) *prover {
	return &prover{client: c, at: at, nodes: map[merkle.Tile]*merkle.Nodes{}}
}

// compute carries out a plan. Each tile is fetched once.
func (p *prover) compute(ctx context.Context) func(merkle.Plan, error) ([]merkle.Hash, error) {
	return func(plan merkle.Plan, err error) ([]merkle.Hash, error) {
		if err != nil {
			return nil, err
		}
		return plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) { return p.tile(ctx, t) })
	}
}

func (p *prover) tile(ctx context.Context, t merkle.Tile) (*merkle.Nodes, error) {
	// A plan for the beginning of the tree asks for narrower tiles than it has.
	t.Width = int(min(merkle.TileWidth, merkle.HashesAt(t.Level, p.at.Size)-t.Index*merkle.TileWidth))
	if p.nodes[t] != nil {
		return p.nodes[t], nil
	}
	data, err := p.client.Tile(ctx, t)
	if err != nil {
		return nil, err
	}
	hashes, err := merkle.DecodeTile(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUntrusted, t.Path(), err)
	}
	p.nodes[t], err = merkle.Expand(hashes)
	return p.nodes[t], err
}
