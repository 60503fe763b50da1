package doctor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/merkle"
)

const addV1 = "/api/v1/log/entries"

// v1Key is the key of the Rekor v1 API.
type v1Key struct {
	pub *ecdsa.PublicKey
	id  [sha256.Size]byte // the log's id in v1: the hash of the key's SPKI
}

func (e *examination) rekorV1(ctx context.Context) {
	spki, err := e.asker.fetchV1Key(ctx)
	if err != nil {
		e.failed("v1 key", "Does the proxy in front let /api/v1/ through?", err)
		return
	}
	if spki == nil {
		e.skipped("rekor v1", "For cosign v2, Kyverno and policy-controller, let the log serve it (logserver --rekor-v1).", "the log does not serve it")
		return
	}
	if !e.useV1Key(spki) {
		return
	}
	e.v1Note(ctx)
	switch {
	case e.another():
		e.skipped("rekor v1", "", "it is served; nothing is added to another log than the trusted one")
	case e.cfg.ReadOnly:
		e.skipped("rekor v1", "", "it is served; nothing is added, as asked")
	case e.unwell:
		e.skipsAdds("rekor v1")
	case !e.cfg.RekorV1 && e.v2.served && !e.usesV1(ctx):
		e.skipped("rekor v1", "If clients use it, try it with --rekor-v1. Do not on a log that rekor-monitor watches: it reads no log with an entry of Rekor v1.",
			"it is served; nothing is added, since none of the newest entries is of Rekor v1")
	default:
		e.tryV1(ctx)
	}
}

// usesV1 reports whether one of the newest entries, as of before this run, is of
// Rekor v1: those of the last entry bundle.
func (e *examination) usesV1(ctx context.Context) bool {
	if e.report.Size == 0 {
		return false
	}
	start := (e.report.Size - 1) / merkle.TileWidth * merkle.TileWidth
	entries, err := e.client.Entries(ctx, start, e.report.Size)
	return err == nil && slices.ContainsFunc(entries, func(data []byte) bool {
		kind, version := entry.KindOf(data)
		return kind == entry.KindIntoto || version == "0.0.1"
	})
}

func (e *examination) useV1Key(spki []byte) bool {
	key := v1Key{id: sha256.Sum256(spki)}
	pub, err := x509.ParsePKIXPublicKey(spki)
	ok := err == nil
	if ok {
		key.pub, ok = pub.(*ecdsa.PublicKey)
	}
	switch {
	case !ok || key.pub.Curve != elliptic.P256():
		e.failed("v1 key", "Give the log an ECDSA P-256 key for it (logserver --rekor-v1-key).", errors.New("the key of Rekor v1 is not ECDSA P-256, and clients know no other"))
		return false
	case e.trusted.RekorV1Key != nil && !bytes.Equal(e.trusted.RekorV1Key, spki):
		e.failed("v1 key", "What was logged with the former key verifies with that only. If nobody replaced it on purpose, somebody stands in between.",
			fmt.Errorf("the key of Rekor v1 is SHA256:%x, and %s has SHA256:%x", key.id, e.trusted.RekorFrom, sha256.Sum256(e.trusted.RekorV1Key)))
		return false
	case slices.ContainsFunc(e.keys, func(k checkpoint.Verifier) bool { return key.pub.Equal(k.PublicKey()) }):
		e.failed("v1 key", "Give the log another key for it (logserver --rekor-v1-key).", errors.New("the key of Rekor v1 is the log's own: clients take v1 and v2 for one another"))
		return false
	case e.trusted.RekorV1Key == nil:
		e.warn("v1 key", "Compare it with what the log's operator says (rekor-v1.pem).", "on the log's own word its key is SHA256:%x", key.id)
	default:
		e.passed("v1 key", "it is that of %s, SHA256:%x", e.trusted.RekorFrom, key.id)
	}
	e.v1 = &key
	return true
}

// openV1 verifies a v1 note. Its signature line has the host as its name, not
// the whole first line, and every line must be by the log.
func (k *v1Key) openV1(note string) (checkpoint.Checkpoint, string, error) {
	n, err := checkpoint.ParseNote([]byte(note))
	if err != nil {
		return checkpoint.Checkpoint{}, "", err
	}
	c, err := checkpoint.ParseText(n.Text)
	if err != nil {
		return c, "", err
	}
	if !v1Origin(c.Origin) {
		return c, "", fmt.Errorf("its first line is %q; clients know a v1 note by HOST - TREEID", c.Origin)
	}
	host := ""
	for _, s := range n.Signatures {
		sum := sha256.Sum256(n.Text)
		if s.KeyID != binary.BigEndian.Uint32(k.id[:]) || !ecdsa.VerifyASN1(k.pub, sum[:], s.Blob) {
			return c, "", fmt.Errorf("the signature of %q is not by the key of Rekor v1", s.Name)
		}
		host = s.Name
	}
	return c, host, nil
}

// v1Origin reports whether a first line is a v1 note's, as clients tell it.
func v1Origin(line string) bool {
	host, tree, ok := strings.Cut(line, " - ")
	return ok && host != "" && tree != "" && strings.Trim(tree, "0123456789") == ""
}

// v1Note looks at the tree head of the v1 API.
func (e *examination) v1Note(ctx context.Context) {
	host, err := e.fetchV1Note(ctx)
	switch {
	case err != nil:
		e.failed("v1 note", doAsRekor, err)
	case !strings.Contains(e.cfg.PublicURL, host):
		e.warn("v1 note", "Name the URL's host (logserver --rekor-v1-host).",
			"it is signed as %q, which is no part of %s: sigstore-js refuses such entries", host, e.cfg.PublicURL)
	default:
		e.passed("v1 note", "signed by the key of Rekor v1, as %s", host)
	}
}

func (e *examination) fetchV1Note(ctx context.Context) (host string, err error) {
	got, err := e.asker.get(ctx, "/api/v1/log")
	if err != nil {
		return "", err
	}
	var info struct {
		RootHash       string `json:"rootHash"`
		SignedTreeHead string `json:"signedTreeHead"`
		TreeID         string `json:"treeID"`
		TreeSize       int64  `json:"treeSize"`
	}
	if err := json.Unmarshal(got.body, &info); err != nil {
		return "", fmt.Errorf("/api/v1/log: %w", err)
	}
	c, host, err := e.v1.openV1(info.SignedTreeHead)
	if err != nil {
		return "", fmt.Errorf("/api/v1/log: signedTreeHead: %w", err)
	}
	if c.Size != info.TreeSize || hex.EncodeToString(c.Root[:]) != info.RootHash || !strings.HasSuffix(c.Origin, " - "+info.TreeID) {
		return "", fmt.Errorf("/api/v1/log says tree %s, size %d, root %s, and its note %q, %d, %x", info.TreeID, info.TreeSize, info.RootHash, c.Origin, c.Size, c.Root)
	}
	return host, e.sameTree(ctx, c)
}

// sameTree compares a v1 note with the log's own checkpoint, or, since that may
// be of a larger tree, with the root that it had at the note's size.
func (e *examination) sameTree(ctx context.Context, c checkpoint.Checkpoint) error {
	if len(e.keys) == 0 {
		return nil
	}
	o, err := e.client.Checkpoint(ctx)
	if err != nil || o.Size < c.Size || c.Size == 0 {
		return nil // said already, or a replica that is a little behind
	}
	root := o.Root
	if c.Size < o.Size {
		if root, _, err = e.client.RootAt(ctx, c.Size, o.Checkpoint); err != nil {
			return nil // a fault of the native API, which has its own check
		}
	}
	if root != c.Root {
		return fmt.Errorf("it is of another tree: its root at size %d is %x, and the log's was %x", c.Size, c.Root, root)
	}
	return nil
}

// v1Entry is an entry as the v1 API writes it.
type v1Entry struct {
	Body           string `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogID          string `json:"logID"`
	LogIndex       int64  `json:"logIndex"`
	Verification   struct {
		InclusionProof struct {
			Checkpoint string   `json:"checkpoint"`
			Hashes     []string `json:"hashes"`
			LogIndex   int64    `json:"logIndex"`
			RootHash   string   `json:"rootHash"`
			TreeSize   int64    `json:"treeSize"`
		} `json:"inclusionProof"`
		SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
	} `json:"verification"`
}

func (e *examination) tryV1(ctx context.Context) {
	request := e.sample.v1()
	uuid, first, do, err := e.addV1(ctx, request)
	if err != nil {
		e.failed("rekor v1", do, err)
		return
	}
	e.report.Wrote = append(e.report.Wrote, first.LogIndex)
	e.added = append(e.added, addition{index: first.LogIndex, canonical: request, uuid: uuid})
	e.passed("rekor v1", "entry %d is what was asked for, promised and proven", first.LogIndex)
	e.retryV1(ctx, request, uuid)
	e.readV1(ctx, request, uuid, first)
}

func (e *examination) retryV1(ctx context.Context, request []byte, uuid string) {
	got, err := e.asker.ask(ctx, http.MethodPost, addV1, request)
	switch {
	case err == nil && got.status == http.StatusConflict && strings.HasSuffix(got.header.Get("Location"), "/"+uuid):
		e.warn("v1 retry", "Clients of today want it answered as the first time (logserver --rekor-v1-conflict=false).",
			"the same entry again is refused (409), as Rekor does it: cosign v3 and sigstore-go fail")
		return
	case err == nil && got.status == http.StatusConflict:
		err = fmt.Errorf("the same entry again is refused (409) without its Location")
	case err == nil && got.status != http.StatusCreated:
		err = fmt.Errorf("the same entry again: %s", got.says())
	case err == nil && got.header.Get("ETag") != uuid:
		err = fmt.Errorf("the same entry again is another entry: %.100q, and was %s", got.header.Get("ETag"), uuid)
	}
	if err != nil {
		e.failed("v1 retry", doAsRekor, err)
		return
	}
	e.passed("v1 retry", "the same entry again is the same entry")
}

func (e *examination) readV1(ctx context.Context, canonical []byte, uuid string, first v1Entry) {
	got, err := e.asker.get(ctx, addV1+"/"+uuid)
	if err == nil {
		var again v1Entry
		if again, err = e.verifyV1(got.body, uuid, canonical); err == nil && (again.LogIndex != first.LogIndex || again.IntegratedTime != first.IntegratedTime) {
			err = fmt.Errorf("it was entry %d of the time %d, and is entry %d of %d", first.LogIndex, first.IntegratedTime, again.LogIndex, again.IntegratedTime)
		}
	}
	if err != nil {
		e.failed("v1 read", doAsRekor, err)
		return
	}
	e.passed("v1 read", "the entry is found by its UUID")
}

// addV1 adds an entry as cosign v2 does. It returns the entry's UUID, or what
// to do.
func (e *examination) addV1(ctx context.Context, request []byte) (uuid string, added v1Entry, do string, err error) {
	got, err := e.asker.ask(ctx, http.MethodPost, addV1, request)
	if err != nil {
		return "", added, doProxyAdds, err
	}
	if got.status != http.StatusCreated {
		return "", added, doForStatus(got.status), fmt.Errorf("POST %s%s: %s; it must be 201", e.asker.url, addV1, got.says())
	}
	uuid = got.header.Get("ETag")
	if len(uuid) != 80 || strings.Trim(uuid, "0123456789abcdef") != "" {
		return "", added, "Clients look the entry up by the bare ETag: does a proxy in front change it, as by compressing?",
			fmt.Errorf("the answer's ETag is %.120q; it must be 80 hex digits, without quotes", uuid)
	}
	if location := got.header.Get("Location"); location != addV1+"/"+uuid {
		return "", added, doAsRekor, fmt.Errorf("the answer's Location is %.200q; it must be %s/%s", location, addV1, uuid)
	}
	added, err = e.verifyV1(got.body, uuid, request)
	if errors.Is(err, errClock) {
		return uuid, added, doClocks, err
	}
	return uuid, added, doAsRekor, err
}

// errClock: the time of an entry is not the time of this machine.
var errClock = errors.New("entries made with short-lived certificates will not verify")

// verifyV1 verifies an answer with one entry.
func (e *examination) verifyV1(body []byte, uuid string, canonical []byte) (v1Entry, error) {
	var all map[string]v1Entry
	if err := json.Unmarshal(body, &all); err != nil {
		return v1Entry{}, fmt.Errorf("the answer is not an entry of Rekor v1: %w", err)
	}
	got, ok := all[uuid]
	leaf := merkle.LeafHash(canonical)
	switch {
	case !ok:
		return got, fmt.Errorf("the answer has no entry %s", uuid)
	case got.Body != base64.StdEncoding.EncodeToString(canonical):
		return got, fmt.Errorf("the entry is not what was asked for: its body is %.500q, and must be the base64 of %s", got.Body, canonical)
	case !strings.HasSuffix(uuid, hex.EncodeToString(leaf[:])):
		return got, fmt.Errorf("the UUID %s does not end in the leaf hash %x", uuid, leaf)
	case got.LogID != hex.EncodeToString(e.v1.id[:]):
		return got, fmt.Errorf("the log id is %.80q, and the hash of the key of Rekor v1 is %x: clients find no key for the entry", got.LogID, e.v1.id)
	}
	if off := time.Unix(got.IntegratedTime, 0).Sub(e.cfg.Now()); off.Abs() > clockUseless {
		return got, fmt.Errorf("the entry's time is %s; %w", apart(off.Round(time.Second)), errClock)
	}
	if err := e.v1.verifyPromise(got); err != nil {
		return got, err
	}
	return got, e.v1.verifyInclusion(got, canonical)
}

// verifyPromise verifies the signed entry timestamp: a signature over these
// four members in JCS, which for these values is Go's own order and form.
func (k *v1Key) verifyPromise(got v1Entry) error {
	payload, err := json.Marshal(struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int64  `json:"logIndex"`
	}{got.Body, got.IntegratedTime, got.LogID, got.LogIndex})
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(payload); !ecdsa.VerifyASN1(k.pub, sum[:], got.Verification.SignedEntryTimestamp) {
		return errors.New("the signed entry timestamp does not verify with the key of Rekor v1")
	}
	return nil
}

func (k *v1Key) verifyInclusion(got v1Entry, canonical []byte) error {
	proof := got.Verification.InclusionProof
	c, _, err := k.openV1(proof.Checkpoint)
	if err != nil {
		return fmt.Errorf("the note of the proof: %w", err)
	}
	if c.Size != proof.TreeSize || hex.EncodeToString(c.Root[:]) != proof.RootHash {
		return fmt.Errorf("the proof is of size %d and root %s, and its note of %d and %x", proof.TreeSize, proof.RootHash, c.Size, c.Root)
	}
	if proof.Hashes == nil {
		return errors.New("the proof's hashes are null; clients want a list")
	}
	hashes := make([][]byte, len(proof.Hashes))
	for i, h := range proof.Hashes {
		if hashes[i], err = hex.DecodeString(h); err != nil {
			return fmt.Errorf("the inclusion proof: %w", err)
		}
	}
	return included(proof.LogIndex, c, canonical, hashes)
}
