package witness

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"indelible/checkpoint"
)

// A head that the database has and the register does not is shown to nobody
// before the register has it.
func TestShownIsRegistered(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 7)
	w.mem.registered[testOrigin] = Head{} // killed between the two
	head, err := w.Cosigned(t.Context(), OriginHash(testOrigin))
	if err != nil || head.Size != 7 {
		t.Fatal(head.Size, err)
	}
	if known, _ := w.mem.Newest(testOrigin); known.Size != 7 || known.Root != head.Root {
		t.Errorf("shown at size 7, registered at %d", known.Size)
	}
	w.mem.registered[testOrigin] = Head{}
	w.mem.failRegister = errors.New("no space left")
	if _, err := w.Cosigned(t.Context(), OriginHash(testOrigin)); !errors.Is(err, w.mem.failRegister) {
		t.Errorf("it is shown, and the register does not have it: %v", err)
	}
}

// What the database forgot is not shown as less than it was.
func TestRestoredIsNotShown(t *testing.T) {
	w := newWorld(t)
	path := "/" + OriginHash(testOrigin) + "/checkpoint"
	w.add(t, 0, 5)
	for name, head := range map[string]Head{"an older copy": w.mem.snapshot(testOrigin), "an empty one": {}} {
		size := int(w.mem.snapshot(testOrigin).Size)
		w.add(t, size, size+2)
		w.mem.heads[testOrigin] = head
		rec := ask(t, w, "GET", path, nil)
		if rec.Code != 503 || !strings.Contains(rec.Body.String(), fmt.Sprintf("cosigned size %d", size+2)) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		w.add(t, size+2, size+2)
		if rec := ask(t, w, "GET", path, nil); rec.Code != 200 || !bytes.Equal(rec.Body.Bytes(), w.mem.snapshot(testOrigin).Note) {
			t.Errorf("%s, after the log came: %d %s", name, rec.Code, rec.Body)
		}
	}
}

// Where the two memories contradict each other nothing is cosigned or shown,
// until a checkpoint is accepted that extends the register's.
func TestTwoMemories(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 7)
	other := newTree(t, 9, 40)
	w.mem.registered[testOrigin] = Head{Size: 7, Root: other.root(7)}
	refused := func() {
		t.Helper()
		if _, err := w.AddCheckpoint(t.Context(), w.tree.request(t, 7, 9)); !errors.Is(err, ErrTwoMemories) {
			t.Error(err)
		}
		if _, err := w.Cosigned(t.Context(), OriginHash(testOrigin)); !errors.Is(err, ErrTwoMemories) {
			t.Error(err)
		}
	}
	refused()
	for name, a := range map[string]Acceptance{
		"what the database has": {Proof: w.tree.proof(0, 7, 9), Note: w.tree.note(t, 9)},
		"no proof":              {Note: other.note(t, 9)},
		"smaller":               {Note: other.note(t, 5)},
		"the same size":         {Note: w.tree.note(t, 7)},
	} {
		a.Origin = testOrigin
		if _, err := w.Accept(t.Context(), a); !errors.Is(err, ErrInconsistent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused()
	for range 2 { // the second time it is known
		head, err := w.Accept(t.Context(), Acceptance{Origin: testOrigin, Proof: other.proof(0, 7, 9), Note: other.note(t, 9)})
		if err != nil || head.Size != 9 || head.Root != other.root(9) {
			t.Fatal(head, err)
		}
	}
	w.tree = other
	w.add(t, 9, 12)
}

// A register that knows less than the database may be an older copy: what it
// lacks counts.
func TestAcceptWithAnOlderRegister(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 5)
	older := w.mem.registered[testOrigin]
	w.add(t, 5, 7)
	w.mem.registered[testOrigin] = older
	other := &tree{w.tree.key, append(slices.Clone(w.tree.leaves[:5]), newTree(t, 9, 40).leaves...)}
	if _, err := w.Accept(t.Context(), Acceptance{Origin: testOrigin, Proof: other.proof(0, 5, 9), Note: other.note(t, 9)}); !errors.Is(err, ErrInconsistent) {
		t.Fatalf("two histories are cosigned: %v", err)
	}
	if head, err := w.Accept(t.Context(), Acceptance{Origin: testOrigin, Proof: w.tree.proof(0, 7, 9), Note: w.tree.note(t, 9)}); err != nil || head.Size != 9 {
		t.Fatal(head, err)
	}
}

// A log goes on with another key if that signs a tree which extends its own.
func TestAcceptKey(t *testing.T) {
	w := newWorld(t)
	w.add(t, 0, 7)
	next, err := checkpoint.NewSigner(testOrigin, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{66}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	own, err := checkpoint.NewSigner(testWitness, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{67}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	moved, fork := &tree{next, w.tree.leaves}, newTree(t, 9, 40)
	fork.key = next
	keys := []checkpoint.Verifier{next.Verifier()}
	for name, test := range map[string]struct {
		a    Acceptance
		says string
	}{
		"another log":           {Acceptance{Origin: "other.example", Keys: keys, Note: moved.note(t, 9)}, "unknown log"},
		"signed by the old key": {Acceptance{Origin: testOrigin, Keys: keys, Proof: w.tree.proof(0, 7, 9), Note: w.tree.note(t, 9)}, "not signed"},
		"one of two keys": {
			Acceptance{Origin: testOrigin, Keys: append(keys, w.tree.key.Verifier()), Proof: moved.proof(0, 7, 9), Note: moved.note(t, 9)}, "each of the keys",
		},
		"another history":  {Acceptance{Origin: testOrigin, Keys: keys, Proof: fork.proof(0, 7, 9), Note: fork.note(t, 9)}, "not consistent"},
		"the witness's":    {Acceptance{Origin: testOrigin, Keys: []checkpoint.Verifier{own.Verifier()}, Note: moved.note(t, 9)}, "witness's own name"},
		"no checkpoint":    {Acceptance{Origin: testOrigin, Keys: keys, Note: []byte("nonsense")}, "malformed"},
		"without new keys": {Acceptance{Origin: testOrigin, Proof: moved.proof(0, 7, 9), Note: moved.note(t, 9)}, "not signed"},
	} {
		if _, err := w.Accept(t.Context(), test.a); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.mem.snapshot(testOrigin).Size != 7 {
		t.Error("something was accepted")
	}
	head, err := w.Accept(t.Context(), Acceptance{Origin: testOrigin, Keys: keys, Proof: moved.proof(0, 7, 9), Note: moved.note(t, 9)})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := checkpoint.Open(head.Note, keys, w.Verifiers()...)
	if err != nil || len(opened.Verified) != 3 {
		t.Errorf("%s %v", head.Note, err)
	}
}
