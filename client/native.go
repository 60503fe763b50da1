package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json/v2"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Logged is an entry that is proven to be in the log.
type Logged struct {
	Index        int64
	Canonical    []byte
	LeafHash     merkle.Hash
	IntegratedAt int64 // Unix milliseconds; the log's word, not proven
	Duplicate    bool  // it was there before
	Hashes       []merkle.Hash
	Checkpoint   checkpoint.Opened
}

// Proof is the entry's proof file.
func (l Logged) Proof() checkpoint.Proof {
	return checkpoint.Proof{Extra: l.Canonical, HasExtra: true, Index: l.Index, Hashes: l.Hashes, Checkpoint: l.Checkpoint.Note}
}

// Entry is what is to be logged: how the log is asked, and the canonical bytes
// that must come of it.
type Entry struct {
	Request   Request
	Canonical []byte
}

// Outcome is what became of one entry of several.
type Outcome struct {
	Logged Logged
	Err    error
}

// Add logs an entry.
func (c *Client) Add(ctx context.Context, e Entry) (Logged, error) {
	var res addResponse
	if err := c.call(ctx, http.MethodPost, "/v1/entries", addRequest{e.Request}, &res, answer(1, entryBytes)); err != nil {
		return Logged{}, err
	}
	if got := res.Entry.Canonical; len(got) > 0 && !bytes.Equal(got, e.Canonical) {
		return Logged{}, fmt.Errorf("%w: it logged something else than was asked for", ErrUntrusted)
	}
	o, err := c.openShown(ctx, []byte(res.Checkpoint.Note))
	if err != nil {
		return Logged{}, err
	}
	l, err := prove(e.Canonical, res.Entry, res.Proof, o)
	l.Duplicate = res.Duplicate
	return l, err
}

// AddMany logs up to 1,024 entries in one request.
func (c *Client) AddMany(ctx context.Context, entries []Entry) ([]Outcome, error) {
	var req addManyRequest
	for _, e := range entries {
		req.Entries = append(req.Entries, e.Request)
	}
	var res addManyResponse
	if err := c.call(ctx, http.MethodPost, "/v1/entries:batch", req, &res, answer(len(entries), proofBytes)); err != nil {
		return nil, err
	}
	if len(res.Outcomes) != len(entries) {
		return nil, fmt.Errorf("%w: %d outcomes for %d entries", ErrUntrusted, len(res.Outcomes), len(entries))
	}
	o, err := c.openShown(ctx, []byte(res.Checkpoint.Note))
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(entries))
	for i, out := range res.Outcomes {
		if out.Error != nil {
			outcomes[i].Err = fmt.Errorf("%w: %s", ErrRefused, out.Error.Message)
			continue
		}
		l, err := prove(entries[i].Canonical, out.Entry, out.Proof, o)
		l.Duplicate = out.Duplicate
		outcomes[i] = Outcome{l, err}
	}
	return outcomes, nil
}

// Get fetches the entry at an index, with its proof.
func (c *Client) Get(ctx context.Context, index int64) (Logged, error) {
	l, err := c.get(ctx, "/v1/entries/"+strconv.FormatInt(index, 10))
	if noAPI(err) {
		return c.getByTiles(ctx, index, err)
	}
	if err == nil && l.Index != index {
		err = fmt.Errorf("%w: asked for entry %d, it proved entry %d", ErrUntrusted, index, l.Index)
	}
	return l, err
}

// Lookup fetches the entry with a leaf hash, with its proof.
func (c *Client) Lookup(ctx context.Context, leaf merkle.Hash) (Logged, error) {
	l, err := c.get(ctx, "/v1/entries:lookup?leafHash="+url.QueryEscape(base64.StdEncoding.EncodeToString(leaf[:])))
	if s := (*StatusError)(nil); noAPI(err) && errors.As(err, &s) && !s.ofAPI() {
		return l, fmt.Errorf("the log has tiles alone, which do not find an entry by its leaf hash; ask for its index: %w", err)
	}
	if err == nil && l.LeafHash != leaf {
		err = fmt.Errorf("%w: asked for leaf hash %x, it proved %x", ErrUntrusted, leaf, l.LeafHash)
	}
	return l, err
}

func (c *Client) get(ctx context.Context, path string) (Logged, error) {
	var res getResponse
	if err := c.call(ctx, http.MethodGet, path, nil, &res, answer(1, entryBytes)); err != nil {
		return Logged{}, err
	}
	o, err := c.openShown(ctx, []byte(res.Checkpoint.Note))
	if err != nil {
		return Logged{}, err
	}
	return prove(res.Entry.Canonical, res.Entry, res.Proof, o)
}

// prove verifies that the bytes are in the checkpoint's tree. The leaf hash is
// computed here; the one in the answer is not looked at.
func prove(canonical []byte, e loggedEntry, p inclusionProof, o checkpoint.Opened) (Logged, error) {
	l := Logged{Index: int64(p.Index), Canonical: canonical, LeafHash: merkle.LeafHash(canonical), IntegratedAt: int64(e.IntegratedAt), Checkpoint: o}
	var err error
	if l.Hashes, err = included(l.LeafHash, p, o.Checkpoint); err != nil {
		return Logged{}, err
	}
	return l, nil
}

// included verifies an inclusion proof, and returns its hashes.
func included(leaf merkle.Hash, p inclusionProof, at checkpoint.Checkpoint) ([]merkle.Hash, error) {
	list, err := hashes(p.Hashes)
	if err == nil {
		err = merkle.VerifyInclusion(int64(p.Index), at.Size, leaf, list, at.Root)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: inclusion proof of entry %d in a tree of size %d: %w", ErrUntrusted, p.Index, at.Size, err)
	}
	return list, nil
}

// Included proves that the leaf at an index is in the tree of a checkpoint,
// which need not be the newest, and returns the proof.
func (c *Client) Included(ctx context.Context, index int64, leaf merkle.Hash, at checkpoint.Checkpoint) ([]merkle.Hash, error) {
	var res inclusionProof
	path := fmt.Sprintf("/v1/proofs/inclusion?index=%d&treeSize=%d", index, at.Size)
	err := c.call(ctx, http.MethodGet, path, nil, &res, answer(1, proofBytes))
	if noAPI(err) {
		return c.includedByTiles(ctx, index, leaf, at)
	}
	if err != nil {
		return nil, err
	}
	if int64(res.Index) != index {
		return nil, fmt.Errorf("%w: asked for entry %d, it proved entry %d", ErrUntrusted, index, res.Index)
	}
	return included(leaf, res, at)
}

func hashes(list [][]byte) ([]merkle.Hash, error) {
	out := make([]merkle.Hash, len(list))
	for i, h := range list {
		if len(h) != merkle.HashSize {
			return nil, fmt.Errorf("a hash of %d bytes", len(h))
		}
		out[i] = merkle.Hash(h)
	}
	return out, nil
}

// Consistent proves that the tree of an older checkpoint is a prefix of that of
// a newer one, and returns the proof.
func (c *Client) Consistent(ctx context.Context, older, newer checkpoint.Checkpoint) ([]merkle.Hash, error) {
	if older.Size > newer.Size {
		return nil, fmt.Errorf("%w: the newer checkpoint has size %d, the older %d", ErrUntrusted, newer.Size, older.Size)
	}
	var proof [][]byte
	if older.Size > 0 && older.Size < newer.Size {
		res, err := c.consistency(ctx, older.Size, newer.Size)
		if noAPI(err) {
			return c.consistentByTiles(ctx, older, newer)
		}
		if err != nil {
			return nil, err
		}
		proof = res.Hashes
	}
	return consistent(older, newer, proof)
}

// consistent verifies a consistency proof, and returns its hashes.
func consistent(older, newer checkpoint.Checkpoint, proof [][]byte) ([]merkle.Hash, error) {
	list, err := hashes(proof)
	if err == nil {
		err = merkle.VerifyConsistency(older.Size, newer.Size, older.Root, newer.Root, list)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the tree of size %d is not a prefix of that of size %d: %w", ErrUntrusted, older.Size, newer.Size, err)
	}
	return list, nil
}

// RootAt fetches the root that the log had at an earlier size, and proves that
// the tree of a checkpoint grew out of it. Whether anybody was shown that root
// at the time is another question: Consistent, with the checkpoint of then,
// answers it.
func (c *Client) RootAt(ctx context.Context, size int64, newer checkpoint.Checkpoint) (merkle.Hash, []merkle.Hash, error) {
	switch {
	case size < 0 || size > newer.Size:
		return merkle.Hash{}, nil, fmt.Errorf("size %d: the log's is %d", size, newer.Size)
	case size == 0:
		return merkle.EmptyRoot(), nil, nil
	case size == newer.Size:
		return newer.Root, nil, nil
	}
	res, err := c.consistency(ctx, size, newer.Size)
	if noAPI(err) {
		return c.Prefix(ctx, size, newer)
	}
	if err != nil {
		return merkle.Hash{}, nil, err
	}
	root, err := hashes([][]byte{res.FromRoot})
	if err != nil {
		return merkle.Hash{}, nil, fmt.Errorf("%w: the root of the tree of size %d: %w", ErrUntrusted, size, err)
	}
	proof, err := consistent(checkpoint.Checkpoint{Origin: newer.Origin, Size: size, Root: root[0]}, newer, res.Hashes)
	if err != nil {
		return merkle.Hash{}, nil, err
	}
	return root[0], proof, nil
}

// consistency fetches a proof, which is not verified.
func (c *Client) consistency(ctx context.Context, from, to int64) (res consistencyProof, err error) {
	path := fmt.Sprintf("/v1/proofs/consistency?from=%d&to=%d", from, to)
	err = c.call(ctx, http.MethodGet, path, nil, &res, answer(1, proofBytes))
	return res, err
}

// bound is how much an answer may hold. A few bytes of JSON can take hundreds
// in memory, so values are counted too, by the commas between them.
type bound struct{ bytes, commas int }

// What one entry takes in an answer, in JSON: 64 hashes, and with its canonical
// bytes in base64. A checkpoint comes on top.
const (
	proofBytes     = 8 << 10
	entryBytes     = proofBytes + 2*merkle.MaxBundleEntry
	entryCommas    = 64 + 32
	checkpointJSON = 4 * checkpoint.MaxNoteSize
)

// answer is the bound of an answer about several entries.
func answer(entries, each int) bound {
	return bound{bytes: checkpointJSON + entries*each, commas: 1000 + entries*entryCommas}
}

// call makes a request of the native API.
func (c *Client) call(ctx context.Context, method, path string, in, out any, b bound) error {
	r := request{method: method, path: path, limit: int64(b.bytes)}
	if in != nil {
		var err error
		if r.body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	data, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte{','}); n > b.commas {
		return fmt.Errorf("%w: it has %d commas; an answer to this has at most %d", ErrUntrusted, n, b.commas)
	}
	return decode(data, out)
}
