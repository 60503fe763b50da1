package checkpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxNoteSize bounds a whole signed note, in bytes. Sixteen ML-DSA-44
	// signatures, which every reader must accept, take 52 kB.
	MaxNoteSize = 128 << 10

	// maxSignatures bounds the lines of one note, known or not. It is what
	// golang.org/x/mod/sumdb/note accepts.
	maxSignatures = 100

	keyIDSize       = 4
	signaturePrefix = "— "
)

// Note is a parsed signed note. Nothing in it is verified.
type Note struct {
	Text       []byte // ends in a newline
	Signatures []Signature
}

// Signature is one signature line of a note.
type Signature struct {
	Name  string
	KeyID uint32
	Blob  []byte // what follows the key id; for a cosignature it starts with the timestamp
}

// ParseNote parses a signed note. [Note.Marshal] of the result gives data again,
// byte for byte.
func ParseNote(data []byte) (Note, error) {
	if len(data) > MaxNoteSize {
		return Note{}, malformed("note: %d bytes; at most %d are accepted", len(data), MaxNoteSize)
	}
	if at := badCharacter(data); at >= 0 {
		return Note{}, malformed("note: byte %d is a control character or not valid UTF-8", at)
	}
	// SPEC: signed-note: the text is separated from the signatures by the last
	// empty line; the text may hold empty lines itself.
	split := bytes.LastIndex(data, []byte("\n\n"))
	if split < 0 {
		return Note{}, malformed("note: no empty line between text and signatures")
	}
	signatures, err := parseSignatures(string(data[split+2:]))
	if err != nil {
		return Note{}, err
	}
	return Note{Text: bytes.Clone(data[:split+1]), Signatures: signatures}, nil
}

// Marshal prints the note, all its signature lines included.
func (n Note) Marshal() []byte {
	var b bytes.Buffer
	b.Write(n.Text)
	b.WriteByte('\n')
	for _, s := range n.Signatures {
		blob := binary.BigEndian.AppendUint32(make([]byte, 0, keyIDSize+len(s.Blob)), s.KeyID)
		blob = append(blob, s.Blob...)
		b.WriteString(signaturePrefix + s.Name + " " + base64.StdEncoding.EncodeToString(blob) + "\n")
	}
	return b.Bytes()
}

func parseSignatures(block string) ([]Signature, error) {
	if block == "" {
		return nil, malformed("note: no signature line")
	}
	if !strings.HasSuffix(block, "\n") {
		return nil, malformed("note: the last signature line does not end in a newline")
	}
	// SPEC: signed-note: limit the number of signatures, but accept at least 16.
	if n := strings.Count(block, "\n"); n > maxSignatures {
		return nil, malformed("note: %d signature lines; at most %d are accepted", n, maxSignatures)
	}
	var signatures []Signature
	seen := make(map[keyName]bool)
	for line := range strings.Lines(block) {
		s, ok := parseSignature(strings.TrimSuffix(line, "\n"))
		if !ok {
			return nil, malformed("note: signature line %d is not \"— name base64(key id, signature)\"", len(signatures)+1)
		}
		// SPEC: signed-note: no two lines of one name and key id, known or not.
		if by := (keyName{s.Name, s.KeyID}); seen[by] {
			return nil, malformed("note: two signature lines by %s", by)
		} else {
			seen[by] = true
		}
		signatures = append(signatures, s)
	}
	return signatures, nil
}

func parseSignature(line string) (Signature, bool) {
	rest, ok := strings.CutPrefix(line, signaturePrefix)
	if !ok {
		return Signature{}, false
	}
	name, encoded, _ := strings.Cut(rest, " ")
	blob, ok := decodeBase64(encoded)
	if !ok || !validName(name) || len(blob) <= keyIDSize {
		return Signature{}, false
	}
	return Signature{Name: name, KeyID: binary.BigEndian.Uint32(blob), Blob: blob[keyIDSize:]}, true
}

// validName reports whether a key may be called name.
//
// SPEC: signed-note: non-empty, no Unicode space, no plus.
func validName(name string) bool {
	return name != "" && badCharacter([]byte(name)) < 0 &&
		!strings.Contains(name, "+") && strings.IndexFunc(name, unicode.IsSpace) < 0
}

// badCharacter returns the offset of the first byte that no note may hold, or -1.
//
// SPEC: signed-note: valid UTF-8, no ASCII control character but newline.
func badCharacter(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r < 0x20 && r != '\n' || r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// decodeBase64 decodes standard base64 of which there is one spelling only: the
// library skips newlines and ignores the unused bits of the last character.
func decodeBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return b, err == nil && base64.StdEncoding.EncodeToString(b) == s
}

// parseDecimal parses a non-negative number written without sign and leading zero.
func parseDecimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}
