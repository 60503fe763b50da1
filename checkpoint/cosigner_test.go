package checkpoint

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

const cosignedAt = 1700000000

// cosigners are one of each type.
func cosigners(t testing.TB) []*Cosigner {
	t.Helper()
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	var all []*Cosigner
	for _, key := range []crypto.Signer{ed25519.NewKeyFromSeed(seed), mldsaKey(t, seed)} {
		c, err := NewCosigner("witness.example/w1", key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestCosign(t *testing.T) {
	log := logSigner(t, testOrigin, 1)
	for _, size := range []int64{0, 1, 1 << 40} {
		note := mustSign(t, sample(size), log)
		var keys []Verifier
		var made []Signature
		for _, s := range cosigners(t) {
			sig, err := s.Cosign(sample(size), cosignedAt)
			if err != nil {
				t.Fatal(err)
			}
			keys, made = append(keys, s.Verifier()), append(made, sig)
		}
		// As a witness answers, and the log reads it.
		parsed, err := ParseSignatures(MarshalSignatures(made))
		if err != nil {
			t.Fatal(err)
		}
		cosigned, added, err := AddCosignatures(note, keys, parsed...)
		if err != nil || len(added) != 2 {
			t.Fatalf("added %d, %v", len(added), err)
		}
		o, err := Open(cosigned, []Verifier{log.Verifier()}, keys...)
		if err != nil || len(o.Verified) != 3 {
			t.Fatalf("opened with %d keys, %v", len(o.Verified), err)
		}
		for _, v := range keys {
			if at, ok := o.Timestamp(v); !ok || at != cosignedAt {
				t.Errorf("type %d says %d, %v", v.Algorithm(), at, ok)
			}
		}
	}
}

func TestCosignVectors(t *testing.T) {
	vec := readVectors(t)
	n, err := ParseNote([]byte(vec.Note))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseText(n.Text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewCosigner("witness.example/w1", ed25519.NewKeyFromSeed(mustHex(t, vec.SeedWitnessEd25519)))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Cosign(c, vectorTime)
	if err != nil || s.Verifier().String() != vec.VkeyWitness04 {
		t.Fatalf("%v, vkey %s", err, s.Verifier())
	}
	if line := MarshalSignatures([]Signature{sig}); !strings.Contains(vec.Note, string(line)) {
		t.Errorf("made %s", line)
	}
	subtree := Subtree{Start: 8, End: 13, Root: [32]byte(mustHex(t, vec.Subtree))}
	lines, err := ParseSignatures([]byte(vec.SubtreeLine))
	if err != nil {
		t.Fatal(err)
	}
	v := mustVerifier(t, vec.VkeyWitness06)
	if !v.VerifySubtree(c.Origin, subtree, lines[0].Blob) {
		t.Error("the vector's subtree signature does not verify")
	}
	other := subtree
	other.End++
	if v.VerifySubtree(c.Origin, other, lines[0].Blob) || v.VerifySubtree("x"+c.Origin, subtree, lines[0].Blob) {
		t.Error("it verifies for another subtree too")
	}
	if sum := sha256.Sum256(lines[0].Blob[timestampSize:]); hex.EncodeToString(sum[:]) != vec.SHA256SubtreeMLDSA {
		t.Errorf("signature with SHA-256 %x", sum)
	}
}

func TestCosignSubtree(t *testing.T) {
	ed, ml := cosigners(t)[0], cosigners(t)[1]
	subtree := Subtree{Start: 8, End: 13, Root: sample(3).Root}
	if _, err := ed.CosignSubtree(testOrigin, subtree); err == nil {
		t.Error("an Ed25519 key signed a subtree")
	}
	sig, err := ml.CosignSubtree(testOrigin, subtree)
	if err != nil || !ml.Verifier().VerifySubtree(testOrigin, subtree, sig.Blob) {
		t.Fatalf("%v", err)
	}
	// One with a time says more than a subtree's can.
	timed, err := ml.Cosign(sample(13), cosignedAt)
	if err != nil || ml.Verifier().VerifySubtree(testOrigin, Subtree{End: 13, Root: sample(13).Root}, timed.Blob) {
		t.Errorf("a timed cosignature passes for a subtree's: %v", err)
	}
}

func TestCosignerRefuses(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewCosigner("w", rsaKey); err == nil {
		t.Error("an RSA key cosigns")
	}
	key := mldsaKey(t, bytes.Repeat([]byte{1}, 32))
	if _, err := NewCosigner(strings.Repeat("w", 256), key); err == nil {
		t.Error("a name of 256 bytes cosigns")
	}
	for _, s := range cosigners(t) {
		for _, at := range []int64{0, -1} {
			if _, err := s.Cosign(sample(1), at); err == nil {
				t.Errorf("type %d signs at the time %d", s.Verifier().Algorithm(), at)
			}
		}
	}
	long := sample(1)
	long.Origin = strings.Repeat("o", 256)
	if _, err := cosigners(t)[1].Cosign(long, cosignedAt); err == nil {
		t.Error("an origin of 256 bytes was cosigned")
	}
}

func TestAddCosignatures(t *testing.T) {
	log := logSigner(t, testOrigin, 1)
	note := mustSign(t, sample(9), log)
	s := cosigners(t)[0]
	at := func(seconds int64) Signature {
		sig, err := s.Cosign(sample(9), seconds)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	wrong, err := s.Cosign(sample(8), cosignedAt)
	if err != nil {
		t.Fatal(err)
	}
	unknown := at(cosignedAt)
	unknown.Name = "somebody"
	keys := []Verifier{s.Verifier()}
	out, added, err := AddCosignatures(note, keys, wrong, unknown)
	if err != nil || len(added) != 0 || !bytes.Equal(out, note) {
		t.Fatalf("added %d, %v:\n%s", len(added), err, out)
	}
	// The log's own key is no cosigner, and its line is never replaced.
	n, err := ParseNote(note)
	if err != nil {
		t.Fatal(err)
	}
	if out, added, err = AddCosignatures(note, []Verifier{log.Verifier()}, n.Signatures...); err != nil || len(added) != 0 || !bytes.Equal(out, note) {
		t.Fatalf("added %d, %v", len(added), err)
	}
	for _, test := range []struct{ add, want int64 }{{10, 10}, {30, 30}, {20, 30}, {30, 30}, {40, 40}} {
		if note, _, err = AddCosignatures(note, keys, at(test.add)); err != nil {
			t.Fatal(err)
		}
		o, err := Open(note, []Verifier{log.Verifier()}, keys...)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := o.Timestamp(keys[0]); got != test.want || len(o.Verified) != 2 {
			t.Errorf("after %d: time %d, %d keys", test.add, got, len(o.Verified))
		}
	}
}

func TestCosigningSigner(t *testing.T) {
	log := logSigner(t, testOrigin, 1)
	c, err := NewCosigner(testOrigin, mldsaKey(t, bytes.Repeat([]byte{3}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Signer(func() int64 { return cosignedAt })
	note := mustSign(t, sample(5), log, s)
	o, err := Open(note, []Verifier{log.Verifier(), s.Verifier()})
	if err != nil || len(o.Verified) != 2 {
		t.Fatalf("%v, %d keys", err, len(o.Verified))
	}
	if at, _ := o.Timestamp(s.Verifier()); at != cosignedAt {
		t.Errorf("time %d", at)
	}
	if _, err := s.Sign([]byte("no checkpoint\n")); err == nil {
		t.Error("it signs what is no checkpoint")
	}
}

func TestOpenAs(t *testing.T) {
	other := logSigner(t, "key.example", 1)
	text := sample(4).Text()
	sig, err := other.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	note := Note{Text: text, Signatures: []Signature{{Name: other.Name(), KeyID: other.KeyHash(), Blob: sig}}}.Marshal()
	keys := []Verifier{other.Verifier()}
	if _, err := Open(note, keys); err == nil {
		t.Error("Open takes a key of another name")
	}
	if o, err := OpenAs(testOrigin, note, keys); err != nil || o.Checkpoint != sample(4) {
		t.Errorf("%v", err)
	}
	if _, err := OpenAs("another", note, keys); err == nil {
		t.Error("OpenAs takes another origin")
	}
}
