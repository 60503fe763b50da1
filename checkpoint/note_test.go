package checkpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// The example of c2sp.org/signed-note.
const (
	specVkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
	specNote = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
	line     = "— a AAAAAAA=\n" // five bytes: an id, and one more
)

func TestSpecNote(t *testing.T) {
	n, err := ParseNote([]byte(specNote))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ParseVerifier(specVkey)
	if err != nil {
		t.Fatal(err)
	}
	if s := n.Signatures[0]; s.Name != v.Name() || s.KeyID != v.KeyHash() || !v.Verify(n.Text, s.Blob) {
		t.Errorf("the spec's example does not verify: %+v", n)
	}
	if v.Verify([]byte("This is an example message\n"), n.Signatures[0].Blob) {
		t.Error("another text verifies")
	}
}

// manyLines are signature lines of different keys.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "— key%d %s\n", i, base64.StdEncoding.EncodeToString([]byte{1, 2, 3, 4, 5}))
	}
	return b.String()
}

func TestParseNote(t *testing.T) {
	for _, good := range []string{
		specNote,
		"\n\n" + line,
		"a\n\nb\n\n" + line,
		"a\n\n\n" + line,
		"\u00a0\x7f\ufffd\n\n" + line,
		"a\n\n" + manyLines(100),
	} {
		checkNote(t, []byte(good))
	}
	for _, twice := range []string{line + line, line + manyLines(50) + line} {
		if _, err := ParseNote([]byte("a\n\n" + twice)); err == nil || !strings.Contains(err.Error(), "two signature lines by ") {
			t.Errorf("%q: %v", twice, err)
		}
	}
}

// checkNote fails unless both we and golang.org/x/mod read data, as the same note.
func checkNote(t *testing.T, data []byte) {
	t.Helper()
	n, err := ParseNote(data)
	if err != nil {
		t.Errorf("%q: %v", data, err)
		return
	}
	if !bytes.Equal(n.Marshal(), data) {
		t.Errorf("%q is printed as %q", data, n.Marshal())
	}
	_, err = note.Open(data, nil)
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		t.Errorf("%q: x/mod says %v", data, err)
		return
	}
	if unverified.Note.Text != string(n.Text) {
		t.Errorf("text is %q, x/mod says %q", n.Text, unverified.Note.Text)
	}
	seen := map[string]bool{}
	var ours []note.Signature
	for _, s := range n.Signatures { // x/mod drops repeated lines
		blob := append(binary.BigEndian.AppendUint32(nil, s.KeyID), s.Blob...)
		o := note.Signature{Name: s.Name, Hash: s.KeyID, Base64: base64.StdEncoding.EncodeToString(blob)}
		if !seen[o.Name+" "+o.Base64] {
			seen[o.Name+" "+o.Base64] = true
			ours = append(ours, o)
		}
	}
	if got, want := fmt.Sprint(ours), fmt.Sprint(unverified.Note.UnverifiedSigs); got != want {
		t.Errorf("signatures are %s, x/mod says %s", got, want)
	}
}

func TestParseNoteRefuses(t *testing.T) {
	for name, bad := range map[string]string{
		"empty":              "",
		"no signatures":      "a\n",
		"no signature line":  "a\n\n",
		"no empty line":      "a\n" + line,
		"no text":            "\n" + line,
		"no last newline":    "a\n\n" + strings.TrimSuffix(line, "\n"),
		"trailing bytes":     "a\n\n" + line + "x",
		"trailing line":      "a\n\n" + line + "x\n",
		"carriage return":    "a\n\n" + strings.Replace(line, "\n", "\r\n", 1),
		"tab":                "a\tb\n\n" + line,
		"NUL":                "a\x00\n\n" + line,
		"not UTF-8":          "a\xff\n\n" + line,
		"surrogate":          "\xed\xa0\x80\n\n" + line,
		"hyphen":             "a\n\n- a AAAAAAA=\n",
		"en dash":            "a\n\n– a AAAAAAA=\n",
		"two spaces":         "a\n\n—  a AAAAAAA=\n",
		"two spaces behind":  "a\n\n— a  AAAAAAA=\n",
		"space at the end":   "a\n\n— a AAAAAAA= \n",
		"no name":            "a\n\n—  AAAAAAA=\n",
		"plus in name":       "a\n\n— a+b AAAAAAA=\n",
		"NBSP in name":       "a\n\n— a\u00a0b AAAAAAA=\n",
		"no base64":          "a\n\n— a\n",
		"id only":            "a\n\n— a AAAAAA==\n",
		"unpadded":           "a\n\n— a AAAAAAA\n",
		"unused bits":        "a\n\n— a AAAAAAB=\n",
		"url alphabet":       "a\n\n— a ____AAA=\n",
		"empty line between": "a\n\n" + line + "\n" + line + "\n",
		"101 signatures":     "a\n\n" + manyLines(101),
		"too large":          strings.Repeat("a", MaxNoteSize) + "\n\n" + line,
	} {
		if _, err := ParseNote([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// SPEC: signed-note: at least 16 signatures, of post-quantum size too.
func TestSixteenMLDSASignatures(t *testing.T) {
	signers := []Signer{logSigner(t, testOrigin, 1)}
	var cosigners []Verifier
	for i := range byte(24) {
		w := newWitness(t, fmt.Sprintf("w%d.example", i), CosignatureV1MLDSA44, 100+i)
		signers, cosigners = append(signers, w), append(cosigners, w.v)
	}
	signed := mustSign(t, sample(9), signers...)
	o, err := Open(signed, []Verifier{logSigner(t, testOrigin, 1).Verifier()}, cosigners...)
	if err != nil || len(o.Verified) != 25 || !bytes.Equal(o.Note, signed) {
		t.Errorf("%d bytes: %v, %d verified", len(signed), err, len(o.Verified))
	}
}

func FuzzParseNote(f *testing.F) {
	f.Add([]byte(specNote))
	f.Add([]byte("a\n\nb\n\n" + line + line + "— b AAAAAAAAAA==\n"))
	f.Add([]byte("a\n\n\n— a AAAAAAB=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseNote(data); err == nil {
			checkNote(t, data)
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("error %v", err)
		}
	})
}
