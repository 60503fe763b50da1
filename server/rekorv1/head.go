package rekorv1

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"indelible/checkpoint"
	"indelible/merkle"
)

// headKey is a published tree head.
type headKey struct {
	size int64
	root merkle.Hash
}

// head is a tree head, as it goes into answers.
type head struct {
	note []byte // the signed note, a JSON string
	info []byte // the answer to /api/v1/log
}

// headsBytes bounds what is kept of heads: some hundred of them, since adds and
// reads that began earlier may be for a few heads back.
const headsBytes = 256 << 10

func headSize(_ headKey, h *head) int64 { return int64(len(h.note) + len(h.info) + 48) }

// head returns a published tree head, which is signed once: those who need it
// at the same time wait for one signature.
func (h *Handler) head(ctx context.Context, size int64, root merkle.Hash) (*head, error) {
	key := headKey{size, root}
	if known, ok := h.heads.Peek(key); ok {
		return known, nil
	}
	made, err := h.heads.Get(ctx, key, func(ctx context.Context) (*head, error) { return h.signHead(ctx, key) })
	if err != nil {
		return nil, &unsigned{err}
	}
	return made, nil
}

func (h *Handler) signHead(ctx context.Context, k headKey) (*head, error) {
	text := checkpoint.Checkpoint{Origin: h.ids.origin, Size: k.size, Root: k.root}.Text()
	// The signature's name is the host alone, and so not the note's first line:
	// what Rekor's clients look for is older than the rule.
	sig, err := h.signNote(ctx, text)
	if err != nil {
		return nil, err
	}
	note := checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{sig}}
	quoted, err := quote(string(note.Marshal()))
	if err != nil {
		return nil, err
	}
	return &head{note: quoted, info: h.info(k, quoted)}, nil
}

func (h *Handler) info(k headKey, note []byte) []byte {
	out := append([]byte(`{"inactiveShards":[],"rootHash":"`), hex.EncodeToString(k.root[:])...)
	out = append(append(out, `","signedTreeHead":`...), note...)
	out = append(out, `,"treeID":"`...)
	out = strconv.AppendInt(out, h.cfg.TreeID, 10)
	out = append(out, `","treeSize":`...)
	return append(strconv.AppendInt(out, k.size, 10), '}')
}

// quote makes a JSON string of a text, without the escapes that are for HTML.
func quote(s string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
