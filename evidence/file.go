package evidence

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"indelible/checkpoint"
	"indelible/merkle"
)

const (
	header = "log-evidence/v1 "

	// MaxSize bounds a file, in bytes: two notes as large as a witness cosigns,
	// with all their extension lines, and two ML-DSA-44 keys, 63 hashes and the
	// statement, which leave room to spare.
	MaxSize = 2*checkpoint.MaxNoteSize + 16<<10

	// maxProofHashes is the height of a tree of 2^63-1 leaves.
	maxProofHashes = 63
)

// blocks of a file are separated by empty lines: header, statement, keys and
// hashes, and the text and the signature line of each checkpoint.
const blocks = 7

// marshal prints the file.
func (e Evidence) marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s\n\n%s\n", header, e.Kind, e.Statement())
	for _, k := range e.Keys {
		fmt.Fprintf(&b, "key %s\n", k)
	}
	if e.Kind == Fork {
		fmt.Fprintf(&b, "root %s\n", encode(e.Root))
		for _, h := range e.Proof {
			fmt.Fprintln(&b, encode(h))
		}
	}
	fmt.Fprintf(&b, "\n%s\n%s", e.First.Note, e.Second.Note)
	return b.Bytes()
}

// parse reads a file and checks all of it, except for whose keys these are.
func parse(file []byte) (e Evidence, err error) {
	if len(file) > MaxSize {
		return e, malformed("%d bytes; at most %d are accepted", len(file), MaxSize)
	}
	b := strings.SplitN(string(file), "\n\n", blocks+1)
	if len(b) != blocks {
		return e, malformed("%d blocks between empty lines, or more; it has %d", len(b), blocks)
	}
	kind, ok := strings.CutPrefix(b[0], header)
	if !ok {
		return e, malformed("the first line is not %q and a kind", header)
	}
	e.Kind = Kind(kind)
	if err := e.parseData(strings.Split(b[2], "\n")); err != nil {
		return e, err
	}
	if err := e.open([]byte(b[3]+"\n\n"+b[4]+"\n"), []byte(b[5]+"\n\n"+b[6])); err != nil {
		return e, err
	}
	if err := e.check(); err != nil {
		return e, err
	}
	// What is not printed so, was not meant so: the statement above all.
	if !bytes.Equal(e.marshal(), file) {
		return e, malformed("it is not spelled as it must be, or its words are not those for what it proves")
	}
	return e, nil
}

// parseData reads the keys and hashes.
func (e *Evidence) parseData(lines []string) error {
	for len(lines) > 0 && strings.HasPrefix(lines[0], "key ") {
		k, err := checkpoint.ParseVerifier(strings.TrimPrefix(lines[0], "key "))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		e.Keys, lines = append(e.Keys, k), lines[1:]
	}
	if len(e.Keys) < 1 || len(e.Keys) > 2 {
		return malformed("%d key lines; it has one, or one for each checkpoint", len(e.Keys))
	}
	if len(e.Keys) == 2 && e.Keys[0].Equal(e.Keys[1]) {
		return malformed("one key, twice")
	}
	if len(lines) == 0 {
		return nil
	}
	root, ok := strings.CutPrefix(lines[0], "root ")
	if !ok || len(lines)-1 > maxProofHashes {
		return malformed("after the keys come root and a hash, and up to %d hashes", maxProofHashes)
	}
	var err error
	if e.Root, err = decode(root); err != nil {
		return err
	}
	for _, line := range lines[1:] {
		h, err := decode(line)
		if err != nil {
			return err
		}
		e.Proof = append(e.Proof, h)
	}
	return nil
}

// open opens the two checkpoints with the keys that must have signed them.
func (e *Evidence) open(first, second []byte) (err error) {
	if e.First, err = open(first, e.Keys[0]); err != nil {
		return fmt.Errorf("%w: the first checkpoint: %w", ErrNotProven, err)
	}
	if e.Second, err = open(second, e.Keys[len(e.Keys)-1]); err != nil {
		return fmt.Errorf("%w: the second checkpoint: %w", ErrNotProven, err)
	}
	return nil
}

func encode(h merkle.Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }

func decode(s string) (merkle.Hash, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != merkle.HashSize {
		return merkle.Hash{}, malformed("the line %.60q is not the base64 of a hash", s)
	}
	return merkle.Hash(b), nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
