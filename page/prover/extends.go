package prover

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"indelible/evidence"
	"indelible/merkle"
	"indelible/verify"
)

// prefixPlans are what proves that a tree begins with a smaller one: the smaller
// one's root, and the consistency proof.
func prefixPlans(from, to int64) (root, proof merkle.Plan, err error) {
	if from > to {
		return root, proof, fmt.Errorf("a tree of %d entries cannot extend one of %d", to, from)
	}
	if root, err = merkle.PlanRange(from); err == nil {
		proof, err = merkle.PlanConsistency(from, to)
	}
	return root, proof, err
}

// wide is a tile as the tree of a size has it: a plan for the beginning of a tree
// asks for narrower ones.
func wide(t merkle.Tile, size int64) merkle.Tile {
	t.Width = int(min(merkle.TileWidth, merkle.HashesAt(t.Level, size)-t.Index*merkle.TileWidth))
	return t
}

func planExtends(q struct{ From, To int64 }) (any, error) {
	root, proof, err := prefixPlans(q.From, q.To)
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, t := range slices.Concat(root.Tiles(), proof.Tiles()) {
		if p := wide(t, q.To).Path(); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return map[string]any{"tiles": list}, nil
}

type extendsQuestion struct {
	trust
	Older, Newer string // checkpoints
	Tiles        tiles
}

// extension is whether one head extends another.
type extended struct {
	Verified bool           `json:"verified"`
	Checks   []verify.Check `json:"checks"`
	// Evidence is a file that proves to anybody that the log contradicted itself.
	Evidence string `json:"evidence,omitempty"`
}

func proveExtends(q extendsQuestion) (any, error) {
	older, err := q.open(q.Older)
	if err != nil {
		return nil, err
	}
	newer, err := q.open(q.Newer)
	if err != nil {
		return nil, err
	}
	var out extended
	var c checks
	if older.checks[0].State != verify.Passed || newer.checks[0].State != verify.Passed {
		c.fail("extends", errors.New("one of the two checkpoints is not signed by a log that you trust"))
	} else if detail, proof, err := q.extends(older, newer); err != nil {
		out.Evidence = string(proof)
		c.fail("extends", err)
	} else {
		c.pass("extends", "%s", detail)
	}
	out.Checks, out.Verified = c, !c.failed()
	return out, nil
}

// extends returns what was found, or evidence of the contrary where there is some.
func (q extendsQuestion) extends(older, newer opened) (detail string, proof []byte, err error) {
	switch {
	case older.Origin != newer.Origin:
		return "", nil, fmt.Errorf("it is of another log, %.255q, than the one before, %.255q", newer.Origin, older.Origin)
	case older.Size > newer.Size:
		return "", nil, fmt.Errorf("the log showed this browser a tree of %d entries before, and now one of %d: it was rolled back, or this server is behind", older.Size, newer.Size)
	case older.Size == newer.Size && !bytes.Equal(older.Root[:], newer.Root[:]):
		proof, _ = evidence.OfTwoHeads(newer.keys(), older.Note, newer.Note)
		return "", proof, fmt.Errorf("the log signed two different trees of %d entries: it forked", newer.Size)
	case older.Size == newer.Size:
		return fmt.Sprintf("it is the tree of %d entries that this browser was shown before", newer.Size), nil, nil
	}
	return q.grown(older, newer)
}

func (q extendsQuestion) grown(older, newer opened) (string, []byte, error) {
	rootPlan, proofPlan, err := prefixPlans(older.Size, newer.Size)
	if err != nil {
		return "", nil, err
	}
	get := func(t merkle.Tile) (*merkle.Nodes, error) { return q.Tiles.get(wide(t, newer.Size)) }
	perfect, err := rootPlan.Compute(get)
	if err != nil {
		return "", nil, err
	}
	root, err := merkle.RangeRoot(older.Size, perfect)
	if err != nil {
		return "", nil, err
	}
	hashes, err := proofPlan.Compute(get)
	if err == nil {
		err = merkle.VerifyConsistency(older.Size, newer.Size, root, newer.Root, hashes)
	}
	if err != nil {
		return "", nil, fmt.Errorf("the tiles do not lead to the checkpoint of %d entries, so that it extends the one of %d is not proven: %w", newer.Size, older.Size, err)
	}
	if root != older.Root {
		proof, _ := evidence.OfFork(newer.keys(), older.Note, newer.Note, root, hashes)
		return "", proof, fmt.Errorf("the tree of %d entries does not begin with the tree of %d entries that the log signed before: it forked", newer.Size, older.Size)
	}
	return fmt.Sprintf("the tree of %d entries begins with the one of %d that this browser was shown before", newer.Size, older.Size), nil, nil
}
