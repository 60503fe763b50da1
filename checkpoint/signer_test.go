package checkpoint

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestSign(t *testing.T) {
	a, b := logSigner(t, testOrigin, 1), logSigner(t, testOrigin, 2)
	for size := range int64(3) {
		signed := mustSign(t, sample(size), a, b)
		o, err := Open(signed, []Verifier{a.Verifier(), b.Verifier()})
		if err != nil || o.Checkpoint != sample(size) || string(o.Note) != string(signed) {
			t.Errorf("size %d: %v, %+v", size, err, o)
		}
		if n, err := ParseNote(signed); err != nil || len(n.Signatures) != 2 {
			t.Errorf("size %d: %v, %d lines", size, err, len(n.Signatures))
		}
	}
}

// fixed is a signer that answers what it is told to.
type fixed struct {
	name string
	sig  []byte
	err  error
}

func (f fixed) Name() string                { return f.name }
func (f fixed) KeyHash() uint32             { return 1 }
func (f fixed) Sign([]byte) ([]byte, error) { return f.sig, f.err }

func TestSignRefuses(t *testing.T) {
	log := logSigner(t, testOrigin, 1)
	failing := errors.New("the device is gone")
	empty := sample(0)
	empty.Root = sample(1).Root
	negative := sample(3)
	negative.Size = -3
	spaced := sample(3)
	spaced.Origin = "a b"
	lined := sample(3)
	lined.Origin = testOrigin + "\n9"
	for name, test := range map[string]struct {
		c       Checkpoint
		signers []Signer
		says    string
	}{
		"no signer":           {sample(3), nil, "none of the 0 signers"},
		"another name":        {sample(3), []Signer{logSigner(t, "other", 1)}, "none of the 1 signers"},
		"twice":               {sample(3), []Signer{log, log}, "given twice"},
		"negative size":       {negative, []Signer{log}, "size \"-3\""},
		"root of empty tree":  {empty, []Signer{log}, "not the empty tree's"},
		"space in origin":     {spaced, []Signer{fixed{name: "a b", sig: []byte("x")}}, "space"},
		"newline in origin":   {lined, []Signer{fixed{name: lined.Origin, sig: []byte("x")}}, "space"},
		"failing signer":      {sample(3), []Signer{fixed{name: testOrigin, err: failing}}, "device is gone"},
		"empty signature":     {sample(3), []Signer{fixed{name: testOrigin}}, "signature line 1"},
		"name of a cosigner":  {sample(3), []Signer{log, fixed{name: "w+", sig: []byte("x")}}, "signature line 2"},
		"signature too large": {sample(3), []Signer{fixed{name: testOrigin, sig: make([]byte, MaxNoteSize)}}, "at most 131072"},
	} {
		if note, err := Sign(test.c, test.signers...); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v does not say %q; note\n%s", name, err, test.says, note)
		}
	}
}

// liar announces one key and signs with another.
type liar struct{ announced, used ed25519.PrivateKey }

func (l liar) Public() crypto.PublicKey { return l.announced.Public() }
func (l liar) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return l.used.Sign(rand, message, opts)
}

func TestSignerChecksItsSignature(t *testing.T) {
	s, err := NewSigner(testOrigin, liar{ed25519.NewKeyFromSeed(seed(1)), ed25519.NewKeyFromSeed(seed(2))})
	if err != nil {
		t.Fatal(err)
	}
	if sig, err := s.Sign([]byte("text\n")); err == nil || sig != nil {
		t.Errorf("a wrong signature was given away: %x", sig)
	}
}
