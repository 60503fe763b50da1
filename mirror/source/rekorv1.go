package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/merkle"
)

// Bounds of Rekor v1.
const (
	maxLogInfo = 4 << 20 // bytes of what it says about all of its shards
	maxProof   = 64 << 10
	// maxRetrieved is how many entries one request returns.
	maxRetrieved = 10
	// maxEntries bounds the answer with that many entries, in bytes. One can have an
	// attestation, which no leaf hash covers.
	maxEntries = 32 << 20
	// maxWhole bounds the entries of a block, in bytes.
	maxWhole = 32 << 20
	// tailBlocks is how many blocks before its head an active shard is read from.
	tailBlocks = 4
)

// Tailed is a [Log] that cannot be read from its beginning in practice.
type Tailed interface {
	Log
	// Tail is the first entry below a head that is read; 0 if all are.
	Tail(Head) int64
}

// NewRekorV1 reads a shard of Rekor v1: the one whose checkpoints have the origin of
// cfg, or else the active one. Keys are those of Rekor, named as its host.
//
// It has no tiles: each entry comes with an inclusion proof, ten entries a request.
// A shard that is frozen can be read whole, and of the active one the tail.
//
// SPEC: github.com/sigstore/rekor, openapi.yaml.
func NewRekorV1(ctx context.Context, cfg Config) (Log, error) {
	if len(cfg.Client.Keys) == 0 {
		return nil, errors.New("a log of Rekor v1 needs its keys")
	}
	origin := cfg.Origin
	cfg.Client.Extended = true
	from, err := newPrefixes(cfg)
	if err != nil {
		return nil, err
	}
	l := &rekorV1{from: from, keys: cfg.Client.Keys}
	info, err := l.info(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range info.shards() {
		named, _, _ := strings.Cut(s.SignedTreeHead, "\n")
		if origin == "" && s.active || origin != "" && origin == named {
			l.origin, l.treeID = named, s.TreeID
		}
	}
	if l.treeID == "" {
		return nil, fmt.Errorf("the log has no shard with the origin %q", origin)
	}
	_, err = l.Head(ctx) // which verifies that the origin is that of a shard that the log signed
	return l, err
}

type rekorV1 struct {
	from           *prefixes
	keys           []checkpoint.Verifier
	origin, treeID string

	mu    sync.Mutex
	first int64 // the index that the first entry of the shard has among all shards
	whole bool  // the shard is frozen
	// extends has heads that are proven to extend another, by both.
	extends map[[2]treeHead]bool
}

// shard is what Rekor v1 says about one of its trees.
type shard struct {
	TreeID         string `json:"treeID"`
	TreeSize       int64  `json:"treeSize"`
	SignedTreeHead string `json:"signedTreeHead"`
	active         bool
}

type logInfo struct {
	shard
	InactiveShards []shard `json:"inactiveShards"`
}

// shards are all of them, in the order in which their entries are counted.
func (i logInfo) shards() []shard {
	last := i.shard
	last.active = true
	return append(i.InactiveShards[:len(i.InactiveShards):len(i.InactiveShards)], last)
}

func (l *rekorV1) info(ctx context.Context) (info logInfo, err error) {
	_, err = l.from.fetch(ctx, "checkpoint", "api/v1/log", maxLogInfo, -1, func(data []byte) error {
		info = logInfo{}
		return json.Unmarshal(data, &info)
	})
	return info, err
}

func (l *rekorV1) Origin() string { return l.origin }

func (l *rekorV1) Format() Format { return RekorV1 }

func (l *rekorV1) Head(ctx context.Context) (Head, error) {
	info, err := l.info(ctx)
	if err != nil {
		return Head{}, err
	}
	first := int64(0)
	for _, s := range info.shards() {
		if s.TreeID != l.treeID {
			first += s.TreeSize
			continue
		}
		head, err := l.open([]byte(s.SignedTreeHead))
		if err != nil {
			return Head{}, l.from.fault("checkpoint", "api/v1/log", -1, err, []byte(s.SignedTreeHead))
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.first, l.whole = first, !s.active
		return head, nil
	}
	return Head{}, fmt.Errorf("the log has no shard %s any more", l.treeID)
}

// open verifies a checkpoint of the shard.
func (l *rekorV1) open(note []byte) (Head, error) {
	o, err := checkpoint.OpenExtended(l.origin, note, l.keys)
	return Head{Size: o.Size, Root: o.Root, Note: note}, err
}

// Tail is the first entry that is read of the active shard.
func (l *rekorV1) Tail(head Head) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.whole {
		return 0
	}
	return max(0, head.Size/BlockSize-tailBlocks) * BlockSize
}

func (l *rekorV1) Consistent(ctx context.Context, older, newer Head) ([]merkle.Hash, error) {
	switch {
	case older.Size > newer.Size:
		return nil, fmt.Errorf("the older tree has %d entries, and the newer one %d", older.Size, newer.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return nil, l.from.fault("checkpoint", "api/v1/log", -1, &ForkError{Older: older, Newer: newer, Root: newer.Root}, newer.Note)
	case older.Size == 0 || older.Size == newer.Size:
		return nil, nil
	}
	path := fmt.Sprintf("api/v1/log/proof?firstSize=%d&lastSize=%d&treeID=%s", older.Size, newer.Size, l.treeID)
	var proof []merkle.Hash
	_, err := l.from.fetch(ctx, "consistency", path, maxProof, -1, func(data []byte) error {
		var said struct {
			Hashes []string `json:"hashes"`
		}
		err := json.Unmarshal(data, &said)
		if err == nil {
			proof, err = hexHashes(said.Hashes)
		}
		if err == nil {
			// A proof that does not hold is no evidence: anybody can make one up.
			err = merkle.VerifyConsistency(older.Size, newer.Size, older.Root, newer.Root, proof)
		}
		return err
	})
	return proof, err
}

func hexHashes(list []string) ([]merkle.Hash, error) {
	hashes := make([]merkle.Hash, len(list))
	for i, s := range list {
		h, err := hex.DecodeString(s)
		if err != nil || len(h) != merkle.HashSize {
			return nil, fmt.Errorf("%.70q is not a hash in hex", s)
		}
		hashes[i] = merkle.Hash(h)
	}
	return hashes, nil
}

func (l *rekorV1) Block(ctx context.Context, head Head, n int64) (Block, error) {
	start := n * BlockSize
	if n < 0 || start >= head.Size {
		return Block{}, fmt.Errorf("block %d is not in a tree of size %d", n, head.Size)
	}
	b := Block{Start: start, Data: []byte{}}
	size := 0
	for end := min(start+BlockSize, head.Size); start < end; start += maxRetrieved {
		entries, err := l.retrieve(ctx, head, start, int(min(maxRetrieved, end-start)))
		if err != nil {
			return Block{}, err
		}
		for _, e := range entries {
			if size += len(e); size > maxWhole {
				return Block{}, l.from.fault("entry", retrievePath, b.Start, fmt.Errorf("%w: the entries of a block have over %d bytes", client.ErrTooBig, maxWhole), nil)
			}
			b.Entries, b.Leaves = append(b.Entries, e), append(b.Leaves, merkle.LeafHash(e))
			if b.Data != nil {
				data, err := merkle.AppendBundleEntry(b.Data, e)
				if err != nil {
					data = nil // no bundle holds it
				}
				b.Data = data
			}
		}
	}
	return b, nil
}

// retrieved is an entry as Rekor v1 serves it.
type retrieved struct {
	Body         string `json:"body"`
	Verification struct {
		InclusionProof struct {
			Checkpoint string   `json:"checkpoint"`
			Hashes     []string `json:"hashes"`
			LogIndex   int64    `json:"logIndex"`
		} `json:"inclusionProof"`
	} `json:"verification"`
}

const retrievePath = "api/v1/log/entries/retrieve"

// retrieve fetches up to ten entries, and proves that they are below the head.
func (l *rekorV1) retrieve(ctx context.Context, head Head, start int64, count int) ([][]byte, error) {
	l.mu.Lock()
	first := l.first
	l.mu.Unlock()
	var asked bytes.Buffer
	for i := range count {
		asked.WriteString("," + strconv.FormatInt(first+start+int64(i), 10))
	}
	entries := make([][]byte, count)
	_, err := l.from.post(ctx, "entry", retrievePath, []byte(`{"logIndexes":[`+asked.String()[1:]+`]}`), maxEntries, start, func(data []byte) error {
		var list []map[string]retrieved
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		clear(entries)
		for _, named := range list {
			for _, e := range named {
				if err := l.take(ctx, head, start, e, entries); err != nil {
					return err
				}
			}
		}
		for i, e := range entries {
			if e == nil {
				return &wrongEntryError{start + int64(i), errors.New("the answer does not have it")}
			}
		}
		return nil
	})
	return entries, err
}

// take proves one entry, and puts it where it belongs.
func (l *rekorV1) take(ctx context.Context, head Head, start int64, e retrieved, entries [][]byte) error {
	proof := e.Verification.InclusionProof
	at := proof.LogIndex - start
	if at < 0 || at >= int64(len(entries)) {
		return fmt.Errorf("it has the entry %d of the shard, which was not asked for", proof.LogIndex)
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return &wrongEntryError{proof.LogIndex, err}
	}
	hashes, err := hexHashes(proof.Hashes)
	if err != nil {
		return &wrongEntryError{proof.LogIndex, err}
	}
	in, err := l.open([]byte(proof.Checkpoint))
	if err != nil {
		return &wrongEntryError{proof.LogIndex, err}
	}
	if err := merkle.VerifyInclusion(proof.LogIndex, in.Size, merkle.LeafHash(body), hashes, in.Root); err != nil {
		return &wrongEntryError{proof.LogIndex, err}
	}
	if err := l.oneTree(ctx, head, in); err != nil {
		return &unchecked{err}
	}
	entries[at] = body
	return nil
}

// oneTree proves that the tree of a proof and that of the head are of one log: the
// proof's can be older or newer.
func (l *rekorV1) oneTree(ctx context.Context, head, in Head) error {
	older, newer := head, in
	if older.Size > newer.Size {
		older, newer = newer, older
	}
	pair := [2]treeHead{{older.Size, older.Root}, {newer.Size, newer.Root}}
	l.mu.Lock()
	known := l.extends[pair]
	l.mu.Unlock()
	if known {
		return nil
	}
	if _, err := l.Consistent(ctx, older, newer); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.extends == nil || len(l.extends) > 1000 {
		l.extends = make(map[[2]treeHead]bool)
	}
	l.extends[pair] = true
	return nil
}
