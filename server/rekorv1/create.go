package rekorv1

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/entry"
	translog "indelible/log"
	"indelible/server/failure"
)

// versions are the kinds that can be served, in the one version of each.
func versions() map[entry.Kind]string {
	return map[entry.Kind]string{
		entry.KindHashedRekord: "0.0.1", entry.KindDSSE: "0.0.1", entry.KindIntoto: "0.0.2", entry.KindRekord: "0.0.1",
	}
}

// served names the kinds that may be added.
func served(kinds []entry.Kind) string {
	var names []string
	for _, k := range kinds {
		if version, ok := versions()[k]; ok {
			names = append(names, string(k)+" "+version)
		}
	}
	if len(names) == 0 {
		return "none of Rekor v1's"
	}
	return strings.Join(names, ", ")
}

// create answers POST /api/v1/log/entries.
func (h *Handler) create(w http.ResponseWriter, r *http.Request) error {
	body, err := h.readBody(w, r)
	if err != nil {
		return err
	}
	e, err := h.admit(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	receipt, err := h.cfg.Log.Add(ctx, e)
	if err != nil {
		return h.addFailed(w, err)
	}
	id := h.ids.entryID(receipt.LeafHash)
	if receipt.Duplicate && h.cfg.Conflict {
		w.Header()["Location"] = []string{entriesPath + id}
		return refuse(http.StatusConflict, "an equivalent entry already exists in the transparency log with UUID %s", id)
	}
	out, err := h.appendReceipt(ctx, receipt, e)
	if err != nil {
		return err
	}
	// Bare: clients take it for the key of the map.
	w.Header()["Etag"] = []string{id}
	w.Header()["Location"] = []string{entriesPath + id}
	h.v.send(w, http.StatusCreated, out)
	return nil
}

func (h *Handler) appendReceipt(ctx context.Context, r translog.Receipt, e entry.Entry) ([]byte, error) {
	s, err := h.seal(ctx, translog.Record{Index: r.Index, LeafHash: r.LeafHash, IntegratedAt: r.IntegratedAt, Canonical: e.Canonical()})
	if err != nil {
		return nil, err
	}
	return h.appendEntry(ctx, nil, s, r.Proof)
}

// addFailed says why an entry was not logged, or may not be.
func (h *Handler) addFailed(w http.ResponseWriter, err error) error {
	wire := failure.Add(err)
	r := h.refusalOf(w, wire, err)
	if status.Code(wire) == codes.InvalidArgument {
		r.message = "error processing entry: " + r.message
	}
	return r
}

// admit makes an entry of what a client proposes.
func (h *Handler) admit(body []byte) (entry.Entry, error) {
	e, err := h.canonical(body)
	if err == nil && slices.Contains(h.cfg.Kinds, e.Kind()) {
		return e, nil
	}
	// Rekor looks at the kind first, and so at what is wrong with it.
	kind, wrong := proposedKind(body)
	if wrong != nil {
		return entry.Entry{}, wrong
	}
	if !slices.Contains(h.cfg.Kinds, kind) {
		return entry.Entry{}, h.notServed(kind)
	}
	return e, err
}

// canonical makes an entry of what a client proposes or looks for.
func (h *Handler) canonical(proposed []byte) (entry.Entry, error) {
	e, err := entry.NewRekorV1(proposed)
	if errors.Is(err, entry.ErrInvalid) {
		return e, refuse(http.StatusBadRequest, "error processing entry: %v", err)
	}
	return e, err
}

// proposedKind reads what an entry says that it is. Members that are there
// twice, and whatever else is wrong, are NewRekorV1's to refuse.
func proposedKind(body []byte) (entry.Kind, error) {
	if len(body) == 0 {
		return "", unfit(codeRequired, "kind in body is required: the body is empty")
	}
	m, err := members(body)
	if err != nil {
		return "", err
	}
	kind, err := text(m, "kind")
	if err != nil {
		return "", err
	}
	return entry.Kind(kind), required(m, "kind", "apiVersion", "spec")
}

// proposedVersion reads the version that an entry says that it is of, if it says
// so in a way that can be read.
func proposedVersion(body []byte) string {
	m, err := members(body)
	if err != nil {
		return ""
	}
	version, err := text(m, "apiVersion")
	if err != nil {
		return ""
	}
	return version
}

func required(m map[string]json.RawMessage, names ...string) error {
	for _, name := range names {
		if v, ok := m[name]; !ok || string(v) == `""` {
			return unfit(codeRequired, "%s in body is required", name)
		}
	}
	return nil
}

// notServed refuses a kind: one that Rekor knows, or one that is none.
func (h *Handler) notServed(kind entry.Kind) error {
	switch kind {
	case "alpine", "cose", "dsse", "hashedrekord", "helm", "intoto", "jar", "rekord", "rfc3161", "rpm", "tuf":
		return refuse(http.StatusBadRequest, "error processing entry: entry kind '%s' is not enabled for submission on this server, which takes %s", kind, h.kinds)
	}
	return refuse(http.StatusUnprocessableEntity, "invalid kind value: %.100q; this server takes %s", string(kind), h.kinds)
}
