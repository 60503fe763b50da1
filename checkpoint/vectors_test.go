package checkpoint

import (
	"bytes"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// vectors are notes with every signature type, made and cross-checked by other
// programs than this one.
type vectors struct {
	Note               string `json:"checkpoint_note"`
	CosignedText       string `json:"ed25519_cosigned_msg"`
	CosignedSubtree    string `json:"mldsa_cosigned_msg_hex"`
	Root               string `json:"root_14"`
	SeedLog            string `json:"seed_log_ed25519"`
	SeedWitnessMLDSA   string `json:"seed_witness_mldsa44"`
	SHA256WitnessMLDSA string `json:"sha256_mldsa_sig_checkpoint_witness"`
	VkeyLog01          string `json:"vkey_log_01"`
	VkeyLog06          string `json:"vkey_log_06"`
	VkeyWitness04      string `json:"vkey_witness_04"`
	VkeyWitness06      string `json:"vkey_witness_06"`
	SubtreeLine        string `json:"subtree_line"`
	Subtree            string `json:"subtree_8_13"`
	SHA256SubtreeMLDSA string `json:"sha256_mldsa_sig_subtree_witness"`
	SeedWitnessEd25519 string `json:"seed_witness_ed25519"`
}

const vectorTime = 1679315147

func readVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("testdata/cosig-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func mustVerifier(t testing.TB, vkey string) Verifier {
	t.Helper()
	v, err := ParseVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mldsaKey(t testing.TB, seed []byte) *mldsa.PrivateKey {
	t.Helper()
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVectorsOpen(t *testing.T) {
	vec := readVectors(t)
	log := []Verifier{mustVerifier(t, vec.VkeyLog01), mustVerifier(t, vec.VkeyLog06)}
	cosigners := []Verifier{mustVerifier(t, vec.VkeyWitness04), mustVerifier(t, vec.VkeyWitness06)}
	o, err := Open([]byte(vec.Note), log, cosigners...)
	if err != nil {
		t.Fatal(err)
	}
	if o.Origin != "example.com/behind-the-sofa" || o.Size != 14 || hex.EncodeToString(o.Root[:]) != vec.Root {
		t.Errorf("opened as %+v", o.Checkpoint)
	}
	if len(o.Verified) != 4 || string(o.Note) != vec.Note {
		t.Errorf("%d verified, note\n%s", len(o.Verified), o.Note)
	}
	for _, v := range append(log, cosigners...) {
		if at, ok := o.Timestamp(v); ok != v.IsCosigner() || ok && at != vectorTime {
			t.Errorf("%s type %d: time %d, %v", v.Name(), v.Algorithm(), at, ok)
		}
	}
}

func TestVectorsMessages(t *testing.T) {
	vec := readVectors(t)
	n, err := ParseNote([]byte(vec.Note))
	if err != nil {
		t.Fatal(err)
	}
	if got := cosignedText(vectorTime, n.Text); string(got) != vec.CosignedText {
		t.Errorf("Ed25519 message %q", got)
	}
	c, err := ParseText(n.Text)
	if err != nil {
		t.Fatal(err)
	}
	message := cosignedSubtree("witness.example/w1", vectorTime, c.Origin, Subtree{End: c.Size, Root: c.Root})
	if hex.EncodeToString(message) != vec.CosignedSubtree {
		t.Errorf("ML-DSA message %x", message)
	}
	sig, err := mldsaKey(t, mustHex(t, vec.SeedWitnessMLDSA)).SignDeterministic(message, nil)
	if sum := sha256.Sum256(sig); err != nil || hex.EncodeToString(sum[:]) != vec.SHA256WitnessMLDSA {
		t.Errorf("ML-DSA signature with SHA-256 %x, %v", sum, err)
	}
}

// Ed25519 is deterministic: signing again gives the vector's line.
func TestVectorsSign(t *testing.T) {
	vec := readVectors(t)
	c := Checkpoint{Origin: "example.com/behind-the-sofa", Size: 14, Root: [32]byte(mustHex(t, vec.Root))}
	s, err := NewSigner(c.Origin, ed25519.NewKeyFromSeed(mustHex(t, vec.SeedLog)))
	if err != nil {
		t.Fatal(err)
	}
	if s.Verifier().String() != vec.VkeyLog01 {
		t.Errorf("vkey %s", s.Verifier())
	}
	if note := mustSign(t, c, s); !bytes.HasPrefix([]byte(vec.Note), note) {
		t.Errorf("signed\n%s", note)
	}
}

// A cosignature of a subtree is none of a checkpoint.
func TestVectorsSubtreeLine(t *testing.T) {
	vec := readVectors(t)
	n, err := ParseNote([]byte("a\n\n" + vec.SubtreeLine))
	if err != nil {
		t.Fatal(err)
	}
	v := mustVerifier(t, vec.VkeyWitness06)
	if n.Signatures[0].KeyID != v.KeyHash() {
		t.Fatalf("key id %08x", n.Signatures[0].KeyID)
	}
	if v.Verify([]byte(vec.Note[:bytes.Index([]byte(vec.Note), []byte("\n\n"))+1]), n.Signatures[0].Blob) {
		t.Error("it verifies as one of the checkpoint")
	}
}

// Whatever byte of a note is damaged, it does not open as anything else: at
// best a cosigner that nobody knows any more is missing.
func TestVectorsDamaged(t *testing.T) {
	vec := readVectors(t)
	log := []Verifier{mustVerifier(t, vec.VkeyLog01)}
	cosigners := []Verifier{mustVerifier(t, vec.VkeyWitness04), mustVerifier(t, vec.VkeyWitness06), mustVerifier(t, vec.VkeyLog06)}
	want, err := Open([]byte(vec.Note), log, cosigners...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range vec.Note {
		damaged := []byte(vec.Note)
		damaged[i] ^= 1 << (i % 8)
		o, err := Open(damaged, log, cosigners...)
		if err != nil {
			continue
		}
		if o.Checkpoint != want.Checkpoint || len(o.Verified) != len(want.Verified)-1 {
			t.Errorf("byte %d: opens with %d signatures as %+v", i, len(o.Verified), o.Checkpoint)
		}
	}
}
