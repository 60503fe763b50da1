package checkpoint

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"indelible/merkle"
)

const (
	// maxProofSize bounds a proof file, in bytes: an entry of 64 KiB in extra,
	// 63 hashes and a note of the greatest size leave room to spare.
	maxProofSize = 1 << 20

	// maxProofHashes is the height of a tree of 2^63-1 leaves.
	maxProofHashes = 63

	proofHeader = "c2sp.org/tlog-proof@v1"
)

// Proof is a proof file. Nothing in it is verified, and Extra never can be.
type Proof struct {
	Extra      []byte
	HasExtra   bool // an extra line is there, even if Extra is empty
	Index      int64
	Hashes     []merkle.Hash // from the leaf's sibling to the root's child
	Checkpoint []byte        // a whole signed note, of the form that Open opens
}

// ParseProof parses a proof file. [Proof.Marshal] of the result gives data again,
// byte for byte.
func ParseProof(data []byte) (Proof, error) {
	if len(data) > maxProofSize {
		return Proof{}, malformed("proof: %d bytes; at most %d are accepted", len(data), maxProofSize)
	}
	// The head holds no empty line, so the first one ends it.
	head, note, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		return Proof{}, malformed("proof: no empty line before the checkpoint")
	}
	if err := checkCheckpoint(note); err != nil {
		return Proof{}, err
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofHeader {
		return Proof{}, malformed("proof: the first line is %q; it must be %q", abbreviate(lines[0]), proofHeader)
	}
	p := Proof{Checkpoint: bytes.Clone(note)}
	rest, err := p.parseExtra(lines[1:])
	if err != nil {
		return Proof{}, err
	}
	if err := p.parsePath(rest); err != nil {
		return Proof{}, err
	}
	return p, nil
}

// Marshal prints the proof file.
func (p Proof) Marshal() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(proofHeader + "\n")
	if p.HasExtra {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(p.Extra) + "\n")
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, h := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	if b.Len() > maxProofSize {
		return nil, malformed("proof: %d bytes, of which extra takes the most; at most %d are possible", b.Len(), maxProofSize)
	}
	return b.Bytes(), nil
}

func (p Proof) check() error {
	if p.Index < 0 {
		return malformed("proof: index %d is negative", p.Index)
	}
	if len(p.Hashes) > maxProofHashes {
		return malformed("proof: %d hashes; no tree needs more than %d", len(p.Hashes), maxProofHashes)
	}
	if len(p.Extra) > 0 && !p.HasExtra {
		return malformed("proof: %d bytes of extra, but HasExtra is not set", len(p.Extra))
	}
	return checkCheckpoint(p.Checkpoint)
}

// checkCheckpoint says whether note has the form that [Open] opens.
func checkCheckpoint(note []byte) error {
	n, err := ParseNote(note)
	if err == nil {
		_, err = ParseText(n.Text)
	}
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	return nil
}

// parseExtra takes the extra line, if there is one, and returns the lines after it.
func (p *Proof) parseExtra(lines []string) ([]string, error) {
	if len(lines) == 0 {
		return nil, malformed("proof: it ends after the first line; an index line must follow")
	}
	encoded, ok := strings.CutPrefix(lines[0], "extra ")
	if !ok {
		return lines, nil
	}
	if p.Extra, p.HasExtra = decodeBase64(encoded); !p.HasExtra {
		return nil, malformed("proof: the extra line is not base64")
	}
	return lines[1:], nil
}

// parsePath takes the index and the hashes.
func (p *Proof) parsePath(lines []string) error {
	if len(lines) == 0 {
		return malformed("proof: it has no index line")
	}
	number, isIndex := strings.CutPrefix(lines[0], "index ")
	index, isDecimal := parseDecimal(number)
	// SPEC: tlog-proof: ASCII decimal, no leading zeros.
	if !isIndex || !isDecimal {
		return malformed("proof: %q; it must be index and a decimal of at most 2^63-1 without leading zeros", abbreviate(lines[0]))
	}
	p.Index = index
	if n := len(lines) - 1; n > maxProofHashes {
		return malformed("proof: %d hashes; no tree needs more than %d", n, maxProofHashes)
	}
	for _, line := range lines[1:] {
		h, err := parseHash(line)
		if err != nil {
			return fmt.Errorf("proof: %w", err)
		}
		p.Hashes = append(p.Hashes, h)
	}
	return nil
}
