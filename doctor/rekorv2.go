package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/trust"
)

const addV2 = "/api/v2/log/entries"

func (e *examination) rekorV2(ctx context.Context) {
	const name = "rekor v2"
	switch {
	case e.v2.err != nil:
		e.failed(name, "Does the proxy in front let /api/v2/ through?", e.v2.err)
	case !e.v2.served:
		e.skipped(name, "For cosign v3's default, let the log serve it (logserver --rekor-v2).", "the log does not serve it")
	case e.another():
		e.skipped(name, "", "it is served; nothing is added to another log than the trusted one")
	case e.cfg.ReadOnly:
		e.skipped(name, "", "it is served; nothing is added, as asked")
	case e.unwell:
		e.skipsAdds(name)
	default:
		e.tryV2(ctx)
	}
}

func (e *examination) tryV2(ctx context.Context) {
	request, canonical, err := e.sample.v2()
	if err != nil {
		e.failed("rekor v2", "", err)
		return
	}
	first, do, err := e.addV2(ctx, request, canonical)
	if err != nil {
		e.failed("rekor v2", do, err)
		return
	}
	e.report.Wrote = append(e.report.Wrote, first)
	e.added = append(e.added, addition{index: first, canonical: canonical})
	e.passed("rekor v2", "entry %d is what was asked for, and proven", first)

	again, do, err := e.addV2(ctx, request, canonical)
	switch {
	case err != nil:
		e.failed("v2 retry", do, fmt.Errorf("the same entry again: %w", err))
	case again != first:
		e.failed("v2 retry", doAsRekor, fmt.Errorf("the same entry was logged twice, as %d and %d", first, again))
	default:
		e.passed("v2 retry", "the same entry again is entry %d again", first)
	}
}

const (
	doProxyAdds = "Does the proxy in front let POST through, with its body?"
	doAsRekor   = "This is a fault of the server: its clients will fail. Please report it."
)

// addV2 adds an entry as cosign does, and verifies the answer as it does. It
// returns the index, or what to do.
func (e *examination) addV2(ctx context.Context, request, canonical []byte) (index int64, do string, err error) {
	got, err := e.asker.ask(ctx, http.MethodPost, addV2, request)
	if err != nil {
		return 0, doProxyAdds, err
	}
	if got.status != http.StatusCreated {
		return 0, doForStatus(got.status), fmt.Errorf("POST %s%s: %s; clients take 201 only", e.asker.url, addV2, got.says())
	}
	var logged rekor.TransparencyLogEntry
	if err := protojson.Unmarshal(got.body, &logged); err != nil {
		return 0, doAsRekor, fmt.Errorf("the answer is not a TransparencyLogEntry: %w", err)
	}
	if err := e.verifyV2(&logged, canonical); err != nil {
		return 0, doAsRekor, err
	}
	return logged.GetLogIndex(), "", nil
}

func doForStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "Let the log take entries of kind hashedrekord (logserver --entry-kinds); if it does, a proxy in front changes what is posted."
	case http.StatusUnauthorized, http.StatusForbidden:
		return "The log lets only some write; ask its operator, or look on with --read-only."
	case http.StatusConflict:
		return "cosign and sigstore-go take this for a failure: let the log answer a retry as it did the first time."
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInternalServerError:
		return "Try again; the server's log says more."
	}
	return doProxyAdds
}

func (e *examination) verifyV2(logged *rekor.TransparencyLogEntry, canonical []byte) error {
	proof, kind := logged.GetInclusionProof(), logged.GetKindVersion()
	switch {
	case !bytes.Equal(logged.GetCanonicalizedBody(), canonical):
		return fmt.Errorf("the entry is not what was asked for: it is %.300q, and must be %q", logged.GetCanonicalizedBody(), canonical)
	case kind.GetKind() != "hashedrekord" || kind.GetVersion() != "0.0.2":
		return fmt.Errorf("the entry is said to be a %.50q of version %.50q; it is a hashedrekord of 0.0.2", kind.GetKind(), kind.GetVersion())
	case proof == nil:
		return errors.New("the answer has no inclusion proof")
	case proof.GetLogIndex() != logged.GetLogIndex():
		return fmt.Errorf("the entry's index is %d, and its proof's %d", logged.GetLogIndex(), proof.GetLogIndex())
	case logged.GetIntegratedTime() != 0 || logged.GetInclusionPromise() != nil:
		return errors.New("the answer has a time or a promise: clients take the entry for one of Rekor v1")
	}
	if len(e.keys) == 0 {
		return errors.New("no key of the log is known, to verify the proof with")
	}
	if !slices.ContainsFunc(e.keys, func(k checkpoint.Verifier) bool {
		id, err := trust.LogID(k)
		return err == nil && bytes.Equal(id[:], logged.GetLogId().GetKeyId())
	}) {
		return fmt.Errorf("the log id %x is of none of the log's keys: clients find no key for the entry", logged.GetLogId().GetKeyId())
	}
	o, err := checkpoint.Open([]byte(proof.GetCheckpoint().GetEnvelope()), e.keys)
	if err != nil {
		return fmt.Errorf("the checkpoint of the proof: %w", err)
	}
	if o.Size != proof.GetTreeSize() || !bytes.Equal(o.Root[:], proof.GetRootHash()) {
		return fmt.Errorf("the proof is of size %d and root %x, and its checkpoint of %d and %x", proof.GetTreeSize(), proof.GetRootHash(), o.Size, o.Root)
	}
	return included(proof.GetLogIndex(), o.Checkpoint, canonical, proof.GetHashes())
}

func included(index int64, at checkpoint.Checkpoint, canonical []byte, proof [][]byte) error {
	hashes := make([]merkle.Hash, len(proof))
	for i, h := range proof {
		if len(h) != merkle.HashSize {
			return fmt.Errorf("the inclusion proof has a hash of %d bytes", len(h))
		}
		hashes[i] = merkle.Hash(h)
	}
	if err := merkle.VerifyInclusion(index, at.Size, merkle.LeafHash(canonical), hashes, at.Root); err != nil {
		return fmt.Errorf("the inclusion proof: %w", err)
	}
	return nil
}
