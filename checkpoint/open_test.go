package checkpoint

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// lines returns the signature lines of a note.
func lines(note []byte) string {
	return string(note[bytes.LastIndex(note, []byte("\n\n"))+2:])
}

func TestOpen(t *testing.T) {
	log, old := logSigner(t, testOrigin, 1), ecdsaSigner(t, testOrigin, elliptic.P256())
	w1, w2 := newWitness(t, "w1.example", CosignatureV1Ed25519, 2), newWitness(t, "w2.example", CosignatureV1MLDSA44, 3)
	c := sample(7)
	signed := mustSign(t, c, log, old, w1, w2)
	for name, test := range map[string]struct {
		note      string
		log       []Verifier
		cosigners []Verifier
		verified  int
	}{
		"log only":             {string(signed), []Verifier{log.Verifier()}, nil, 1},
		"the other log key":    {string(signed), []Verifier{old.Verifier()}, nil, 1},
		"all":                  {string(signed), []Verifier{log.Verifier(), old.Verifier()}, []Verifier{w1.v, w2.v}, 4},
		"cosigner absent":      {string(mustSign(t, c, log)), []Verifier{log.Verifier()}, []Verifier{w1.v, w2.v}, 1},
		"cosigner given twice": {string(signed), []Verifier{log.Verifier()}, []Verifier{w1.v, w1.v}, 2},
		"one of two log keys":  {string(mustSign(t, c, old)), []Verifier{log.Verifier(), old.Verifier()}, nil, 1},
	} {
		o, err := Open([]byte(test.note), test.log, test.cosigners...)
		if err != nil || o.Checkpoint != c || len(o.Verified) != test.verified {
			t.Errorf("%s: %v, %+v, %d verified", name, err, o.Checkpoint, len(o.Verified))
		}
	}
}

// What we open, golang.org/x/mod and formats open too, and they see the same.
func TestOpenDifferential(t *testing.T) {
	for _, log := range []*KeySigner{logSigner(t, testOrigin, 1), ecdsaSigner(t, testOrigin, elliptic.P384())} {
		w := newWitness(t, "w.example", CosignatureV1Ed25519, 2)
		for size := range int64(5) {
			signed := mustSign(t, sample(size), log, w)
			c, _, n, err := formats.ParseCheckpoint(signed, testOrigin, log.Verifier(), w.v)
			if err != nil || len(n.Sigs) != 2 || int64(c.Size) != size {
				t.Errorf("formats: %v, %+v", err, c)
			}
			if n, err := note.Open(signed, note.VerifierList(log.Verifier(), w.v)); err != nil || len(n.Sigs) != 2 {
				t.Errorf("x/mod: %v", err)
			}
			if o, err := Open(signed, []Verifier{log.Verifier()}, w.v); err != nil || len(o.Verified) != 2 {
				t.Errorf("Open: %v", err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	log, w := logSigner(t, testOrigin, 1), newWitness(t, "w.example", CosignatureV1Ed25519, 2)
	c := sample(7)
	good := mustSign(t, c, log)
	other := mustSign(t, sample(8), log, w)
	forged := strings.TrimPrefix(lines(other), lines(mustSign(t, sample(8), log))) // w's line of another checkpoint
	extended := "\n" + testOrigin + "\n7\n" + someRoot + "\nTimestamp: 1\n"
	signed, err := note.Sign(&note.Note{Text: extended[1:]}, log)
	if err != nil {
		t.Fatal(err)
	}
	foreign := Checkpoint{Origin: "other.example", Size: 7, Root: c.Root}
	misnamed, err := note.Sign(&note.Note{Text: string(foreign.Text())}, log)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		note string
		log  []Verifier
		is   error
		says string
	}{
		"malformed":               {"x", []Verifier{log.Verifier()}, ErrMalformed, "empty line"},
		"extension line":          {string(signed), []Verifier{log.Verifier()}, ErrMalformed, "exactly origin, size and root"},
		"no log key":              {string(good), nil, ErrUnverified, "no log key"},
		"another key of the name": {string(good), []Verifier{logSigner(t, testOrigin, 9).Verifier()}, ErrUnverified, "not signed by the log's key"},
		"another log":             {string(mustSign(t, foreign, logSigner(t, "other.example", 1))), []Verifier{log.Verifier()}, ErrUnverified, `"other.example"; the trusted log is ` + testOrigin},
		"log key of other origin": {string(misnamed), []Verifier{log.Verifier()}, ErrUnverified, "other.example"},
		"signature of other text": {string(c.Text()) + "\n" + lines(mustSign(t, sample(8), log)), []Verifier{log.Verifier()}, ErrUnverified, "is wrong"},
		"forged cosignature":      {string(good) + forged, []Verifier{log.Verifier()}, ErrUnverified, "w.example+"},
		"log line twice":          {string(good) + lines(good), []Verifier{log.Verifier()}, ErrMalformed, "two signature lines"},
		"witness alone":           {string(c.Text()) + "\n" + strings.TrimPrefix(lines(mustSign(t, c, log, w)), lines(good)), []Verifier{log.Verifier()}, ErrUnverified, "not signed by the log's key"},
	} {
		o, err := Open([]byte(test.note), test.log, w.v)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || o.Note != nil {
			t.Errorf("%s: error %v, want %v that says %q", name, err, test.is, test.says)
		}
	}
	// The same cosignature is nobody's business when nobody asks for it.
	o, err := Open([]byte(string(good)+forged), []Verifier{log.Verifier()})
	if err != nil || string(o.Note) != string(good) {
		t.Errorf("unknown line: %v, note %s", err, o.Note)
	}
}

// SPEC: signed-note: a pair is unknown even if its name or its id is known.
func TestOpenIgnoresHalfKnown(t *testing.T) {
	log := logSigner(t, testOrigin, 1)
	good := mustSign(t, sample(7), log)
	n, err := ParseNote(good)
	if err != nil {
		t.Fatal(err)
	}
	genuine := n.Signatures[0]
	n.Signatures = append(n.Signatures,
		Signature{Name: genuine.Name, KeyID: genuine.KeyID + 1, Blob: []byte("nonsense")},
		Signature{Name: "other.example", KeyID: genuine.KeyID, Blob: []byte("nonsense")})
	o, err := Open(n.Marshal(), []Verifier{log.Verifier()})
	if err != nil || !bytes.Equal(o.Note, good) {
		t.Errorf("%v\n%s", err, o.Note)
	}
}

func TestOpenAmbiguousKeys(t *testing.T) {
	log := logSigner(t, testOrigin, 1)
	twin := logSigner(t, testOrigin, 2).Verifier()
	twin.id = log.KeyHash() // takes 2^32 trials to find
	if _, err := Open(mustSign(t, sample(7), log), []Verifier{log.Verifier(), twin}); err == nil || !strings.Contains(err.Error(), "two different trusted keys") {
		t.Errorf("ambiguous keys: %v", err)
	}
}

// One log's key says nothing about another log.
func TestOpenOfSeveralLogs(t *testing.T) {
	a, b := logSigner(t, "a.example", 1), logSigner(t, "b.example", 2)
	trusted := []Verifier{a.Verifier(), b.Verifier()}
	c := Checkpoint{Origin: "b.example", Size: 1, Root: sample(1).Root}
	if _, err := Open(mustSign(t, c, b), trusted); err != nil {
		t.Error(err)
	}
	signed, err := note.Sign(&note.Note{Text: string(c.Text())}, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(signed, trusted); !errors.Is(err, ErrUnverified) {
		t.Errorf("b's checkpoint by a's key: %v", err)
	}
}

func TestTimestamp(t *testing.T) {
	log, w := logSigner(t, testOrigin, 1), newWitness(t, "w", CosignatureV1MLDSA44, 2)
	absent := newWitness(t, "absent", CosignatureV1Ed25519, 3)
	o, err := Open(mustSign(t, sample(7), log, w), []Verifier{log.Verifier()}, w.v, absent.v)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := o.Timestamp(w.v); at != w.seconds || !ok {
		t.Errorf("got %d, %v", at, ok)
	}
	for _, v := range []Verifier{log.Verifier(), absent.v, {}} {
		if at, ok := o.Timestamp(v); at != 0 || ok {
			t.Errorf("%q: got %d, %v", v.Name(), at, ok)
		}
	}
}
