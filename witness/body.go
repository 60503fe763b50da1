package witness

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"indelible/checkpoint"
	"indelible/merkle"
)

const (
	// maxProof is the most hashes that a proof of any tree has.
	// SPEC: tlog-witness: up to 63.
	maxProof = 63
	// maxBody bounds a request: a note, and 64 lines before it.
	maxBody = checkpoint.MaxNoteSize + 64<<10
)

// ParseRequest parses the body of an add-checkpoint request:
//
//	old 20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	example.com/behind-the-sofa
//	…
func ParseRequest(body []byte) (Request, error) {
	first, hashes, note, err := splitBody(body)
	if err != nil {
		return Request{}, err
	}
	text, ok := strings.CutPrefix(first, "old ")
	old, isSize := parseSize(text)
	if !ok || !isSize {
		return Request{}, fmt.Errorf("%w: the first line is %.60q; it must be \"old\" and a size, without leading zeros", ErrMalformed, first)
	}
	proof, err := parseHashes(hashes)
	if err != nil {
		return Request{}, err
	}
	return Request{Old: old, Proof: proof, Note: note}, nil
}

// ParseSubtreeRequest parses the body of a sign-subtree request:
//
//	subtree 8 13
//	(the subtree's hash)
//	(the hashes of the proof)
//
//	(the checkpoint)
func ParseSubtreeRequest(body []byte) (SubtreeRequest, error) {
	var r SubtreeRequest
	first, hashes, note, err := splitBody(body)
	if err != nil {
		return r, err
	}
	fields := strings.Split(first, " ")
	if len(fields) != 3 || fields[0] != "subtree" {
		return r, fmt.Errorf("%w: the first line is %.60q; it must be \"subtree\", its start and its end", ErrMalformed, first)
	}
	start, ok := parseSize(fields[1])
	end, okEnd := parseSize(fields[2])
	if !ok || !okEnd {
		return r, fmt.Errorf("%w: the subtree [%.30q, %.30q); its bounds are numbers without leading zeros", ErrMalformed, fields[1], fields[2])
	}
	if len(hashes) == 0 {
		return r, fmt.Errorf("%w: the second line must be the subtree's hash", ErrMalformed)
	}
	all, err := parseHashes(hashes[:1])
	if err != nil {
		return r, err
	}
	if r.Proof, err = parseHashes(hashes[1:]); err != nil {
		return r, err
	}
	r.Subtree = checkpoint.Subtree{Start: start, End: end, Root: all[0]}
	r.Note = note
	return r, nil
}

// splitBody cuts a request into its first line, the lines of hashes, and the
// note after the first empty line.
func splitBody(body []byte) (first string, hashes []string, note []byte, err error) {
	head, note, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return "", nil, nil, fmt.Errorf("%w: there is no empty line before the checkpoint", ErrMalformed)
	}
	lines := strings.SplitN(string(head), "\n", maxProof+4)
	return lines[0], lines[1:], note, nil
}

// ParseProof parses the lines of a consistency proof alone; none is an empty
// proof.
func ParseProof(text []byte) ([]merkle.Hash, error) {
	if len(text) == 0 {
		return nil, nil
	}
	return parseHashes(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
}

func parseHashes(lines []string) ([]merkle.Hash, error) {
	if len(lines) > maxProof {
		return nil, fmt.Errorf("%w: a proof of more than %d hashes; no tree has one", ErrMalformed, maxProof)
	}
	var proof []merkle.Hash
	for i, line := range lines {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != len(merkle.Hash{}) || base64.StdEncoding.EncodeToString(h) != line {
			return nil, fmt.Errorf("%w: hash %d of the proof, %.60q, is not the base64 of 32 bytes", ErrMalformed, i, line)
		}
		proof = append(proof, merkle.Hash(h))
	}
	return proof, nil
}

// parseSize parses a number that is written in its only way.
func parseSize(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}
