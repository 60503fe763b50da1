package prover_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/evidence"
	"indelible/merkle"
	"indelible/mirror/sourcetest"
	"indelible/page/prover"
	"indelible/verify"
)

type object = map[string]any

// ask asks as the page does, and decodes the answer.
func ask[A any](t *testing.T, name string, question any, file io.Reader) (a A) {
	t.Helper()
	data, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	answer := prover.Answer(name, data, file)
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%s: %v: %s", name, err, answer)
	}
	return a
}

// proven is what the page reads of an answer.
type proven struct {
	Error    string
	Verified bool
	Checks   []verify.Check
	Index    int64
	Proof    string
	Evidence string
	Head     *struct {
		Size       int64
		Note       string
		Signatures []struct {
			By   string
			Time int64
		}
	}
	Entry *struct {
		Kind, LeafHash string
		Canonical      []byte
		Found          []struct{ By, Value string }
		Signers        []struct{ Fingerprint string }
	}
	Path []struct {
		Left bool
		Hash string
	}
}

// fails checks that the answer names the check that failed.
func (p proven) fails(t *testing.T, check, contains string) {
	t.Helper()
	for _, c := range p.Checks {
		if c.State == verify.Failed {
			if p.Verified || c.Name != check || !strings.Contains(c.Detail, contains) {
				t.Errorf("verified %t: %s failed: %s; want %s with %q", p.Verified, c.Name, c.Detail, check, contains)
			}
			return
		}
	}
	t.Errorf("no check failed: %+v", p)
}

// world is a log of hashedrekords, and whoever reads it.
type world struct {
	*sourcetest.Log
	key *ecdsa.PrivateKey
}

func newWorld(t *testing.T, size int) world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := world{sourcetest.New(t, "log.example", 0), key}
	for i := range size {
		w.Add(w.signed(t, fmt.Sprintf("artifact %d", i)))
	}
	return w
}

// signed is the entry of an artifact.
func (w world) signed(t *testing.T, artifact string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(artifact))
	sig, err := w.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(w.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: entry.Verifier{PublicKey: spki}})
	if err != nil {
		t.Fatal(err)
	}
	return e.Canonical()
}

// question is what the page asks to have an entry proven.
func (w world) question(t *testing.T, index int64) object {
	t.Helper()
	note := string(w.Resource("checkpoint"))
	size := ask[proven](t, "open", object{"keys": []string{w.Key.String()}, "note": note}, nil).Head.Size
	plan := ask[struct {
		Bundle string
		Tiles  []string
	}](t, "plan-entry", object{"index": index, "size": size}, nil)
	return object{"keys": []string{w.Key.String()}, "note": note, "index": index, "bundle": w.Resource(plan.Bundle), "tiles": w.tiles(plan.Tiles)}
}

func (w world) tiles(paths []string) map[string][]byte {
	files := map[string][]byte{}
	for _, path := range paths {
		files[path] = w.Resource(path)
	}
	return files
}

// TestEntry: each entry of trees of some sizes is proven, and its proof file is one
// that logcli's code verifies.
func TestEntry(t *testing.T) {
	for _, size := range []int{1, 2, 3, 257, 600} {
		w := newWorld(t, size)
		for _, index := range []int{0, size / 2, size - 1} {
			got := ask[proven](t, "entry", w.question(t, int64(index)), nil)
			if got.Error != "" || !got.Verified || got.Entry.Kind != "hashedrekord" {
				t.Fatalf("%d of %d: %+v", index, size, got)
			}
			artifact := fmt.Sprintf("artifact %d", index)
			r, err := verify.Verify(strings.NewReader(artifact), []byte(got.Proof), verify.Trust{Logs: []checkpoint.Verifier{w.Key}, Signers: []verify.Signer{{Fingerprint: got.Entry.Signers[0].Fingerprint}}})
			if err != nil || !r.Verified {
				t.Errorf("%d of %d: the proof file: %v, %+v", index, size, err, r)
			}
			root := w.Root(int64(size))
			if n := len(got.Path); n > 0 && got.Path[n-1].Hash != hex.EncodeToString(root[:]) || n == 0 && size > 1 {
				t.Errorf("%d of %d: the path ends elsewhere: %+v", index, size, got.Path)
			}
		}
	}
}

// TestLies: each false answer of a log is named by the check that it fails.
func TestLies(t *testing.T) {
	w := newWorld(t, 600)
	other := newWorld(t, 600)
	stranger := world{sourcetest.New(t, "elsewhere.example", 600), w.key}
	flip := func(q object, path string) { q["tiles"].(map[string][]byte)[path] = flipped(w.Resource(path)) }
	for name, c := range map[string]struct {
		lie             func(q object)
		check, contains string
	}{
		"another entry":       {func(q object) { q["bundle"] = other.Resource("tile/entries/000") }, "leaf", "one of them is false"},
		"a damaged bundle":    {func(q object) { q["bundle"] = w.Resource("tile/entries/000")[:1000] }, "entry", "not a bundle"},
		"a longer bundle":     {func(q object) { q["bundle"] = append(w.Resource("tile/entries/000"), 0, 1, 'x') }, "entry", "not a bundle"},
		"a changed leaf tile": {func(q object) { flip(q, "tile/0/000") }, "inclusion", "do not lead"},
		"a changed tile":      {func(q object) { flip(q, "tile/1/000.p/2") }, "inclusion", "do not lead"},
		"a short tile":        {func(q object) { q["tiles"].(map[string][]byte)["tile/1/000.p/2"] = make([]byte, 32) }, "inclusion", "has 1 hashes"},
		"no tile":             {func(q object) { q["tiles"] = object{} }, "leaf", "was not fetched"},
		"a wrong key":         {func(q object) { q["note"] = string(stranger.Resource("checkpoint")) }, "checkpoint", "no log that you trust"},
		"a changed head":      {func(q object) { q["note"] = strings.Replace(q["note"].(string), "\n600\n", "\n601\n", 1) }, "checkpoint", "no log that you trust"},
		"an unsigned head":    {func(q object) { q["note"], _, _ = strings.Cut(q["note"].(string), "\n\n") }, "checkpoint", "no log that you trust"},
		"another index":       {func(q object) { q["index"] = 601 }, "entry", "no entry 601"},
		"another leaf hash":   {func(q object) { q["asked"] = object{"leaf": strings.Repeat("ab", 32)} }, "asked", "another leaf hash"},
		"another digest":      {func(q object) { q["asked"] = object{"by": "artifact", "value": "sha256:" + strings.Repeat("ab", 32)} }, "asked", "not found by artifact"},
		"an older root":       {func(q object) { q["note"] = string(w.Note(599)) }, "entry", "not a bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			index := int64(7)
			if name == "an older root" {
				index = 598
			}
			q := w.question(t, index)
			c.lie(q)
			ask[proven](t, "entry", q, nil).fails(t, c.check, c.contains)
		})
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// TestExtends: a head that does not extend the remembered one is named, and a fork is
// proven by a file that others can check.
func TestExtends(t *testing.T) {
	w := newWorld(t, 600)
	fork := newWorld(t, 500) // of the same key, with other entries
	for name, c := range map[string]struct {
		older, newer    []byte
		newerLog        world
		contains, kinds string
	}{
		"grown":    {w.Note(300), w.Note(600), w, "", ""},
		"the same": {w.Note(600), w.Note(600), w, "", ""},
		"shrunk":   {w.Note(600), w.Note(599), w, "rolled back", ""},
		"two":      {w.Note(500), fork.Note(500), fork, "two different trees", "two-heads"},
		"forked":   {fork.Note(500), w.Note(600), w, "does not begin with", "fork"},
	} {
		t.Run(name, func(t *testing.T) {
			q := object{"keys": []string{w.Key.String()}, "older": string(c.older), "newer": string(c.newer)}
			from, to := sizeOf(t, c.older), sizeOf(t, c.newer)
			if from < to {
				plan := ask[struct{ Tiles []string }](t, "plan-extends", object{"from": from, "to": to}, nil)
				q["tiles"] = c.newerLog.tiles(plan.Tiles)
			}
			got := ask[proven](t, "extends", q, nil)
			if c.contains == "" {
				if !got.Verified || got.Error != "" {
					t.Errorf("%+v", got)
				}
				return
			}
			got.fails(t, "extends", c.contains)
			if c.kinds == "" {
				return
			}
			e, err := evidence.Verify([]byte(got.Evidence), []checkpoint.Verifier{w.Key})
			if err != nil || string(e.Kind) != c.kinds {
				t.Errorf("the evidence: %v, %s", err, e.Kind)
			}
		})
	}
}

func sizeOf(t *testing.T, note []byte) int64 {
	t.Helper()
	n, err := checkpoint.ParseNote(note)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.ParseText(n.Text)
	if err != nil {
		t.Fatal(err)
	}
	return c.Size
}

// TestPolicy: a policy's witnesses are asked for.
func TestPolicy(t *testing.T) {
	w := newWorld(t, 3)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := checkpoint.NewCosigner("witness.example", key)
	if err != nil {
		t.Fatal(err)
	}
	q := w.question(t, 1)
	q["policy"] = fmt.Sprintf("witness one %s\nquorum one\n", witness.Verifier())
	ask[proven](t, "entry", q, nil).fails(t, "witnesses", "")
	for seconds, key := range map[int64]crypto.Signer{1_700_000_000: key, 1_800_000_000: postQuantum(t)} { // Ed25519, ML-DSA-44
		witness, err := checkpoint.NewCosigner("witness.example", key)
		if err != nil {
			t.Fatal(err)
		}
		line, err := witness.Cosign(checkpoint.Checkpoint{Origin: "log.example", Size: 3, Root: w.Root(3)}, seconds)
		if err != nil {
			t.Fatal(err)
		}
		q["note"] = string(w.Note(3)) + string(checkpoint.MarshalSignatures([]checkpoint.Signature{line}))
		q["policy"] = fmt.Sprintf("witness one %s\nquorum one\n", witness.Verifier())
		got := ask[proven](t, "entry", q, nil)
		if !got.Verified || len(got.Head.Signatures) != 2 || got.Head.Signatures[1].By != "witness" || got.Head.Signatures[1].Time != seconds {
			t.Errorf("%+v", got)
		}
		line.Blob[20] ^= 1
		q["note"] = string(w.Note(3)) + string(checkpoint.MarshalSignatures([]checkpoint.Signature{line}))
		ask[proven](t, "entry", q, nil).fails(t, "witnesses", "the line of a witness")
	}
	q["note"] = string(w.Note(3))
	q["policy"] = "quorum none\n"
	if got := ask[proven](t, "entry", q, nil); !got.Verified {
		t.Errorf("%+v", got)
	}
	q["policy"] = "nonsense"
	if got := ask[proven](t, "entry", q, nil); !strings.Contains(got.Error, "policy") {
		t.Errorf("%+v", got)
	}
}

func postQuantum(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestVerify: a proof file is verified as logcli verify does it, and without its
// artifact as far as it goes.
func TestVerify(t *testing.T) {
	w := newWorld(t, 20)
	found := ask[proven](t, "entry", w.question(t, 4), nil)
	keys := []string{w.Key.String()}
	alone := ask[proven](t, "proof", object{"keys": keys, "proof": []byte(found.Proof)}, nil)
	if !alone.Verified || alone.Index != 4 {
		t.Errorf("%+v", alone)
	}
	q := object{"keys": keys, "proof": []byte(found.Proof), "anySigner": true}
	if got := ask[proven](t, "verify", q, strings.NewReader("artifact 4")); !got.Verified {
		t.Errorf("%+v", got)
	}
	ask[proven](t, "verify", q, strings.NewReader("artifact 5")).fails(t, "artifact", "not the artifact")
	q["signer"] = object{"fingerprint": "SHA256:" + strings.Repeat("00", 32)}
	q["anySigner"] = false
	ask[proven](t, "verify", q, strings.NewReader("artifact 4")).fails(t, "signer", "not signed by anybody you trust")
	sums := ask[struct{ SHA256, SHA384, SHA512 string }](t, "digest", object{}, strings.NewReader("abc"))
	if sums.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte("abc"))) || len(sums.SHA384) != 96 || len(sums.SHA512) != 128 {
		t.Errorf("%+v", sums)
	}
}

// TestUnknownQuestions: a question that makes no sense is answered with an error.
func TestUnknownQuestions(t *testing.T) {
	for name, q := range map[string]any{
		"nothing": object{}, "open": "text", "digest": object{}, "proof": object{"proof": []byte("x")}, "verify": object{"proof": []byte("x")},
		"plan-entry": object{"index": 3, "size": 3}, "plan-extends": object{"from": 4, "to": 3},
	} {
		if got := ask[proven](t, name, q, nil); got.Error == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestOtherKinds: what is no entry of ours is proven too, and its kind is not known.
func TestOtherKinds(t *testing.T) {
	w := newWorld(t, 1)
	w.Add([]byte(`{"apiVersion":"0.0.1","kind":"helm","spec":{}}`))
	w.Add([]byte("\x1b[31mraw\x00"))
	for index, kind := range map[int64]string{1: "unknown", 2: "raw"} {
		got := ask[proven](t, "entry", w.question(t, index), nil)
		leaf := merkle.LeafHash(got.Entry.Canonical)
		if !got.Verified || got.Entry.Kind != kind || got.Entry.LeafHash != hex.EncodeToString(leaf[:]) {
			t.Errorf("%d: %+v", index, got)
		}
	}
}

// FuzzAnswer: no question makes the prover panic.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"open", "plan-entry", "entry", "plan-extends", "extends", "describe", "digest", "proof", "verify"} {
		f.Add(name, []byte(`{"keys":["log.example+00000000+AQ=="],"note":"a\n1\n","index":1,"size":7,"from":1,"to":9,"proof":"YQ==","canonical":"YQ==","tiles":{"tile/0/000":"YQ=="}}`))
	}
	f.Fuzz(func(t *testing.T, name string, question []byte) {
		if !json.Valid(prover.Answer(name, question, strings.NewReader("x"))) {
			t.Error("the answer is not JSON")
		}
	})
}
