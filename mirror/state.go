package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/mirror/source"
)

// maxState bounds a state file, in bytes: eight levels of hashes, a note, and what
// the log is called.
const maxState = 1 << 20

// state is what a copy remembers beside its files.
type state struct {
	Origin string        `json:"origin"`
	Format source.Format `json:"format"`
	URLs   []string      `json:"urls,omitempty"`
	Keys   []string      `json:"keys,omitempty"` // vkeys
	// Pending is the note of the newest head that was accepted.
	Pending []byte `json:"pending,omitempty"`
	// Size is the verified frontier: everything below it is durable. Edge has the
	// partial tile of each level there, and so the compact range.
	Size int64    `json:"size"`
	Edge [][]byte `json:"edge,omitempty"`
	// Partials are the sizes whose partial tiles and bundle are there.
	Partials []int64 `json:"partials,omitempty"`
	// Notes are the SHA-256 of the checkpoints that may be served: the committed one,
	// and that which a commit was to replace it by.
	Notes []string `json:"notes,omitempty"`
}

func noteSum(note []byte) string { return fmt.Sprintf("%x", sha256.Sum256(note)) }

// errDamaged: a state file is not as it was written.
var errDamaged = errors.New("its checksum is wrong")

// marshal writes a state, and its SHA-256 on a line of its own.
func (s *state) marshal() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has only strings, numbers and bytes
	}
	return fmt.Appendf(data, "\n%x\n", sha256.Sum256(data))
}

func parseState(data []byte) (s state, err error) {
	text, sum, ok := bytes.Cut(data, []byte("\n"))
	want := sha256.Sum256(text)
	if !ok || string(sum) != hex.EncodeToString(want[:])+"\n" {
		return s, errDamaged
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, err
	}
	return s, nil
}

func encodeEdge(e merkle.Edge) [][]byte {
	levels := make([][]byte, e.Levels())
	for l := range levels {
		levels[l] = merkle.EncodeTile(e.Partial(l))
	}
	return levels
}

func (s *state) edge() (merkle.Edge, error) {
	return merkle.NewEdge(s.Size, func(level int) ([]merkle.Hash, error) {
		if level >= len(s.Edge) || len(s.Edge[level]) == 0 {
			return nil, nil
		}
		return merkle.DecodeTile(s.Edge[level])
	})
}

// parseHead reads a head that this copy accepted. Its signatures were verified then.
func parseHead(note []byte) (source.Head, error) {
	n, err := checkpoint.ParseNote(note)
	if err != nil {
		return source.Head{}, err
	}
	c, _, err := checkpoint.ParseExtended(n.Text)
	return source.Head{Size: c.Size, Root: c.Root, Note: note}, err
}
