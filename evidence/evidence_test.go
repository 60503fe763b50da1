package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/mldsa"
	"errors"
	"fmt"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/merkle"
)

const origin = "log.example"

// history is a list of entries; two histories with one name are equal up to
// where they part.
type history []merkle.Hash

func newHistory(name string, size, parts int) history {
	var h history
	for i := range size {
		who := name
		if i < parts {
			who = "both"
		}
		h = append(h, merkle.LeafHash(fmt.Appendf(nil, "%s %d", who, i)))
	}
	return h
}

func (h history) at(size int) checkpoint.Checkpoint {
	edge, _ := merkle.Edge{}.Append(h[:size])
	return checkpoint.Checkpoint{Origin: origin, Size: int64(size), Root: edge.Root()}
}

// proof is RFC 6962's PROOF(m, D[n]), word for word.
func (h history) proof(m, n int) []merkle.Hash { return subproof(m, h[:n], true) }

func subproof(m int, d history, whole bool) []merkle.Hash {
	if m == len(d) {
		if whole {
			return nil
		}
		return []merkle.Hash{d.at(m).Root}
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	if m <= k {
		return append(subproof(m, d[:k], whole), d[k:].at(len(d)-k).Root)
	}
	return append(subproof(m-k, d[k:], false), d.at(k).Root)
}

func ed25519Key(t testing.TB, name string, seed byte) *checkpoint.KeySigner {
	t.Helper()
	s, err := checkpoint.NewSigner(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, c checkpoint.Checkpoint, signers ...checkpoint.Signer) []byte {
	t.Helper()
	note, err := checkpoint.Sign(c, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func keysOf(signers ...interface{ Verifier() checkpoint.Verifier }) []checkpoint.Verifier {
	var keys []checkpoint.Verifier
	for _, s := range signers {
		keys = append(keys, s.Verifier())
	}
	return keys
}

// Every pair of sizes of two histories that part somewhere: a fork is proven
// exactly if the smaller tree is not the beginning of the larger one.
func TestFork(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	for parts := range 12 {
		a, b := newHistory("a", 12, parts), newHistory("b", 12, parts)
		for m := 1; m < 12; m++ {
			for n := m + 1; n <= 12; n++ {
				file, err := evidence.OfFork(keysOf(key), sign(t, a.at(m), key), sign(t, b.at(n), key), b.at(m).Root, b.proof(m, n))
				if m <= parts {
					if !errors.Is(err, evidence.ErrNotProven) {
						t.Fatalf("histories that part at %d, sizes %d and %d: %v", parts, m, n, err)
					}
					continue
				}
				e, err := evidence.Verify(file, keysOf(key))
				if err != nil || e.Kind != evidence.Fork || e.First.Checkpoint != a.at(m) || e.Second.Checkpoint != b.at(n) {
					t.Fatalf("histories that part at %d, sizes %d and %d: %v\n%s", parts, m, n, err, file)
				}
			}
		}
	}
}

// No evidence can be made against a log that did not fork: not with proofs of
// anything else, nor with none.
func TestHonestLog(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	log, other := newHistory("a", 12, 0), newHistory("b", 12, 3)
	for m := range 12 {
		for n := m; n <= 12; n++ {
			smaller, larger := sign(t, log.at(m), key), sign(t, log.at(n), key)
			for _, root := range []merkle.Hash{log.at(m).Root, other.at(m).Root, {}, log.at(n).Root} {
				for _, proof := range [][]merkle.Hash{nil, other[:n].proofOr(m, n), log[:n].proofOr(m, n), {root}} {
					for _, notes := range [][2][]byte{{smaller, larger}, {larger, smaller}} {
						if file, err := evidence.OfFork(keysOf(key), notes[0], notes[1], root, proof); err == nil {
							t.Fatalf("sizes %d and %d:\n%s", m, n, file)
						}
					}
				}
			}
			if file, err := evidence.OfTwoHeads(keysOf(key), smaller, larger); err == nil {
				t.Fatalf("sizes %d and %d:\n%s", m, n, file)
			}
			if file, err := evidence.OfShrunk(keysOf(key), larger, smaller); err == nil {
				t.Fatalf("sizes %d and %d:\n%s", m, n, file)
			}
		}
	}
}

// proofOr is proof, or nothing from the empty tree.
func (h history) proofOr(m, n int) []merkle.Hash {
	if m == 0 {
		return nil
	}
	return h.proof(m, n)
}

func TestTwoHeads(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	a, b := newHistory("a", 14, 5).at(14), newHistory("b", 14, 5).at(14)
	one, err := evidence.OfTwoHeads(keysOf(key), sign(t, a, key), sign(t, b, key))
	if err != nil {
		t.Fatal(err)
	}
	two, err := evidence.OfTwoHeads(keysOf(key), sign(t, b, key), sign(t, a, key))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("the order matters: %v\n%s\n%s", err, one, two)
	}
	if e, err := evidence.Verify(one, keysOf(key)); err != nil || e.Kind != evidence.TwoHeads {
		t.Error(e.Kind, err)
	}
}

// cosigner is a key that signs times, whether a log's or a witness's.
func cosigners(t *testing.T) map[string]*checkpoint.Cosigner {
	t.Helper()
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	log, err := checkpoint.NewCosigner(origin, pq)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := checkpoint.NewCosigner("witness.example/w1", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*checkpoint.Cosigner{"log": log, "witness": witness}
}

func cosigned(t *testing.T, c checkpoint.Checkpoint, by *checkpoint.Cosigner, seconds int64) []byte {
	t.Helper()
	s, err := by.Cosign(c, seconds)
	if err != nil {
		t.Fatal(err)
	}
	return checkpoint.Note{Text: c.Text(), Signatures: []checkpoint.Signature{s}}.Marshal()
}

func TestShrunk(t *testing.T) {
	h := newHistory("a", 20, 20)
	for name, key := range cosigners(t) {
		for _, test := range []struct {
			firstSize, secondSize int
			firstTime, secondTime int64
			proven                bool
		}{
			{20, 14, 1000, 1001, true},
			{20, 0, 1000, 1<<63 - 1, true},
			{20, 14, 1000, 1000, false}, // may be one after the other within the second
			{20, 14, 1001, 1000, false},
			{14, 14, 1000, 1001, false},
			{14, 20, 1000, 1001, false},
		} {
			file, err := evidence.OfShrunk(keysOf(key), cosigned(t, h.at(test.firstSize), key, test.firstTime), cosigned(t, h.at(test.secondSize), key, test.secondTime))
			if test.proven != (err == nil) {
				t.Errorf("%s: %+v: %v", name, test, err)
			}
			if err == nil {
				if e, err := evidence.Verify(file, keysOf(key)); err != nil || e.Kind != evidence.Shrunk || e.Second.Time != test.secondTime {
					t.Errorf("%s: %+v: %v\n%s", name, test, err, file)
				}
			}
		}
	}
}

// A subtree is signed with time 0, which does not say that it is the largest.
func TestShrunkSubtree(t *testing.T) {
	key, h := cosigners(t)["log"], newHistory("a", 20, 20)
	c := h.at(20)
	s, err := key.CosignSubtree(origin, checkpoint.Subtree{End: c.Size, Root: c.Root})
	if err != nil {
		t.Fatal(err)
	}
	whole := checkpoint.Note{Text: c.Text(), Signatures: []checkpoint.Signature{s}}.Marshal()
	if file, err := evidence.OfShrunk(keysOf(key), whole, cosigned(t, h.at(14), key, 1000)); !errors.Is(err, evidence.ErrNotProven) {
		t.Errorf("%v\n%s", err, file)
	}
}

// Two witnesses may see different trees; two keys of one log may not sign them.
func TestTwoKeys(t *testing.T) {
	key, second, other := ed25519Key(t, origin, 1), ed25519Key(t, origin, 2), ed25519Key(t, "other.example", 3)
	a, b := newHistory("a", 14, 5).at(14), newHistory("b", 14, 5).at(14)
	both := keysOf(key, second)
	file, err := evidence.OfTwoHeads(both, sign(t, a, key), sign(t, b, second))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := evidence.Verify(file, both); err != nil || len(e.Keys) != 2 {
		t.Error(e.Keys, err)
	}
	for _, some := range [][]checkpoint.Verifier{nil, both[:1], both[1:], keysOf(other)} {
		if e, err := evidence.Verify(file, some); !errors.Is(err, evidence.ErrUntrusted) || len(e.Keys) != 2 {
			t.Errorf("trusting %v: %v", some, err)
		}
	}
	w := cosigners(t)
	notes := [2][]byte{cosigned(t, a, w["log"], 5), cosigned(t, b, w["witness"], 5)}
	if file, err := evidence.OfTwoHeads(keysOf(w["log"], w["witness"]), notes[0], notes[1]); err == nil {
		t.Errorf("keys of two names:\n%s", file)
	}
	// One key that signed both is preferred, wherever it stands.
	file, err = evidence.OfTwoHeads(both, sign(t, a, key, second), sign(t, b, second))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := evidence.Verify(file, both[1:]); err != nil || len(e.Keys) != 1 {
		t.Error(e.Keys, err)
	}
}

func TestTwoLogs(t *testing.T) {
	key := cosigners(t)["witness"]
	a, b := newHistory("a", 14, 5).at(14), newHistory("b", 14, 5).at(14)
	b.Origin = "other.example"
	if file, err := evidence.OfTwoHeads(keysOf(key), cosigned(t, a, key, 1), cosigned(t, b, key, 1)); !errors.Is(err, evidence.ErrNotProven) {
		t.Errorf("%v\n%s", err, file)
	}
}

// signAs signs a checkpoint by a key whose name is not its origin, as
// tlog-checkpoint and the witness network's lists of logs allow.
func signAs(t testing.TB, c checkpoint.Checkpoint, by *checkpoint.KeySigner) []byte {
	t.Helper()
	blob, err := by.Sign(c.Text())
	if err != nil {
		t.Fatal(err)
	}
	line := checkpoint.Signature{Name: by.Name(), KeyID: by.KeyHash(), Blob: blob}
	return checkpoint.Note{Text: c.Text(), Signatures: []checkpoint.Signature{line}}.Marshal()
}

// A key may have another name than the log: evidence is about both, and says so.
func TestKeyOfAnotherName(t *testing.T) {
	first, second := ed25519Key(t, "keys.example/1", 1), ed25519Key(t, "keys.example/1", 2)
	renamed := ed25519Key(t, "keys.example/2", 3)
	a, b := newHistory("a", 20, 5), newHistory("b", 20, 5)
	fork := func(by *checkpoint.KeySigner) ([]byte, error) {
		return evidence.OfFork(keysOf(first, second, renamed), signAs(t, a.at(14), first), signAs(t, b.at(20), by), b.at(14).Root, b.proof(14, 20))
	}
	heads := func(by *checkpoint.KeySigner) ([]byte, error) {
		return evidence.OfTwoHeads(keysOf(first, second, renamed), signAs(t, a.at(14), first), signAs(t, b.at(14), by))
	}
	for kind, prove := range map[evidence.Kind]func(by *checkpoint.KeySigner) ([]byte, error){evidence.Fork: fork, evidence.TwoHeads: heads} {
		for _, by := range []*checkpoint.KeySigner{first, second} {
			file, err := prove(by)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			e, err := evidence.Verify(file, keysOf(first, second))
			if err != nil || e.Kind != kind || e.First.Origin != origin {
				t.Errorf("%s: %v\n%s", kind, err, file)
			}
			for _, name := range []string{fmt.Sprintf("about the log %q", origin), fmt.Sprintf("%s+%08x", by.Name(), by.KeyHash())} {
				if !strings.Contains(e.Statement(), name) {
					t.Errorf("%s: it does not say %s:\n%s", kind, name, e.Statement())
				}
			}
		}
		// Nothing but the name tells two keys of a log from those of two witnesses.
		if file, err := prove(renamed); !errors.Is(err, evidence.ErrNotProven) {
			t.Errorf("%s by keys of two names: %v\n%s", kind, err, file)
		}
	}
}

// One key may be that of many logs, whose heads do not contradict each other.
func TestKeyOfTwoLogs(t *testing.T) {
	key := ed25519Key(t, "keys.example/1", 1)
	a, b := newHistory("a", 20, 5).at(14), newHistory("b", 20, 5).at(14)
	b.Origin = "other.example"
	if file, err := evidence.OfTwoHeads(keysOf(key), signAs(t, a, key), signAs(t, b, key)); !errors.Is(err, evidence.ErrNotProven) {
		t.Errorf("%v\n%s", err, file)
	}
}

// files are one file of each kind, and the keys they are about.
func files(t testing.TB, key *checkpoint.KeySigner, cosigner *checkpoint.Cosigner) map[evidence.Kind][]byte {
	t.Helper()
	a, b := newHistory("a", 20, 5), newHistory("b", 20, 5)
	made := make(map[evidence.Kind][]byte)
	var err error
	if made[evidence.Fork], err = evidence.OfFork(keysOf(key), sign(t, a.at(14), key), sign(t, b.at(20), key), b.at(14).Root, b.proof(14, 20)); err != nil {
		t.Fatal(err)
	}
	if made[evidence.TwoHeads], err = evidence.OfTwoHeads(keysOf(key), sign(t, a.at(14), key), sign(t, b.at(14), key)); err != nil {
		t.Fatal(err)
	}
	if cosigner == nil {
		return made
	}
	now := int64(2000)
	s := cosigner.Signer(func() int64 { now += 1000; return now })
	if made[evidence.Shrunk], err = evidence.OfShrunk(keysOf(cosigner), sign(t, a.at(20), key, s), sign(t, a.at(14), key, s)); err != nil {
		t.Fatal(err)
	}
	return made
}

// Extension lines stay where the key signed them, and prove nothing.
func TestExtensionLines(t *testing.T) {
	key, ml := ed25519Key(t, origin, 1), cosigners(t)["log"]
	note := func(name, extension string, s checkpoint.Signer) []byte {
		t.Helper()
		text := append(newHistory(name, 14, 5).at(14).Text(), extension...)
		line := checkpoint.Signature{Name: s.Name(), KeyID: s.KeyHash()}
		var err error
		if line.Blob, err = s.Sign(text); err != nil {
			t.Fatal(err)
		}
		return checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{line}}.Marshal()
	}
	file, err := evidence.OfTwoHeads(keysOf(key), note("a", "one\n", key), note("b", "", key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Verify(file, keysOf(key)); err != nil || !bytes.Contains(file, []byte("\none\n\n— ")) {
		t.Errorf("%v\n%s", err, file)
	}
	for _, other := range []string{"two", "one\ntwo"} {
		if _, err := evidence.Verify(bytes.Replace(file, []byte("\none\n"), []byte("\n"+other+"\n"), 1), keysOf(key)); err == nil {
			t.Errorf("with %q: accepted", other)
		}
	}
	if _, err := evidence.OfTwoHeads(keysOf(key), note("a", "one\n", key), note("a", "two\n", key)); !errors.Is(err, evidence.ErrNotProven) {
		t.Errorf("extension lines alone differ: %v", err)
	}
	// Nobody signed these, so they are no part of the file.
	signer, verifier := ml.Signer(func() int64 { return 1_700_000_000 }), keysOf(ml)
	unsigned := func(name string) []byte {
		return bytes.Replace(note(name, "", signer), []byte("\n\n"), []byte("\nforged\n\n"), 1)
	}
	if file, err = evidence.OfTwoHeads(verifier, unsigned("a"), unsigned("b")); err != nil || bytes.Contains(file, []byte("forged")) {
		t.Fatalf("%v\n%s", err, file)
	}
	if _, err := evidence.Verify(file, verifier); err != nil {
		t.Error(err)
	}
	if _, err := evidence.Verify(bytes.Replace(file, []byte("=\n\n— "), []byte("=\nforged\n\n— "), 1), verifier); err == nil {
		t.Error("forged extension lines were accepted")
	}
}

// Two notes that are as large as a witness cosigns fit into a file.
func TestLargestNotes(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	note := func(name string, size int) []byte {
		t.Helper()
		text := newHistory(name, size, 5).at(size).Text()
		made := func(n int) []byte {
			text := append(bytes.Clone(text), strings.Repeat("x", n)+"\n"...)
			sig, err := key.Sign(text)
			if err != nil {
				t.Fatal(err)
			}
			return checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{{Name: key.Name(), KeyID: key.KeyHash(), Blob: sig}}}.Marshal()
		}
		return made(1 + checkpoint.MaxNoteSize - len(made(1)))
	}
	a, b := note("a", 14), note("b", 14)
	if len(a) != checkpoint.MaxNoteSize || len(b) != checkpoint.MaxNoteSize {
		t.Fatalf("notes of %d and %d bytes", len(a), len(b))
	}
	file, err := evidence.OfTwoHeads(keysOf(key), a, b)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := evidence.Verify(file, keysOf(key)); err != nil || e.Kind != evidence.TwoHeads || len(file) < 2*checkpoint.MaxNoteSize {
		t.Fatalf("a file of %d bytes, at most %d: %v", len(file), evidence.MaxSize, err)
	}
	h := newHistory("c", 20, 5)
	if file, err = evidence.OfFork(keysOf(key), a, note("c", 20), h.at(14).Root, h.proof(14, 20)); err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Verify(file, keysOf(key)); err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Verify(make([]byte, evidence.MaxSize+1), keysOf(key)); !errors.Is(err, evidence.ErrMalformed) || !strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
}

// A file with any byte changed, left out or added proves nothing.
func TestEveryByte(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	for kind, file := range files(t, key, cosigners(t)["witness"]) {
		trusted := keysOf(key, cosigners(t)["witness"])
		if _, err := evidence.Verify(file, trusted); err != nil {
			t.Fatal(err)
		}
		bad := func(what string, at int, changed []byte) {
			if e, err := evidence.Verify(changed, trusted); err == nil || len(e.Keys) > 0 {
				t.Errorf("%s: %s byte %d: %v", kind, what, at, err)
			}
		}
		for at := range file {
			for _, flip := range []byte{1, 2, 0x20, 0x80} {
				changed := bytes.Clone(file)
				changed[at] ^= flip
				bad("another", at, changed)
			}
			bad("without", at, append(bytes.Clone(file[:at]), file[at+1:]...))
			bad("a newline before", at, []byte(string(file[:at])+"\n"+string(file[at:])))
			bad("up to", at, file[:at])
		}
		bad("after", len(file), append(bytes.Clone(file), '\n'))
		bad("crlf", 0, bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n")))
	}
}

// Parts of files do not prove in each other's company.
func TestMixed(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	made := files(t, key, cosigners(t)["log"])
	for kind, file := range made {
		for other, donor := range made {
			b, d := strings.Split(string(file), "\n\n"), strings.Split(string(donor), "\n\n")
			for i := range b {
				mixed := append([]string{}, b...)
				mixed[i] = d[i]
				text := strings.Join(mixed, "\n\n")
				_, err := evidence.Verify([]byte(text), keysOf(key, cosigners(t)["log"]))
				if err == nil && text != string(file) {
					t.Errorf("%s with block %d of %s:\n%s", kind, i, other, text)
				}
			}
		}
	}
}

func TestWords(t *testing.T) {
	key := ed25519Key(t, origin, 1)
	for kind, words := range map[evidence.Kind][]string{
		evidence.Fork:     {"Whoever holds the key \"log.example+", "Its first 14 entries", "Its first 20 entries", "which is not that of statement 1"},
		evidence.TwoHeads: {"Whoever holds the key \"log.example+", "1. Its first 14 entries", "2. Its first 14 entries", "two histories"},
		evidence.Shrunk:   {"At the time 3000", "were 20", "for 1000 seconds later", "cannot have seen at most 14"},
	} {
		file := files(t, key, cosigners(t)["log"])[kind]
		e, err := evidence.Verify(file, keysOf(key, cosigners(t)["log"]))
		if err != nil || !bytes.Contains(file, []byte(e.Statement())) {
			t.Errorf("%s: %v: the file does not hold its statement", kind, err)
		}
		for _, w := range words {
			if !strings.Contains(e.Statement(), w) {
				t.Errorf("%s: it does not say %q:\n%s", kind, w, e.Statement())
			}
		}
	}
}

// A log's name cannot make a file say anything else.
func TestHostileOrigin(t *testing.T) {
	key := cosigners(t)["witness"]
	for _, name := range []string{"a\" is honest. \"", "x\u202ey", "\u009b2J", "key x", "log - 123"} {
		a, b := newHistory("a", 14, 5).at(14), newHistory("b", 14, 5).at(14)
		a.Origin, b.Origin = name, name
		file, err := evidence.OfTwoHeads(keysOf(key), cosigned(t, a, key, 1), cosigned(t, b, key, 1))
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		e, err := evidence.Verify(file, keysOf(key))
		if err != nil || e.First.Origin != name || !strings.Contains(e.Statement(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What is accepted is what was made: two claims of one log, or nothing.
func FuzzVerify(f *testing.F) {
	key := ed25519Key(f, origin, 1)
	trusted := keysOf(key)
	made := files(f, key, nil)
	for _, file := range made {
		f.Add(file)
		b := strings.Split(string(file), "\n\n")
		f.Add([]byte(strings.Join(append(b[:2:2], b...), "\n\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := evidence.Verify(data, trusted)
		if err == nil && !bytes.Equal(data, made[e.Kind]) {
			t.Errorf("accepted:\n%s", data)
		}
	})
}
