package rekorv1

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	translog "indelible/log"
	"indelible/merkle"
)

// leafKey finds the index of an entry that was answered before.
type leafKey = merkle.Hash

// sealed is an entry as it goes into answers, with its SET: all but its proof,
// which is another one for each tree head. Nothing in it ever changes.
type sealed struct {
	index int64
	front []byte // "<entry id>":{"body":"…","integratedTime":…,"logID":"…","logIndex":…
	back  []byte // ,"signedEntryTimestamp":"…"}}
}

func sealedSize(_ int64, s *sealed) int64 { return int64(cap(s.front) + cap(s.back) + 64) }

// seal returns an entry with its SET, signed now if it is not at hand: once,
// however many ask for it at the same time.
func (h *Handler) seal(ctx context.Context, r translog.Record) (*sealed, error) {
	if s, ok := h.entries.Peek(r.Index); ok {
		return s, nil
	}
	s, err := h.entries.Get(ctx, r.Index, func(ctx context.Context) (*sealed, error) { return h.signEntry(ctx, r) })
	if err != nil {
		return nil, &unsigned{err}
	}
	h.indexes.Add(r.LeafHash, r.Index)
	return s, nil
}

const (
	// readersSigning is how many entries are signed for readers at the same time:
	// half of what a key management service is asked for (kms.Config.InFlight), so
	// that whoever reads the whole log does not keep an add waiting.
	readersSigning = 8
	// readersWait is how long one more waits.
	readersWait = 5 * time.Second
)

// errManyReaders: as many entries are signed for readers as may be.
var errManyReaders = errors.New("too many entries are to be signed for readers")

// sealForReader is seal for who reads: an add's signature comes before it. The
// turn is waited for before others can share the signature, an add among them.
func (h *Handler) sealForReader(ctx context.Context, r translog.Record) (*sealed, error) {
	if s, ok := h.entries.Peek(r.Index); ok {
		return s, nil
	}
	wait, cancel := context.WithTimeoutCause(ctx, readersWait, errManyReaders)
	defer cancel()
	select {
	case h.readers <- struct{}{}:
		defer func() { <-h.readers }()
		return h.seal(ctx, r)
	case <-wait.Done():
		return nil, &unsigned{context.Cause(wait)}
	}
}

// signEntry writes an entry, a part of which is what the SET signs.
func (h *Handler) signEntry(ctx context.Context, r translog.Record) (*sealed, error) {
	b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(r.Canonical))+256)
	b = h.ids.appendEntryID(append(b, '"'), r.LeafHash)
	b = append(b, `":`...)
	payload := len(b)
	b = h.ids.appendPayload(b, r)
	set, err := h.sign(ctx, b[payload:])
	if err != nil {
		return nil, err
	}
	back := make([]byte, 0, 132)
	back = append(back, `,"signedEntryTimestamp":"`...)
	back = base64.StdEncoding.AppendEncode(back, set)
	back = append(back, `"}}`...)
	return &sealed{index: r.Index, front: b[:len(b)-1], back: back}, nil
}

// appendPayload writes what a SET signs. It is in the form of RFC 8785: the
// members are in that order, and none has anything that it would write
// otherwise (numbers are below 2^53).
func (d identity) appendPayload(to []byte, r translog.Record) []byte {
	to = append(to, `{"body":"`...)
	to = base64.StdEncoding.AppendEncode(to, r.Canonical)
	to = append(to, `","integratedTime":`...)
	to = strconv.AppendInt(to, r.IntegratedAt.Unix(), 10)
	to = append(to, `,"logID":"`...)
	to = append(to, d.logID...)
	to = append(to, `","logIndex":`...)
	to = strconv.AppendInt(to, r.Index, 10)
	return append(to, '}')
}

// answerSpace is about what a proof takes in an answer, except for its hashes.
const answerSpace = 256

// appendEntry writes an entry and its proof, which is for a published tree
// head, as a LogEntry map of one.
func (h *Handler) appendEntry(ctx context.Context, to []byte, s *sealed, p translog.Proof) ([]byte, error) {
	head, err := h.head(ctx, p.Size, p.Root)
	if err != nil {
		return nil, err
	}
	if to == nil {
		to = make([]byte, 0, len(s.front)+len(s.back)+len(head.note)+(uuidLen+3)*len(p.Hashes)+answerSpace)
	}
	to = append(to, '{')
	to = append(to, s.front...)
	to = append(to, `,"verification":{"inclusionProof":{"checkpoint":`...)
	to = append(to, head.note...)
	to = append(to, `,"hashes":`...)
	to = appendHashes(to, p.Hashes)
	to = append(to, `,"logIndex":`...)
	to = strconv.AppendInt(to, s.index, 10)
	to = append(to, `,"rootHash":"`...)
	to = hex.AppendEncode(to, p.Root[:])
	to = append(to, `","treeSize":`...)
	to = strconv.AppendInt(to, p.Size, 10)
	to = append(to, '}')
	to = append(to, s.back...)
	return append(to, '}'), nil
}

// appendHashes writes a list of hashes; an empty one is [], never null.
func appendHashes(to []byte, hashes []merkle.Hash) []byte {
	to = append(to, '[')
	for i := range hashes {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, '"')
		to = hex.AppendEncode(to, hashes[i][:])
		to = append(to, '"')
	}
	return append(to, ']')
}
