package prover

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
	"indelible/verify"
)

// bundleOf names the file that holds an entry of a tree.
func bundleOf(index, size int64) merkle.Bundle {
	b := index / merkle.TileWidth
	return merkle.Bundle{Index: b, Width: int(min(merkle.TileWidth, size-b*merkle.TileWidth))}
}

// leafTile names the tile that holds the hash of a leaf.
func leafTile(index, size int64) merkle.Tile {
	b := bundleOf(index, size)
	return merkle.Tile{Index: b.Index, Width: b.Width}
}

func planEntry(q struct{ Index, Size int64 }) (any, error) {
	plan, err := merkle.PlanInclusion(q.Index, q.Size)
	if err != nil {
		return nil, err
	}
	tiles := []string{leafTile(q.Index, q.Size).Path()}
	for _, t := range plan.Tiles() {
		if p := t.Path(); !slices.Contains(tiles, p) {
			tiles = append(tiles, p)
		}
	}
	return map[string]any{"bundle": bundleOf(q.Index, q.Size).Path(), "tiles": tiles}, nil
}

// tiles are files that the page fetched, by path.
type tiles map[string][]byte

// get reads a tile. Its error names the file.
func (t tiles) get(tile merkle.Tile) (*merkle.Nodes, error) {
	data, ok := t[tile.Path()]
	if !ok {
		return nil, fmt.Errorf("%s was not fetched", tile.Path())
	}
	hashes, err := merkle.DecodeTile(data)
	if err == nil && len(hashes) != tile.Width {
		err = fmt.Errorf("it has %d hashes, and the tree has %d there", len(hashes), tile.Width)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a tile: %w", tile.Path(), err)
	}
	return merkle.Expand(hashes)
}

type entryQuestion struct {
	trust
	Note   string
	Index  int64
	Bundle []byte
	Tiles  tiles
	Asked  asked
}

// asked is what the reader looked for, and the log says that the entry is.
type asked struct {
	Leaf  string // hex
	By    entry.IndexBy
	Value string
}

// proven is what was found of an entry.
type proven struct {
	Verified bool           `json:"verified"`
	Checks   []verify.Check `json:"checks"`
	Head     *head          `json:"head"`
	Index    int64          `json:"index"`
	Entry    *described     `json:"entry"`
	Path     []step         `json:"path"`
	Proof    string         `json:"proof"` // a proof file
}

// step is one hash on the way from the leaf to the root.
type step struct {
	Left   bool   `json:"left"` // the sibling stands on the left
	With   string `json:"with"` // the sibling's hash, hex
	Hash   string `json:"hash"` // of both, hex
	Height int    `json:"height"`
}

func proveEntry(q entryQuestion) (any, error) {
	o, err := q.open(q.Note)
	if err != nil {
		return nil, err
	}
	p := proven{Index: q.Index, Head: o.head(q.Note)}
	if !o.ok {
		o.checks.skip("entry", "an earlier check failed")
		p.Checks = o.checks
		return p, nil
	}
	c := o.checks
	canonical := q.entry(&c, o)
	if !c.failed() {
		p.Entry = describe(canonical)
		q.matches(&c, canonical)
		q.include(&c, &p, o, canonical)
	}
	p.Checks, p.Verified = c, !c.failed()
	return p, nil
}

// entry takes the entry out of its bundle.
func (q entryQuestion) entry(c *checks, o opened) []byte {
	if q.Index < 0 || q.Index >= o.Size {
		c.fail("entry", fmt.Errorf("there is no entry %d in a log of %d", q.Index, o.Size))
		return nil
	}
	b := bundleOf(q.Index, o.Size)
	list, err := merkle.ParseBundle(q.Bundle, b.Width)
	if err != nil {
		c.fail("entry", fmt.Errorf("%s is not a bundle of %d entries: %w", b.Path(), b.Width, err))
		return nil
	}
	canonical := list[q.Index%merkle.TileWidth]
	leaf := merkle.LeafHash(canonical)
	noteKind(c, canonical)
	q.leaf(c, leaf, leafTile(q.Index, o.Size))
	return canonical
}

func noteKind(c *checks, canonical []byte) {
	p, err := entry.Parse(canonical)
	if err != nil {
		c.skip("entry", "its kind is not known here: "+err.Error())
		return
	}
	c.pass("entry", "a canonical %s entry", p.Kind)
}

// leaf compares the entry's leaf hash with the tile of leaves.
func (q entryQuestion) leaf(c *checks, leaf merkle.Hash, tile merkle.Tile) {
	nodes, err := q.Tiles.get(tile)
	if err != nil {
		c.fail("leaf", err)
		return
	}
	if have, _ := nodes.At(0, int(q.Index%merkle.TileWidth)); have != leaf {
		c.fail("leaf", fmt.Errorf("the entry that was sent has leaf hash %x…, and the tree's tile %s has %x… there: one of them is false", leaf[:8], tile.Path(), have[:8]))
		return
	}
	c.pass("leaf", "the entry's leaf hash is the one in the log's tile")
}

// matches checks that the entry is what the reader asked for, and its signature.
func (q entryQuestion) matches(c *checks, canonical []byte) {
	leaf := merkle.LeafHash(canonical)
	switch {
	case q.Asked.Leaf != "":
		if hex.EncodeToString(leaf[:]) != strings.ToLower(q.Asked.Leaf) {
			c.fail("asked", fmt.Errorf("the log answered with an entry of another leaf hash than you asked for: %x", leaf))
			return
		}
		c.pass("asked", "it has the leaf hash that you asked for")
	case q.Asked.By != "":
		want, err := entry.NewIndexKey(q.Asked.By, q.Asked.Value)
		keys, _ := entry.IndexKeys(canonical)
		if err == nil && !slices.Contains(keys, want) {
			err = fmt.Errorf("the log answered with an entry that is not found by %s %.300s", q.Asked.By, q.Asked.Value)
		}
		if err != nil {
			c.fail("asked", err)
			return
		}
		c.pass("asked", "it says what you searched for: %s %s", q.Asked.By, q.Asked.Value)
	}
	checkSignature(c, canonical)
}

func checkSignature(c *checks, canonical []byte) {
	p, err := entry.Parse(canonical)
	switch {
	case err != nil || len(p.Signers()) == 0:
		c.skip("signature", "nobody signed the entry")
	case p.HashedRekord == nil:
		c.skip("signature", "the log checked it when it took the entry; it is over the artifact or the envelope, which the log does not keep: drop that with its proof to check it")
	default:
		if err := p.HashedRekord.Verify(); err != nil {
			c.fail("signature", err)
			return
		}
		c.pass("signature", "%s over the digest", p.HashedRekord.Signer.KeyDetails)
	}
}

// include makes the inclusion proof from the tiles, and checks it.
func (q entryQuestion) include(c *checks, p *proven, o opened, canonical []byte) {
	plan, err := merkle.PlanInclusion(q.Index, o.Size)
	if err != nil { // never: the index was checked
		c.fail("inclusion", err)
		return
	}
	hashes, err := plan.Compute(q.Tiles.get)
	if err == nil {
		proof := checkpoint.Proof{Extra: canonical, HasExtra: true, Index: q.Index, Hashes: hashes, Checkpoint: o.Note}
		err = p.include(proof, o)
		if err == nil {
			var text []byte
			text, err = proof.Marshal()
			p.Proof = string(text)
		}
	}
	if err != nil {
		c.fail("inclusion", fmt.Errorf("the tiles do not lead from the entry to the checkpoint: %w", err))
		return
	}
	c.pass("inclusion", "the entry is number %d of %d in the log", q.Index, o.Size)
}

// include checks a proof of an entry, and keeps the path for the picture.
func (p *proven) include(proof checkpoint.Proof, o opened) error {
	leaf := merkle.LeafHash(proof.Extra)
	if err := merkle.VerifyInclusion(proof.Index, o.Size, leaf, proof.Hashes, o.Root); err != nil {
		return err
	}
	p.Path = path(proof.Index, o.Size, leaf, proof.Hashes)
	return nil
}

// path is each hash of an inclusion proof that holds. SPEC: RFC 9162, section
// 2.1.3.2, whose fn and sn these are.
func path(index, size int64, hash merkle.Hash, hashes []merkle.Hash) (steps []step) {
	fn, sn, height := index, size-1, 0
	for _, with := range hashes {
		for fn&1 == 0 && fn == sn && fn != 0 { // a right edge without a sibling
			fn, sn, height = fn>>1, sn>>1, height+1
		}
		left := fn&1 == 1
		if left {
			hash = merkle.NodeHash(with, hash)
		} else {
			hash = merkle.NodeHash(hash, with)
		}
		fn, sn, height = fn>>1, sn>>1, height+1
		steps = append(steps, step{Left: left, With: hex.EncodeToString(with[:]), Hash: hex.EncodeToString(hash[:]), Height: height})
	}
	return steps
}

// checkProof checks a proof file without the artifact.
func checkProof(q struct {
	trust
	Proof []byte
},
) (any, error) {
	proof, err := checkpoint.ParseProof(q.Proof)
	if err != nil {
		return nil, fmt.Errorf("the proof file is not valid: %w", err)
	}
	if !proof.HasExtra {
		return nil, errors.New("the proof file has no extra line, which carries the logged entry")
	}
	o, err := q.open(string(proof.Checkpoint))
	if err != nil {
		return nil, err
	}
	p := proven{Index: proof.Index, Head: o.head(string(proof.Checkpoint)), Proof: string(q.Proof)}
	p.Entry = describe(proof.Extra)
	c := o.checks
	noteKind(&c, proof.Extra)
	c.skip("artifact", "drop the artifact too")
	checkSignature(&c, proof.Extra)
	if o.ok {
		if err := p.include(proof, o); err != nil {
			c.fail("inclusion", fmt.Errorf("the proof does not lead from the entry to the checkpoint: %w", err))
		} else {
			c.pass("inclusion", "the entry is number %d of %d in the log", proof.Index, o.Size)
		}
	}
	p.Checks, p.Verified = c, !c.failed()
	return p, nil
}
