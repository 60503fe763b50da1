package checkpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// ctLog signs as a Certificate Transparency log does.
type ctLog struct {
	key *ecdsa.PrivateKey
	v   Verifier
}

func newCTLog(t *testing.T) ctLog {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewLogVerifier("ct.example/2026h2", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return ctLog{key, v}
}

func (l ctLog) blob(t *testing.T, c Checkpoint, milliseconds uint64) []byte {
	t.Helper()
	digest := sha256.Sum256(treeHead(milliseconds, c))
	sig, err := ecdsa.SignASN1(rand.Reader, l.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	blob := binary.BigEndian.AppendUint64(nil, milliseconds)
	blob = append(blob, tlsSHA256, tlsECDSA)
	return append(binary.BigEndian.AppendUint16(blob, uint16(len(sig))), sig...)
}

func (l ctLog) sign(t *testing.T, c Checkpoint, milliseconds uint64) Note {
	return Note{Text: c.Text(), Signatures: []Signature{{l.v.name, l.v.id, l.blob(t, c, milliseconds)}}}
}

// A CT log's key and signatures are those that transparency-dev reads and makes.
func TestTreeHead(t *testing.T) {
	l := newCTLog(t)
	c := sample(5)
	c.Origin = l.v.Name()
	signed := l.sign(t, c, 1_700_000_000_123).Marshal()

	vkey, err := formats.RFC6962VerifierString("https://"+c.Origin, &l.key.PublicKey)
	if err != nil || vkey != l.v.String() {
		t.Fatalf("%v\n%s\n%s", err, vkey, l.v)
	}
	theirs, err := formats.NewRFC6962Verifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(theirs)); err != nil {
		t.Error(err)
	}
	ours, err := ParseVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Open(signed, []Verifier{ours})
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := o.Timestamp(ours); !ok || at != 1_700_000_000 || ours.IsCosigner() {
		t.Errorf("%d, %v", at, ok)
	}
}

// What a CT log did not sign does not verify, and no blob is too short.
func TestTreeHeadRefused(t *testing.T) {
	l := newCTLog(t)
	c := sample(5)
	c.Origin = l.v.Name()
	blob := l.blob(t, c, 1)
	if !l.v.Verify(c.Text(), blob) {
		t.Fatal("it does not verify")
	}
	for i := range blob {
		wrong := append([]byte(nil), blob...)
		wrong[i] ^= 1
		if l.v.Verify(c.Text(), wrong) || l.v.Verify(c.Text(), blob[:i]) {
			t.Errorf("byte %d can be another, or missing", i)
		}
	}
	other := c
	other.Size++
	elsewhere := c
	elsewhere.Origin = "ct.example/2027h1"
	for what, text := range map[string][]byte{
		"another size": other.Text(), "another origin": elsewhere.Text(), "an extension line": append(c.Text(), "more\n"...),
	} {
		if l.v.Verify(text, blob) {
			t.Errorf("%s verifies", what)
		}
	}
	if l.v.Verify(c.Text(), append(blob, 0)) {
		t.Error("a longer one verifies")
	}
}
