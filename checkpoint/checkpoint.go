package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"indelible/merkle"
)

// Checkpoint says that the log Origin has Size entries under Root.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   merkle.Hash
}

// Text returns the three lines that are signed.
func (c Checkpoint) Text() []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// ParseText parses the text of a checkpoint: exactly three lines, each in its
// only spelling. It takes any origin that a note can hold, since other logs'
// names follow other rules than [ValidateOrigin].
func ParseText(text []byte) (Checkpoint, error) {
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, malformed("checkpoint: %d lines; it must be exactly origin, size and root, each ending in a newline",
			bytes.Count(text, []byte("\n")))
	}
	// SPEC: tlog-checkpoint: non-empty origin.
	origin := lines[0]
	if origin == "" || badCharacter(text) >= 0 {
		return Checkpoint{}, malformed("checkpoint: origin %q is empty, not UTF-8 or holds a control character", origin)
	}
	// SPEC: tlog-checkpoint: ASCII decimal, no leading zero.
	size, ok := parseDecimal(lines[1])
	if !ok {
		return Checkpoint{}, malformed("checkpoint: size %q is not a decimal of at most 2^63-1 without leading zeros", lines[1])
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, malformed("checkpoint: root %q is not the base64 of 32 bytes", lines[2])
	}
	// SPEC: tlog-checkpoint: the root of the empty tree is SHA-256("").
	if size == 0 && root != sha256.Sum256(nil) {
		return Checkpoint{}, malformed("checkpoint: size 0 with the root %s, which is not the empty tree's", lines[2])
	}
	return Checkpoint{Origin: origin, Size: size, Root: root}, nil
}

// ParseExtended parses the text of a checkpoint that may go on after its three
// lines, as those of some other logs do. What follows is extension: whole lines,
// or nothing.
//
// SPEC: tlog-checkpoint: extension lines are opaque, and not empty.
func ParseExtended(text []byte) (c Checkpoint, extension []byte, err error) {
	end := 0
	for range 3 {
		end += bytes.IndexByte(text[end:], '\n') + 1
	}
	extension = text[end:]
	if len(extension) == 0 {
		c, err = ParseText(text)
		return c, nil, err
	}
	if extension[0] == '\n' || !bytes.HasSuffix(extension, []byte("\n")) || bytes.Contains(extension, []byte("\n\n")) || badCharacter(extension) >= 0 {
		return c, nil, malformed("checkpoint: the extension lines %.60q: each must hold something, end in a newline, and be UTF-8 without control characters", extension)
	}
	c, err = ParseText(text[:end])
	return c, extension, err
}

// ValidateOrigin says whether a new log may be called origin: 1 to 255 bytes of
// printable UTF-8 without a space of any script or a plus.
func ValidateOrigin(origin string) error {
	switch {
	case origin == "":
		return malformed("origin: it is empty; use a name such as log.example.com/2026")
	// SPEC: tlog-cosignature: the length of log_origin is one byte.
	case len(origin) > 255:
		return malformed("origin: %d bytes; at most 255 can be cosigned", len(origin))
	case !utf8.ValidString(origin):
		return malformed("origin %q: it is not valid UTF-8", origin)
	}
	for _, r := range origin {
		switch {
		// SPEC: tlog-checkpoint: no Unicode spaces, no plus. This also keeps out
		// the form "name - 123", which Rekor reads as a name and a tree id.
		case unicode.IsSpace(r):
			return malformed("origin %q: it holds a space (%U); use - or / instead", origin, r)
		case r == '+':
			return malformed("origin %q: it holds a +, which ends the name in a verifier key", origin)
		case !unicode.IsPrint(r):
			return malformed("origin %q: it holds a character that cannot be printed (%U)", origin, r)
		}
	}
	return nil
}

func parseHash(line string) (merkle.Hash, error) {
	b, ok := decodeBase64(line)
	if !ok || len(b) != sha256.Size {
		return merkle.Hash{}, malformed("hash %q: it is not the base64 of 32 bytes", line)
	}
	return merkle.Hash(b), nil
}
