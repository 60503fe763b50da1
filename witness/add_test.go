package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/mldsa"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

func TestAddCheckpoint(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 0) // the empty tree
	for _, step := range [][2]int{{0, 1}, {1, 1}, {1, 7}, {7, 8}, {8, 40}, {40, 40}} {
		*w.now = w.now.Add(time.Second)
		w.add(t, step[0], step[1])
	}
	opened, err := checkpoint.Open(w.mem.snapshot(testOrigin).Note, []checkpoint.Verifier{w.tree.key.Verifier()}, w.Verifiers()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range w.Verifiers() {
		if at, ok := opened.Timestamp(v); !ok || at != w.now.Unix() {
			t.Errorf("time %d, %v", at, ok)
		}
	}
}

// sign signs any text as the log.
func (tr *tree) sign(t *testing.T, text string) []byte {
	t.Helper()
	sig, err := tr.key.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return checkpoint.Note{Text: []byte(text), Signatures: []checkpoint.Signature{{Name: testOrigin, KeyID: tr.key.KeyHash(), Blob: sig}}}.Marshal()
}

func (tr *tree) text(size int) string {
	return string(checkpoint.Checkpoint{Origin: testOrigin, Size: int64(size), Root: tr.root(size)}.Text())
}

// Extension lines are cosigned and served with the rest, and hinder nothing that
// follows.
func TestExtensionLines(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 5)
	text := w.tree.text(9) + "an extension\n— and another\n"
	note := w.tree.sign(t, text)
	signatures, err := w.AddCheckpoint(t.Context(), Request{5, w.tree.proof(0, 5, 9), note})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range w.Verifiers() {
		if !v.Verify([]byte(text), signatures[i].Blob) {
			t.Errorf("the cosignature of type %d does not cover the text", v.Algorithm())
		}
	}
	opened, err := checkpoint.OpenExtended(testOrigin, w.mem.snapshot(testOrigin).Note, []checkpoint.Verifier{w.tree.key.Verifier()}, w.Verifiers()...)
	if err != nil || len(opened.Verified) != 3 || !bytes.HasPrefix(opened.Note, []byte(text)) {
		t.Errorf("%s %v", opened.Note, err)
	}
	sub := checkpoint.Subtree{Start: 4, End: 6, Root: merkle.NodeHash(w.tree.leaves[4], w.tree.leaves[5])}
	if _, err := w.SignSubtree(t.Context(), SubtreeRequest{sub, w.tree.proof(4, 6, 9), opened.Note}); err != nil {
		t.Error(err)
	}
	false0 := w.tree.sign(t, testOrigin+"\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n")
	if _, err := w.AddCheckpoint(t.Context(), Request{0, nil, false0}); !errors.Is(err, ErrInconsistent) {
		t.Error(err)
	}
	w.add(t, 9, 9)
	w.add(t, 9, 20)
}

// What an ML-DSA-44 log key does not cover is nobody's word.
func TestExtensionLinesOfNobody(t *testing.T) {
	ml, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	key, err := checkpoint.NewCosigner(testOrigin, ml)
	if err != nil {
		t.Fatal(err)
	}
	mem, tr := newMemory(Log{Origin: testOrigin, Keys: []checkpoint.Verifier{key.Verifier()}}), newTree(t, 0, 9)
	w, err := New(t.Context(), Config{State: mem, Register: mem, Cosigners: cosigners(t)})
	if err != nil {
		t.Fatal(err)
	}
	line, err := key.Cosign(checkpoint.Checkpoint{Origin: testOrigin, Size: 9, Root: tr.root(9)}, 1_700_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for extension, want := range map[string]error{"": nil, "an extension\n": ErrNotSigned} {
		note := checkpoint.Note{Text: []byte(tr.text(9) + extension), Signatures: []checkpoint.Signature{line}}.Marshal()
		if _, err := w.AddCheckpoint(t.Context(), Request{mem.snapshot(testOrigin).Size, nil, note}); !errors.Is(err, want) {
			t.Errorf("%q: %v", extension, err)
		}
	}
}

// A log with two keys that signs twice with one of them is cosigned no more than
// one with a single key: a note with both lines could not be opened again.
func TestTwoLinesByOneKey(t *testing.T) {
	tr := newTree(t, 0, 9)
	ml, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	second, err := checkpoint.NewCosigner(testOrigin, ml)
	if err != nil {
		t.Fatal(err)
	}
	keys := []checkpoint.Verifier{tr.key.Verifier(), second.Verifier()}
	mem := newMemory(Log{Origin: testOrigin, Keys: keys})
	w, err := New(t.Context(), Config{State: mem, Register: mem, Cosigners: cosigners(t)})
	if err != nil {
		t.Fatal(err)
	}
	note := tr.note(t, 9)
	line := note[bytes.Index(note, []byte("\n\n"))+2:]
	both, err := second.Cosign(checkpoint.Checkpoint{Origin: testOrigin, Size: 9, Root: tr.root(9)}, 1_700_000_000)
	if err != nil {
		t.Fatal(err)
	}
	other := checkpoint.MarshalSignatures([]checkpoint.Signature{both})
	for name, lines := range map[string][]byte{
		"one key twice":              line,
		"one key twice, and another": append(bytes.Clone(other), line...),
		"both keys twice":            append(append(bytes.Clone(other), line...), other...),
	} {
		if _, err := w.AddCheckpoint(t.Context(), Request{0, nil, append(bytes.Clone(note), lines...)}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if mem.snapshot(testOrigin).Note != nil {
			t.Fatalf("%s: the state changed", name)
		}
	}
	if _, err := w.AddCheckpoint(t.Context(), Request{0, nil, append(bytes.Clone(note), other...)}); err != nil {
		t.Error(err)
	}
	if opened, err := checkpoint.Open(mem.snapshot(testOrigin).Note, keys, w.Verifiers()...); err != nil || len(opened.Verified) != 4 {
		t.Errorf("%d of the lines that are served verify, %v", len(opened.Verified), err)
	}
}

// The ladder: what is wrong first decides.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 7)
	tr, fork := w.tree, newTree(t, 9, 40)
	other, err := checkpoint.NewSigner(testOrigin, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{66}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: testOrigin, Size: 9, Root: tr.root(9)}, other)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := checkpoint.NewSigner("other.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{67}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: "other.example", Size: 9, Root: tr.root(9)}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	good := tr.request(t, 7, 9)
	damaged := good
	damaged.Note = bytes.Replace(good.Note, []byte("\n9\n"), []byte("\n8\n"), 1)
	extension := tr.sign(t, tr.text(9)+"an extension\n\nand another\n")
	falseEmpty := tr.sign(t, testOrigin+"\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	falseEmptyMalformed := tr.sign(t, testOrigin+"\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nmore\n")
	twice := append(bytes.Clone(good.Note), good.Note[bytes.Index(good.Note, []byte("\n\n"))+2:]...)
	conflict := &ConflictError{}
	for name, test := range map[string]struct {
		r    Request
		want error
	}{
		"no note":                 {Request{7, nil, []byte("nonsense")}, ErrMalformed},
		"unknown log":             {Request{7, nil, unknown}, ErrUnknownLog},
		"by another key":          {Request{7, good.Proof, unsigned}, ErrNotSigned},
		"damaged":                 {damaged, ErrNotSigned},
		"two lines by one key":    {Request{7, good.Proof, twice}, ErrMalformed},
		"an empty extension line": {Request{7, good.Proof, extension}, ErrMalformed},
		"old beyond":              {Request{10, nil, good.Note}, ErrMalformed},
		"negative":                {Request{-1, nil, good.Note}, ErrMalformed},
		"false empty tree":        {Request{0, nil, falseEmpty}, ErrInconsistent},
		"false and old beyond":    {Request{1, nil, falseEmpty}, ErrMalformed},
		"false and malformed":     {Request{0, nil, falseEmptyMalformed}, ErrMalformed},
		"another old":             {tr.request(t, 6, 9), conflict},
		"never seen":              {Request{0, nil, good.Note}, conflict},
		"smaller":                 {Request{5, nil, tr.note(t, 5)}, conflict},
		"no proof":                {Request{7, nil, good.Note}, ErrInconsistent},
		"a hash too many":         {Request{7, append(bytes2(good.Proof), merkle.Hash{}), good.Note}, ErrInconsistent},
		"forked":                  {fork.request(t, 7, 9), ErrInconsistent},
		"forked at one size":      {Request{7, nil, fork.note(t, 7)}, ErrInconsistent},
		"a proof to the same":     {Request{7, []merkle.Hash{{}}, tr.note(t, 7)}, ErrInconsistent},
		"forked and wrong start":  {fork.request(t, 3, 9), conflict},
	} {
		before := w.mem.snapshot(testOrigin)
		_, err := w.AddCheckpoint(t.Context(), test.r)
		if got := (*ConflictError)(nil); test.want == error(conflict) {
			if !errors.As(err, &got) || got.Size != 7 {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after := w.mem.snapshot(testOrigin); !bytes.Equal(after.Note, before.Note) {
			t.Errorf("%s: the state changed", name)
		}
	}
	w.add(t, 7, 9)
}

func bytes2(h []merkle.Hash) []merkle.Hash { return append([]merkle.Hash(nil), h...) }

// A line that claims to be ours is not stored, or the note would not open again.
func TestForgedLineOfOurs(t *testing.T) {
	w := newWorld(t)
	ours := w.Verifiers()[0]
	forged := checkpoint.Signature{Name: ours.Name(), KeyID: ours.KeyHash(), Blob: bytes.Repeat([]byte{1}, 72)}
	r := w.tree.request(t, 0, 5)
	r.Note = append(r.Note, checkpoint.MarshalSignatures([]checkpoint.Signature{forged})...)
	if _, err := w.AddCheckpoint(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.add(t, 5, 9)
}

// Sixteen ML-DSA lines by others fit.
func TestManyCosignatures(t *testing.T) {
	w := newWorld(t)
	r := w.tree.request(t, 0, 5)
	for i := range 16 {
		key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{byte(50 + i)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		c, err := checkpoint.NewCosigner(fmt.Sprintf("w%d.example", i), key)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := c.Cosign(checkpoint.Checkpoint{Origin: testOrigin, Size: 5, Root: w.tree.root(5)}, 7)
		if err != nil {
			t.Fatal(err)
		}
		r.Note = append(r.Note, checkpoint.MarshalSignatures([]checkpoint.Signature{sig})...)
	}
	if _, err := w.AddCheckpoint(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// Two that start from one size: one is cosigned, or both if they are the same.
func TestRace(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 5)
	forks := []*tree{newTree(t, 0, 40), newTree(t, 0, 40)}
	for i := 5; i < 40; i++ {
		forks[1].leaves[i] = merkle.LeafHash(fmt.Append(nil, "fork ", i))
	}
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := w.AddCheckpoint(t.Context(), forks[i%2].request(t, 5, 9))
			if err == nil {
				won.Add(1)
			} else if got := (*ConflictError)(nil); !errors.As(err, &got) || got.Size != 9 {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || w.mem.swaps != 2 {
		t.Errorf("%d won, %d swaps", won.Load(), w.mem.swaps)
	}
	// Slow A after fast B.
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 5, 7)); !errors.As(err, new(*ConflictError)) {
		t.Error(err)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 5)
	gone := errors.New("the database is gone")
	w.mem.fail = gone
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 5, 7)); !errors.Is(err, gone) {
		t.Error(err)
	}
	// The outcome was unknown: it was stored. The log learns so.
	w.mem.unknown = true
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 5, 7)); !errors.Is(err, gone) {
		t.Error(err)
	}
	w.mem.fail = nil
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 5, 7)); !errors.As(err, new(*ConflictError)) {
		t.Error(err)
	}
	w.add(t, 7, 9)
}

// A database from a backup: the register's head counts, and must be extended.
func TestRestored(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 5)
	old := w.mem.snapshot(testOrigin)
	w.add(t, 5, 9)
	w.mem.heads[testOrigin] = old
	var conflict *ConflictError
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 5, 7)); !errors.As(err, &conflict) || conflict.Size != 9 {
		t.Fatal(err)
	}
	fork := newTree(t, 3, 40)
	if _, err := w.AddCheckpoint(t.Context(), fork.request(t, 9, 12)); !errors.Is(err, ErrInconsistent) {
		t.Fatal(err)
	}
	w.add(t, 9, 12)
	// Two at one size, neither of which extends the other.
	w.mem.heads[testOrigin] = Head{Size: 12, Root: fork.root(12), Time: 1, Note: []byte("x")}
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 12, 13)); err == nil || !strings.Contains(err.Error(), "hold two checkpoints") {
		t.Fatal(err)
	}
}

// Times never go back, whatever the clock does and the database forgets: a later
// cosignature of a smaller tree would be evidence against the log.
func TestTimeNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	var told []time.Time
	w.cfg.ClockBehind = func(_ string, last time.Time) { told = append(told, last) }
	w.add(t, 0, 5)
	old := w.mem.snapshot(testOrigin)
	*w.now = w.now.Add(time.Hour)
	w.add(t, 5, 5)
	at := *w.now
	for _, back := range []time.Duration{clockTolerance * time.Second, 30 * time.Minute} {
		w.mem.heads[testOrigin] = old
		*w.now = at.Add(-back)
		w.add(t, 5, 9)
		if got := w.mem.snapshot(testOrigin).Time; got != at.Unix() {
			t.Errorf("the clock %s back: time %d after %d", back, got, at.Unix())
		}
		w.mem.registered[testOrigin] = Head{Size: 5, Root: old.Root, Time: at.Unix()}
	}
	if len(told) != 1 || !told[0].Equal(at) {
		t.Errorf("told of %v", told)
	}
}

// Strangers who send again what the log signed before cost it nothing: neither
// its larger checkpoint, nor the 409 that it starts with, nor its refresh.
func TestStrangersUseUpNothing(t *testing.T) {
	w := newWorld(t)
	w.logs[testOrigin].PerDay = 24
	w.add(t, 0, 5)
	for range 5 * minBurst {
		if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 3, 5)); !errors.As(err, new(*ConflictError)) {
			t.Fatal(err)
		}
		if _, err := w.AddCheckpoint(t.Context(), Request{5, []merkle.Hash{{}}, w.tree.note(t, 5)}); !errors.Is(err, ErrInconsistent) {
			t.Fatal(err)
		}
	}
	for range 5 * minBurst {
		w.add(t, 5, 5) // cosigned anew, and then what was
	}
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 0, 7)); !errors.As(err, new(*ConflictError)) {
		t.Error(err)
	}
	before := w.mem.swaps
	*w.now = w.now.Add(10 * time.Minute)
	w.add(t, 5, 5)
	if w.mem.swaps != before {
		t.Error("a checkpoint that is repeated without end is stored each time")
	}
	*w.now = w.now.Add(time.Hour)
	w.add(t, 5, 5)
	if got := w.mem.snapshot(testOrigin).Time; got != w.now.Unix() {
		t.Errorf("once the budget has room again, the time is %d of %d", got, w.now.Unix())
	}
	w.add(t, 5, 7)
}

// What is answered without being stored again is in the register too.
func TestRepeatedIsRegistered(t *testing.T) {
	w := newWorld(t)
	w.logs[testOrigin].PerDay = 24
	for range minBurst + 1 {
		w.add(t, int(w.mem.snapshot(testOrigin).Size), 5)
	}
	swaps := w.mem.swaps
	w.mem.registered[testOrigin] = Head{} // killed between the two
	w.add(t, 5, 5)
	if known, _ := w.mem.Newest(testOrigin); known.Size != 5 || w.mem.swaps != swaps {
		t.Errorf("answered at size 5, registered at %d, %d swaps of %d", known.Size, w.mem.swaps, swaps)
	}
}

// A log that grows more often than it may waits.
func TestBudget(t *testing.T) {
	w := newWorld(t)
	w.logs[testOrigin].PerDay = 24
	for i := range minBurst {
		w.add(t, i, i+1)
	}
	tooMany := (*TooManyError)(nil)
	if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, minBurst, minBurst+1)); !errors.As(err, &tooMany) || tooMany.RetryAfter() != time.Hour {
		t.Fatal(err)
	}
	if got := w.mem.snapshot(testOrigin).Size; got != minBurst {
		t.Errorf("size %d", got)
	}
	*w.now = w.now.Add(time.Hour)
	w.add(t, minBurst, minBurst+1)
	w.add(t, minBurst+1, minBurst+1)
}

// A contradiction that is sent again and again is told of some times.
func TestContradictionsAreTold(t *testing.T) {
	w := newWorld(t)
	told := 0
	w.cfg.Contradicted = func(Log, Head, []byte) { told++ }
	w.add(t, 0, 7)
	fork := newTree(t, 9, 40)
	for range 5 * minBurst {
		if _, err := w.AddCheckpoint(t.Context(), Request{7, nil, fork.note(t, 7)}); !errors.Is(err, ErrInconsistent) {
			t.Fatal(err)
		}
	}
	if told != minBurst {
		t.Errorf("told of %d times", told)
	}
}

func TestAddLogs(t *testing.T) {
	w := newWorld(t)
	other, err := checkpoint.NewSigner("other.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	key := []checkpoint.Verifier{other.Verifier()}
	err = w.AddLogs(t.Context(), []Log{{Origin: testWitness, Keys: key}, {Origin: "other.example", Keys: key}})
	if !errors.Is(err, ErrLogRefused) || !strings.Contains(err.Error(), "apart") || w.Logs() != 2 {
		t.Fatalf("%d logs, %v", w.Logs(), err)
	}
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: "other.example", Size: 1, Root: w.tree.root(1)}, other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddCheckpoint(t.Context(), Request{Note: note}); err != nil {
		t.Error(err)
	}
	// The one that was cosigned before is as it was.
	w.add(t, 0, 5)
}

// Who gives up while another request for the same log runs waits no longer.
func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	unlock, err := w.logs[testOrigin].lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.AddCheckpoint(ctx, w.tree.request(t, 0, 5)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unlock()
	w.add(t, 0, 5)
}

func TestNames(t *testing.T) {
	key, err := checkpoint.NewSigner(testWitness, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []Log{
		{Origin: testWitness, Keys: []checkpoint.Verifier{newTree(t, 0, 1).key.Verifier()}},
		{Origin: testOrigin, Keys: []checkpoint.Verifier{key.Verifier()}},
	} {
		mem := newMemory(l)
		if _, err := New(t.Context(), Config{State: mem, Register: mem, Cosigners: cosigners(t)}); err == nil || !strings.Contains(err.Error(), "apart") {
			t.Errorf("%s: %v", l.Origin, err)
		}
	}
	if _, err := New(t.Context(), Config{}); err == nil {
		t.Error("a witness of nothing")
	}
}

func TestSignSubtree(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 14)
	note := w.mem.snapshot(testOrigin).Note
	request := func(start, end int) SubtreeRequest {
		edge, _ := merkle.Edge{}.Append(w.tree.leaves[start:end])
		return SubtreeRequest{Subtree: checkpoint.Subtree{Start: int64(start), End: int64(end), Root: edge.Root()}, Proof: w.tree.proof(start, end, 14), Note: note}
	}
	for _, s := range [][2]int{{0, 14}, {8, 13}, {4, 8}, {13, 14}, {0, 5}} {
		r := request(s[0], s[1])
		signatures, err := w.SignSubtree(t.Context(), r)
		if err != nil || len(signatures) != 1 {
			t.Fatalf("[%d, %d): %v", s[0], s[1], err)
		}
		if !w.Verifiers()[1].VerifySubtree(testOrigin, r.Subtree, signatures[0].Blob) {
			t.Errorf("[%d, %d): the signature does not verify", s[0], s[1])
		}
	}
	good := request(8, 13)
	with := func(change func(r *SubtreeRequest)) SubtreeRequest {
		r := good
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		r    SubtreeRequest
		want error
	}{
		"no subtree":      {with(func(r *SubtreeRequest) { r.Subtree.Start = 3 }), ErrMalformed},
		"beyond":          {with(func(r *SubtreeRequest) { r.Subtree.End = 15 }), ErrMalformed},
		"no note":         {with(func(r *SubtreeRequest) { r.Note = nil }), ErrMalformed},
		"unknown":         {with(func(r *SubtreeRequest) { r.Note = bytes.ReplaceAll(note, []byte(testOrigin), []byte("xog.example")) }), ErrUnknownLog},
		"not cosigned":    {with(func(r *SubtreeRequest) { r.Note = w.tree.note(t, 14) }), ErrNotSigned},
		"another subtree": {with(func(r *SubtreeRequest) { r.Subtree.Root[0]++ }), ErrInconsistent},
		"no proof":        {with(func(r *SubtreeRequest) { r.Proof = nil }), ErrInconsistent},
	} {
		if _, err := w.SignSubtree(t.Context(), test.r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
