package client

import (
	"context"
	"fmt"
	"net/http"

	pb "indelible/api/proto/indelible/v1"
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
	if err != nil {
		return nil, err
	}
	// Fetched afterwards, so that its tree has all that was listed.
	o, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return c.proveAll(ctx, start, entries, o)
}

// ListAt is List in the tree of a checkpoint, so that many pages are of one
// tree. What the log has beyond it is left out.
func (c *Client) ListAt(ctx context.Context, start, limit int64, at checkpoint.Opened) ([]Logged, error) {
	entries, err := c.list(ctx, start, limit)
	if err != nil {
		return nil, err
	}
	if left := max(at.Size-start, 0); int64(len(entries)) > left {
		entries = entries[:left]
	}
	return c.proveAll(ctx, start, entries, at)
}

func (c *Client) list(ctx context.Context, start, limit int64) ([]*pb.LoggedEntry, error) {
	var res pb.ListEntriesResponse
	path := fmt.Sprintf("/v1/entries?start=%d&limit=%d", start, limit)
	// SPEC: log.proto: a limit is at most 1,000, and 0 stands for a smaller one.
	most := int64(maxList)
	if limit > 0 {
		most = min(limit, maxList)
	}
	if err := c.call(ctx, http.MethodGet, path, nil, &res, answer(int(most), entryBytes)); err != nil {
		return nil, err
	}
	if n := int64(len(res.GetEntries())); n > most {
		return nil, fmt.Errorf("%w: asked for up to %d entries, it listed %d", ErrUntrusted, most, n)
	}
	return res.GetEntries(), nil
}

func (c *Client) proveAll(ctx context.Context, start int64, entries []*pb.LoggedEntry, at checkpoint.Opened) (_ []Logged, err error) {
	p := prover{client: c, at: at, nodes: map[merkle.Tile]*merkle.Nodes{}}
	list := make([]Logged, len(entries))
	for i, e := range entries {
		if list[i], err = p.prove(ctx, start+int64(i), e); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// prover makes inclusion proofs in one tree.
type prover struct {
	client *Client
	at     checkpoint.Opened
	nodes  map[merkle.Tile]*merkle.Nodes
}

func (p *prover) prove(ctx context.Context, index int64, e *pb.LoggedEntry) (Logged, error) {
	plan, err := merkle.PlanInclusion(index, p.at.Size)
	if err != nil {
		return Logged{}, fmt.Errorf("%w: it listed entry %d, and its checkpoint has size %d", ErrUntrusted, index, p.at.Size)
	}
	for _, t := range plan.Tiles() {
		if err := p.fetch(ctx, t); err != nil {
			return Logged{}, err
		}
	}
	hashes, err := plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) { return p.nodes[t], nil })
	if err != nil {
		return Logged{}, err
	}
	proof := &pb.InclusionProof{Index: index}
	for i := range hashes {
		proof.Hashes = append(proof.Hashes, hashes[i][:])
	}
	return prove(e.GetCanonical(), e, proof, p.at)
}

func (p *prover) fetch(ctx context.Context, t merkle.Tile) error {
	if p.nodes[t] != nil {
		return nil
	}
	data, err := p.client.Tile(ctx, t)
	if err != nil {
		return err
	}
	hashes, err := merkle.DecodeTile(data)
	if err != nil {
		return err
	}
	p.nodes[t], err = merkle.Expand(hashes)
	return err
}
