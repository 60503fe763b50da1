package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/mldsa"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

const (
	testOrigin  = "log.example"
	testWitness = "witness.example/w1"
)

// memory is a State and a Register that forget with the process.
type memory struct {
	mu           sync.Mutex
	logs         []Log
	heads        map[string]Head
	registered   map[string]Head
	swaps        int
	fail         error // of Swap
	unknown      bool  // Swap fails, and yet it swapped
	failRegister error
}

func newMemory(logs ...Log) *memory {
	return &memory{logs: logs, heads: make(map[string]Head), registered: make(map[string]Head)}
}

func (m *memory) Logs(context.Context) ([]Log, error) { return m.logs, nil }

func (m *memory) AddLogs(_ context.Context, logs []Log) error {
	for _, l := range logs {
		if slices.ContainsFunc(m.logs, func(k Log) bool { return k.Origin == l.Origin }) {
			return fmt.Errorf("%w: %s is there", ErrLogRefused, l.Origin)
		}
		m.logs = append(m.logs, l)
	}
	return nil
}

func (m *memory) Head(_ context.Context, origin string) (Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heads[origin], nil
}

func (m *memory) Swap(_ context.Context, origin string, from, to Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.heads[origin]
	if m.fail != nil && !m.unknown {
		return m.fail
	}
	if have.Size != from.Size || have.Root != from.Root || have.Time != from.Time {
		return ErrMoved
	}
	m.heads[origin] = to
	m.swaps++
	return m.fail
}

func (m *memory) Newest(origin string) (Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.registered[origin], nil
}

func (m *memory) Advance(_ context.Context, origin string, to Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failRegister != nil {
		return m.failRegister
	}
	if was := m.registered[origin]; to.Size > was.Size || to.Size == was.Size && to.Time > was.Time {
		m.registered[origin] = to
	}
	return nil
}

func (m *memory) snapshot(origin string) Head {
	h, _ := m.Head(context.Background(), origin)
	return h
}

// tree is the log that is witnessed.
type tree struct {
	key    *checkpoint.KeySigner
	leaves []merkle.Hash
}

func newTree(t testing.TB, seed byte, leaves int) *tree {
	t.Helper()
	key, err := checkpoint.NewSigner(testOrigin, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{key: key}
	for i := range leaves {
		tr.leaves = append(tr.leaves, merkle.LeafHash(fmt.Appendf(nil, "%d leaf %d", seed, i)))
	}
	return tr
}

func (tr *tree) root(size int) merkle.Hash {
	edge, _ := merkle.Edge{}.Append(tr.leaves[:size])
	return edge.Root()
}

func (tr *tree) note(t testing.TB, size int) []byte {
	t.Helper()
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: testOrigin, Size: int64(size), Root: tr.root(size)}, tr.key)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// proof is the draft's SUBTREE_PROOF of [start, end) in the tree of a size; from
// 0 it is a consistency proof.
func (tr *tree) proof(start, end, size int) []merkle.Hash {
	if end == 0 {
		return nil
	}
	return subtreeProof(start, end, tr.leaves[:size], true)
}

func subtreeProof(start, end int, d []merkle.Hash, whole bool) []merkle.Hash {
	mth := func(d []merkle.Hash) merkle.Hash {
		edge, _ := merkle.Edge{}.Append(d)
		return edge.Root()
	}
	if start == 0 && end == len(d) {
		if whole {
			return nil
		}
		return []merkle.Hash{mth(d)}
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	switch {
	case end <= k:
		return append(subtreeProof(start, end, d[:k], whole), mth(d[k:]))
	case k <= start:
		return append(subtreeProof(start-k, end-k, d[k:], whole), mth(d[:k]))
	}
	return append(subtreeProof(0, end-k, d[k:], false), mth(d[:k]))
}

func (tr *tree) request(t testing.TB, old, size int) Request {
	t.Helper()
	return Request{Old: int64(old), Proof: tr.proof(0, old, size), Note: tr.note(t, size)}
}

// world is a witness and what it stands on.
type world struct {
	*Witness
	mem  *memory
	tree *tree
	now  *time.Time
}

func cosigners(t testing.TB) []*checkpoint.Cosigner {
	t.Helper()
	ml, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{4}, 32))
	if err != nil {
		t.Fatal(err)
	}
	a, err := checkpoint.NewCosigner(testWitness, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := checkpoint.NewCosigner(testWitness, ml)
	if err != nil {
		t.Fatal(err)
	}
	return []*checkpoint.Cosigner{a, b}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, newTree(t, 0, 40), cosigners(t))
}

func newWorldOf(t testing.TB, tr *tree, keys []*checkpoint.Cosigner) *world {
	t.Helper()
	mem := newMemory(Log{Origin: testOrigin, Keys: []checkpoint.Verifier{tr.key.Verifier()}})
	now := time.Unix(1_700_000_000, 0)
	w, err := New(t.Context(), Config{State: mem, Register: mem, Cosigners: keys, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return &world{Witness: w, mem: mem, tree: tr, now: &now}
}

// add has a checkpoint cosigned, which must succeed, and checks the answer.
func (w *world) add(t testing.TB, old, size int) {
	t.Helper()
	signatures, err := w.AddCheckpoint(t.Context(), w.tree.request(t, old, size))
	if err != nil {
		t.Fatalf("from %d to %d: %v", old, size, err)
	}
	note, added, err := checkpoint.AddCosignatures(w.tree.note(t, size), w.Verifiers(), signatures...)
	if err != nil || len(added) != 2 || len(signatures) != 2 {
		t.Fatalf("%d signatures, %d of them good, %v", len(signatures), len(added), err)
	}
	head := w.mem.snapshot(testOrigin)
	if !bytes.Equal(head.Note, note) || head.Size != int64(size) {
		t.Errorf("stored:\n%s\nanswered:\n%s", head.Note, note)
	}
}
