package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"

	"indelible/checkpoint"
	"indelible/merkle"
)

// step is the growth of a tree from one checkpoint to the next, with its proof.
type step struct {
	old, size int64
	root      merkle.Hash
	proof     []merkle.Hash
}

// stepEntries is by how many entries the trees grow.
const stepEntries = 37

// history grows a tree from nothing.
func history(steps int) ([]step, error) {
	t := newTree(steps * stepEntries)
	var edge merkle.Edge
	var all []step
	for range steps {
		s := step{old: edge.Size(), size: edge.Size() + stepEntries}
		edge, _ = edge.Append(t[0][s.old:s.size])
		s.root = edge.Root()
		if s.old > 0 {
			plan, err := merkle.PlanConsistency(s.old, s.size)
			if err != nil {
				return nil, err
			}
			if s.proof, err = plan.Compute(t.tile); err != nil {
				return nil, err
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// tree has the hashes of each level of tiles.
type tree [][]merkle.Hash

func newTree(leaves int) tree {
	hashes := make([]merkle.Hash, leaves)
	for i := range hashes {
		hashes[i] = merkle.LeafHash(rawBody("history", int64(i)))
	}
	edge, full := merkle.Edge{}.Append(hashes)
	t := make(tree, edge.Levels())
	for _, f := range full {
		t[f.Level] = append(t[f.Level], f.Hashes...)
	}
	for level := range t {
		t[level] = append(t[level], edge.Partial(level)...)
	}
	return t
}

func (t tree) tile(tile merkle.Tile) (*merkle.Nodes, error) {
	start := tile.Index * merkle.TileWidth
	return merkle.Expand(t[tile.Level][start : start+int64(tile.Width)])
}

// askingLog is a log that has a witness cosign its checkpoints. All have the
// same entries, and differ in their names and keys, which a witness does not
// notice.
type askingLog struct {
	key    *checkpoint.KeySigner
	signed int      // steps of the history that are signed
	ready  [][]byte // requests for the last of them, oldest first, not yet made
}

func newAskingLog(n int) (*askingLog, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	signer, err := checkpoint.NewSigner(fmt.Sprintf("asking%d.bench.example", n), key)
	return &askingLog{key: signer}, err
}

var errNoneReady = errors.New("no checkpoints are left that were signed in advance")

// take returns the next request.
func (l *askingLog) take() ([]byte, error) {
	if len(l.ready) == 0 {
		return nil, fmt.Errorf("%s: after %d: %w", l.key.Name(), l.signed, errNoneReady)
	}
	body := l.ready[0]
	l.ready[0], l.ready = nil, l.ready[1:]
	return body, nil
}

// prepare signs until count requests are ready.
func (l *askingLog) prepare(steps []step, count int) error {
	for len(l.ready) < count {
		if l.signed == len(steps) {
			return fmt.Errorf("a history of %d steps is too short", len(steps))
		}
		body, err := l.request(steps[l.signed])
		if err != nil {
			return err
		}
		l.ready = append(l.ready, body)
		l.signed++
	}
	return nil
}

// request is the body of an add-checkpoint request.
func (l *askingLog) request(s step) ([]byte, error) {
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: l.key.Name(), Size: s.size, Root: s.root}, l.key)
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, "old %d\n", s.old)
	for _, h := range s.proof {
		body = append(base64.StdEncoding.AppendEncode(body, h[:]), '\n')
	}
	return append(append(body, '\n'), note...), nil
}

// check verifies the witness's lines for a request: one by each of its keys.
func (l *askingLog) check(request, lines []byte, witness []checkpoint.Verifier) error {
	_, note, _ := bytes.Cut(request, []byte("\n\n"))
	opened, err := checkpoint.Open(append(bytes.Clone(note), lines...), []checkpoint.Verifier{l.key.Verifier()}, witness...)
	if err != nil {
		return err
	}
	for _, key := range witness {
		if !opened.VerifiedBy(key) {
			return fmt.Errorf("no cosignature by %s", key)
		}
	}
	return nil
}
