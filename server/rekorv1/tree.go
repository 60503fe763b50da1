package rekorv1

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"

	translog "indelible/log"
)

// logInfo answers GET /api/v1/log.
func (h *Handler) logInfo(w http.ResponseWriter, r *http.Request) error {
	w.Header()["Cache-Control"] = h.v.noCache
	p, err := h.cfg.Log.Published()
	if err != nil {
		return err
	}
	head, err := h.head(r.Context(), p.Size, p.Root)
	if err != nil {
		return err
	}
	h.v.send(w, http.StatusOK, head.info)
	return nil
}

// publicKey answers GET /api/v1/log/publicKey.
func (h *Handler) publicKey(w http.ResponseWriter, r *http.Request) error {
	w.Header()["Cache-Control"] = h.v.noCache
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := h.checkTree(q); err != nil {
		return err
	}
	w.Header()["Content-Type"] = h.v.pem
	w.Write(h.ids.pem)
	return nil
}

// checkTree takes this log's tree id, or none: rekor-cli sends an empty one.
func (h *Handler) checkTree(q query) error {
	id, err := q.one("treeID")
	switch {
	case err != nil:
		return err
	case id == "":
		return nil
	case !allDigits(id):
		return unfit(codePattern, "treeID in query should match '^[0-9]+$': %.50q", id)
	}
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n != h.cfg.TreeID {
		return refuse(http.StatusBadRequest, "there is no tree %.50s in this log; it has one, %d", id, h.cfg.TreeID)
	}
	return nil
}

// proof answers GET /api/v1/log/proof. The root in it is that of the present
// tree, and not of the tree of lastSize.
func (h *Handler) proof(w http.ResponseWriter, r *http.Request) error {
	w.Header()["Cache-Control"] = h.v.noCache
	first, last, err := h.parseProof(r.URL.RawQuery)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	proof, err := h.cfg.Log.ConsistencyProof(ctx, first, last)
	beyond := errors.Is(err, translog.ErrOutOfRange)
	if err != nil && !beyond {
		return err
	}
	// After the proof: that may have waited for what another replica published.
	p, err := h.cfg.Log.Published()
	if err != nil {
		return err
	}
	if beyond {
		return refuse(http.StatusBadRequest, "the tree size requested(%d) was greater than what is currently observable(%d)", last, p.Size)
	}
	out := appendHashes([]byte(`{"hashes":`), proof.Hashes)
	out = append(out, `,"rootHash":"`...)
	out = hex.AppendEncode(out, p.Root[:])
	h.v.send(w, http.StatusOK, append(out, `"}`...))
	return nil
}

func (h *Handler) parseProof(raw string) (first, last int64, err error) {
	q, err := parseQuery(raw)
	if err != nil {
		return 0, 0, err
	}
	if first, err = q.number("firstSize", 1, 1); err != nil {
		return 0, 0, err
	}
	if last, err = q.number("lastSize", -1, 1); err != nil {
		return 0, 0, err
	}
	if err := h.checkTree(q); err != nil {
		return 0, 0, err
	}
	if first > last {
		return 0, 0, refuse(http.StatusBadRequest, "firstSize(%d) must be less than lastSize(%d)", first, last)
	}
	return first, last, nil
}
